from __future__ import annotations

from dataclasses import replace

import pytest
from immutables import Map

from bridge.decider import fold, given
from lighthouse.project import project
from lighthouse.project.commands import (
    CreateFile,
    DeleteFile,
    ModifyFile,
    Move,
    MoveFile,
    Protect,
    RecordCommit,
    Write,
)
from lighthouse.project.content import MAX_FILE_BYTES, MAX_INLINE_BYTES, object_id
from lighthouse.project.events import (
    CommitRecorded,
    Event,
    FileCreated,
    FileDeleted,
    FileModified,
    FileMoved,
    ProtectionChanged,
)
from lighthouse.project.state import File, Project

SHA, NEXT = "a" * 40, "b" * 40
HELLO = object_id(b"hello")
LARGE = MAX_INLINE_BYTES + 1


def created(path: str, content: bytes = b"hello", mode: str = "100644") -> FileCreated:
    return FileCreated(path, object_id(content), len(content), mode, content)


def write(path: str, content: bytes = b"hello", mode: str = "100644") -> Write:
    return Write(path, object_id(content), len(content), mode, content)


def move(source: str, path: str, content: bytes | None = None) -> Move:
    body = b"hello" if content is None else content
    return Move(source, path, object_id(body), len(body), "100644", content)


def moved(source: str, path: str, content: bytes | None = None) -> FileMoved:
    body = b"hello" if content is None else content
    return FileMoved(source, path, object_id(body), len(body), "100644", content)


def commit(**changes: object) -> RecordCommit:
    return replace(RecordCommit(SHA, "", "message"), **changes)  # type: ignore[arg-type]


RECORDED = CommitRecorded(SHA, "message")


def test_a_file_is_created_with_the_hash_that_git_gives_it() -> None:
    assert HELLO == "b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0"
    given(project).when(CreateFile("a", b"hello")).then(created("a"))


def test_the_fold_knows_hash_size_and_mode() -> None:
    outcome = given(project, RECORDED).when(CreateFile("a", b"hello", "100755"))
    outcome.then_state(Project(Map({"a": File(HELLO, 5, "100755")}), (), SHA))


def test_a_file_is_modified_moved_and_deleted() -> None:
    past = given(project, created("a"))
    past.when(ModifyFile("a", b"", "120000")).then(FileModified("a", object_id(b""), 0, "120000", b""))
    past.when(MoveFile("a", "b/c")).then(moved("a", "b/c"))
    past.when(DeleteFile("a")).then(FileDeleted("a"))


@pytest.mark.parametrize(
    "path",
    ["", "/a", "a/", "a//b", ".", "..", "a/../b", "./a", ".git", "a/.git/hooks/x", ".GIT/config", "a\0b"],
)
def test_p1_a_path_lies_in_the_project(path: str) -> None:
    given(project).when(CreateFile(path, b"")).then_refused("P1")
    given(project, created("a")).when(MoveFile("a", path)).then_refused("P1")
    given(project).when(DeleteFile(path)).then_refused("P1")
    given(project).when(commit(written=(write(path),))).then_refused("P1")


@pytest.mark.parametrize("path", ["a\\b", "\\x41", "\\xFF", "\\xc3\\xa9", "\ud800", "end\\"])
def test_p1_a_path_is_written_in_one_way(path: str) -> None:
    given(project).when(CreateFile(path, b"")).then_refused("P1")


@pytest.mark.parametrize("path", [".gitignore", "a/.github", "..a", "a b", "\\\\", "\\xff", "a\\xc3", "é", "..."])
def test_odd_paths_are_fine(path: str) -> None:
    given(project).when(CreateFile(path, b"hello")).then(created(path))


def test_p2_a_file_has_at_most_100_mb() -> None:
    fits = CreateFile("a", None, "100644", HELLO, MAX_FILE_BYTES)
    given(project).when(fits).then(FileCreated("a", HELLO, MAX_FILE_BYTES, "100644", None))
    given(project).when(replace(fits, size=MAX_FILE_BYTES + 1)).then_refused("P2")


def test_p3_a_new_path_is_free() -> None:
    past = given(project, created("a"), created("d/e/f"))
    for path in ("a", "a/b", "a/b/c", "d", "d/e", "d/e/f", "d/e/f/g"):
        past.when(CreateFile(path, b"")).then_refused("P3")
    for path in ("a/b", "a/b/c", "d", "d/e", "d/e/f/g"):
        past.when(commit(written=(write("x"), write(path)))).then_refused("P3")
    past.when(MoveFile("a", "d/e/f")).then_refused("P3")
    past.when(MoveFile("a", "d")).then_refused("P3")
    past.when(commit(moved=(move("a", "d/e/f"),))).then_refused("P3")
    past.when(commit(written=(write("x"), write("x/y")))).then_refused("P3")


def test_a_file_may_move_into_its_own_name() -> None:
    given(project, created("a")).when(MoveFile("a", "a/b")).then(moved("a", "a/b"))
    given(project, created("a/b")).when(MoveFile("a/b", "a")).then(moved("a/b", "a"))


def test_p4_what_changes_exists() -> None:
    past = given(project, created("a/b"))
    for path in ("a", "b", "a/b/c"):
        past.when(ModifyFile(path, b"")).then_refused("P4")
        past.when(DeleteFile(path)).then_refused("P4")
        past.when(MoveFile(path, "x")).then_refused("P4")
        past.when(commit(deleted=(path,))).then_refused("P4")
        past.when(commit(moved=(move(path, "x"),))).then_refused("P4")


def test_p5_a_protected_path_does_not_change() -> None:
    past = given(project, created("a"), created("secret/key"), ProtectionChanged(("secret", "x/y")))
    past.when(ModifyFile("secret/key", b"")).then_refused("P5")
    past.when(DeleteFile("secret/key")).then_refused("P5")
    past.when(MoveFile("secret/key", "b")).then_refused("P5")
    past.when(MoveFile("a", "x/y/z")).then_refused("P5")
    past.when(CreateFile("x/y", b"")).then_refused("P5")
    past.when(commit(deleted=("secret/key",))).then_refused("P5")
    past.when(CreateFile("secrets", b"hello")).then(created("secrets"))


def test_p1_a_protected_path_is_a_path() -> None:
    given(project).when(Protect(("a", "../b"))).then_refused("P1")


def test_protection_is_set_as_a_whole() -> None:
    given(project).when(Protect(("b/", "a", "b"))).then(ProtectionChanged(("a", "b")))
    past = given(project, ProtectionChanged(("a", "b")))
    past.when(Protect(("b", "a"))).then()
    past.when(Protect(())).then(ProtectionChanged(()))


@pytest.mark.parametrize(
    "wrong",
    [
        Write("a", HELLO, 4, "100644", b"hello"),
        Write("a", HELLO, 5, "100644", b"hallo"),
        Write("a", HELLO, 5, "100600", b"hello"),
        Write("a", HELLO, 5, "100644", None),
        Write("a", HELLO[:-1], 5, "100644", b"hello"),
        Write("a", HELLO.upper(), LARGE, "100644", None),
        Write("a", object_id(b"x" * LARGE), LARGE, "100644", b"x" * LARGE),
        Write("a", HELLO, 0, "160000", b""),
        Write("a", HELLO, 5, "160000", None),
    ],
)
def test_p6_content_hash_size_and_mode_agree(wrong: Write) -> None:
    given(project).when(commit(written=(wrong,))).then_refused("P6")
    given(project).when(CreateFile("a", wrong.content, wrong.mode, wrong.hash, wrong.size)).then_refused("P6")


def test_large_content_and_submodules_have_no_content() -> None:
    large = CreateFile("a", None, "100644", HELLO, LARGE)
    given(project).when(large).then(FileCreated("a", HELLO, LARGE, "100644", None))
    module = CreateFile("a", None, "160000", SHA)
    given(project).when(module).then(FileCreated("a", SHA, 0, "160000", None))


def test_p6_a_move_may_leave_out_only_content_that_stays() -> None:
    past = given(project, created("a"))
    past.when(commit(moved=(move("a", "b"),))).then(moved("a", "b"), RECORDED)
    past.when(commit(moved=(move("a", "b", b"new"),))).then(moved("a", "b", b"new"), RECORDED)
    for change in (Move("a", "b", SHA, 5, "100644", None), Move("a", "b", HELLO, 6, "100644", None)):
        past.when(commit(moved=(change,))).then_refused("P6")
    past.when(commit(moved=(Move("a", "b", HELLO, 5, "7", None),))).then_refused("P6")


def test_p7_a_commit_follows_the_last_one() -> None:
    past = given(project, RECORDED)
    past.when(RecordCommit(NEXT, SHA, "next")).then(CommitRecorded(NEXT, "next"))
    past.when(RecordCommit(NEXT, "", "next")).then_refused("P7")
    given(project).when(RecordCommit(NEXT, SHA, "next")).then_refused("P7")
    given(project).when(RecordCommit("HEAD", "", "next")).then_refused("P7")


def test_p8_a_commit_names_a_path_once() -> None:
    past = given(project, created("a"), created("b"))
    for twice in (
        commit(deleted=("a", "a")),
        commit(deleted=("a",), written=(write("a"),)),
        commit(deleted=("a",), moved=(move("a", "c"),)),
        commit(moved=(move("a", "c"), move("b", "c"))),
        commit(moved=(move("a", "c"), move("a", "d"))),
        commit(moved=(move("a", "c"),), written=(write("c"),)),
        commit(written=(write("c"), write("c"))),
    ):
        past.when(twice).then_refused("P8")


def test_a_commit_writes_what_is_new_and_what_is_not() -> None:
    past = given(project, created("a"))
    change = FileModified("a", object_id(b"new"), 3, "100644", b"new")
    past.when(commit(written=(write("a", b"new"), write("b")))).then(change, created("b"), RECORDED)


def test_an_empty_commit_is_recorded_and_a_part_that_is_not_the_last_is_not() -> None:
    given(project).when(commit()).then(RECORDED)
    given(project).when(commit(written=(write("a"),), last=False)).then(created("a"))


def test_a_file_comes_to_the_place_that_a_move_left() -> None:
    past = given(project, created("a"))
    change = commit(moved=(move("a", "b"),), written=(write("a", b"new"),))
    past.when(change).then(moved("a", "b"), created("a", b"new"), RECORDED)


def test_a_swap_is_deletions_and_creations_for_no_order_of_moves_would_do() -> None:
    past = given(project, created("a", b"A"), created("b", b"B"))
    swap = commit(moved=(move("a", "b", b"A"), move("b", "a", b"B")))
    past.when(swap).then(FileDeleted("a"), FileDeleted("b"), created("b", b"A"), created("a", b"B"), RECORDED)
    past.when(commit(moved=(move("a", "b", b"A"), move("b", "c", b"B")))).then(
        FileDeleted("a"), moved("b", "c", b"B"), created("b", b"A"), RECORDED
    )


def test_files_and_directories_change_places() -> None:
    given(project, created("a")).when(commit(deleted=("a",), written=(write("a/b"),))).then(
        FileDeleted("a"), created("a/b"), RECORDED
    )
    given(project, created("a/b")).when(commit(deleted=("a/b",), written=(write("a"),))).then(
        FileDeleted("a/b"), created("a"), RECORDED
    )


def test_events_past_the_rules_still_fold() -> None:
    strange: list[Event] = [
        FileDeleted("none"),
        moved("none", "a"),
        created("a"),
        FileModified("b", SHA, 0, "160000", None),
    ]
    state = fold(project, project.initial, strange)
    assert dict(state.files) == {"a": File(HELLO, 5, "100644"), "b": File(SHA, 0, "160000")}
