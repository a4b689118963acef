"""Difficult repositories through the import: at every commit the folded state lists what git lists."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import stamina

from bridge.errors import Refused, Unavailable
from bridge.events import Appended
from bridge.handle import Context
from lighthouse.blobs import open_blobs
from lighthouse.git import GitError, open_repository
from lighthouse.import_git import HistoryRewritten, Imported, Target, import_git
from lighthouse.listing import listing
from lighthouse.project import project
from lighthouse.project.events import CommitRecorded, FileCreated, FileMoved
from lighthouse.project.state import Project
from tests import gitrepos
from tests.gitrepos import EPOCH, Made, delete, first_parents, git, ls_tree, make, write
from tests.memory_commands import SCHEMAS, MemoryCommands

STREAM = "project/p"


def target(blobs: Path) -> tuple[MemoryCommands, Target]:
    platform = MemoryCommands(project, SCHEMAS / "project")
    return platform, Target(platform, platform, open_blobs("", blobs))


def run(path: Path, to: Target, **options: Any) -> Imported:
    return asyncio.run(import_git(open_repository(path), STREAM, to, **options))


def at_commits(platform: MemoryCommands) -> dict[str, Project]:
    appends, states = platform.appends[STREAM], platform.states[STREAM]
    complete = [state for (_, events), state in zip(appends, states, strict=True) if ends(events)]
    return {state.commit: state for state in complete}


def ends(events: Sequence[Any]) -> bool:
    return bool(events) and isinstance(events[-1], CommitRecorded)


def assert_equal_at_every_commit(path: Path, platform: MemoryCommands) -> None:
    states = at_commits(platform)
    assert list(states) == first_parents(path)
    for sha, state in states.items():
        assert listing(state) == ls_tree(path, sha), sha


@pytest.fixture
def imported(tmp_path: Path) -> Callable[[Sequence[Made]], MemoryCommands]:
    def imported(commits: Sequence[Made]) -> MemoryCommands:
        platform, to = target(tmp_path / "blobs")
        run(make(tmp_path / "repo", commits), to)
        return platform

    return imported


@pytest.mark.parametrize("commits", [gitrepos.ordinary, gitrepos.odd_names, gitrepos.renames, gitrepos.merges])
def test_every_commit_lists_what_git_lists(tmp_path: Path, commits: Callable[[], list[Made]]) -> None:
    platform, to = target(tmp_path / "blobs")
    path = make(tmp_path / "repo", commits())
    run(path, to)
    assert_equal_at_every_commit(path, platform)


def test_commits_beyond_an_append_are_split(tmp_path: Path) -> None:
    platform, to = target(tmp_path / "blobs")
    path = make(tmp_path / "repo", gitrepos.large())
    done = run(path, to)
    assert_equal_at_every_commit(path, platform)
    assert done.commits == 4
    assert len(platform.appends[STREAM]) > 8
    keys = [context.key for context, _ in platform.appends[STREAM]]
    assert keys[:3] == [f"git:{first_parents(path)[0]}:{part}" for part in (1, 2, 3)]


def test_large_contents_lie_in_the_blob_store_before_they_are_named(tmp_path: Path) -> None:
    platform, to = target(tmp_path / "blobs")
    run(make(tmp_path / "repo", gitrepos.large()), to)
    created = {e.path: e for e in platform.events(STREAM) if isinstance(e, FileCreated)}
    assert created["limit"].content == b"x" * 65_536
    assert not to.blobs.has(created["limit"].hash)
    assert created["over"].content is None
    assert to.blobs.get(created["over"].hash) == b"x" * 65_537
    assert to.blobs.get(created["big"].hash) == b"y" * 1_000_000


def test_sha256_repositories_are_read_as_well(tmp_path: Path) -> None:
    platform, to = target(tmp_path / "blobs")
    commits = [Made([write("a", "a\n"), write("big", b"x" * 70_000)]), Made([write("a", "b\n")])]
    path = make(tmp_path / "repo", commits, "--object-format=sha256")
    run(path, to)
    assert_equal_at_every_commit(path, platform)


def test_a_rename_is_a_move_and_brings_no_content_that_has_not_changed(imported: Any) -> None:
    text = gitrepos.long_text("x")
    moves = [
        Made([write("a", text)]),
        Made([delete("a"), write("b", text)]),
        Made([delete("b"), write("c", text + "more")]),
    ]
    found = [event for event in imported(moves).events(STREAM) if isinstance(event, FileMoved)]
    contents = [(move.source, move.path, move.content) for move in found]
    assert contents == [("a", "b", None), ("b", "c", (text + "more").encode())]


def test_the_author_is_the_actor_and_the_commits_date_the_time(imported: Any) -> None:
    platform = imported([Made(time=EPOCH, author=b"Ada Lovelace <ada@example.org>", message=b"one\n\nbody\n\n")])
    context, events = platform.appends[STREAM][0]
    assert (context.actor, context.time) == ("Ada Lovelace <ada@example.org>", EPOCH * 1_000_000)
    assert events[-1].message == "one\n\nbody"


def test_odd_authors_are_escaped_and_cut(imported: Any) -> None:
    actors = [context.actor for context, _ in imported(gitrepos.odd_names()).appends[STREAM]]
    assert actors[0] == "Ünïcode 🎉 \\u202e <ü@example.org>"
    assert actors[1] == "\\xff\\xfe <>"
    assert actors[2] == "x" * 256


def test_dates_in_the_future_are_clamped_and_counted(tmp_path: Path) -> None:
    platform, to = target(tmp_path / "blobs")
    path = make(tmp_path / "repo", [Made(time=EPOCH), Made(time=EPOCH + 100), Made(time=2**40)])
    done = run(path, to, now=lambda: (EPOCH + 50) * 1_000_000)
    assert done.clamped == 2
    assert [context.time for context, _ in platform.appends[STREAM]] == [
        EPOCH * 1_000_000,
        (EPOCH + 50) * 1_000_000,
        (EPOCH + 50) * 1_000_000,
    ]


def test_a_second_import_adds_nothing_and_a_third_only_what_is_new(tmp_path: Path) -> None:
    platform, to = target(tmp_path / "blobs")
    path = make(tmp_path / "repo", gitrepos.ordinary())
    run(path, to)
    assert run(path, to).commits == 0
    git(path, "-c", "user.name=n", "-c", "user.email=e", "commit", "-q", "--allow-empty", "-m", "new")
    assert run(path, to).commits == 1
    assert_equal_at_every_commit(path, platform)


@dataclass
class Killed:
    """Commands that die behind the n-th append."""

    commands: MemoryCommands
    left: int

    async def execute(self, stream: str, command: Any, context: Context) -> Appended:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        return await self.commands.execute(stream, command, context)


@pytest.mark.parametrize("appends", [0, 1, 2, 3, 4, 6])
def test_an_import_that_was_killed_goes_on_also_within_a_commit(tmp_path: Path, appends: int) -> None:
    platform, to = target(tmp_path / "blobs")
    path = make(tmp_path / "repo", gitrepos.large())
    with pytest.raises(KeyboardInterrupt):
        run(path, Target(Killed(platform, appends), platform, to.blobs))
    assert len(platform.appends[STREAM]) == appends
    run(path, to)
    assert_equal_at_every_commit(path, platform)


@dataclass
class Shaky:
    """Commands of which every second answer is lost."""

    commands: MemoryCommands
    asked: list[str | None] = field(default_factory=list)

    async def execute(self, stream: str, command: Any, context: Context) -> Appended:
        self.asked.append(context.key)
        answer = await self.commands.execute(stream, command, context)
        if len(self.asked) % 2:
            raise Unavailable("the answer was lost")
        return answer


def test_a_lost_answer_is_asked_for_again(tmp_path: Path) -> None:
    platform, to = target(tmp_path / "blobs")
    path = make(tmp_path / "repo", gitrepos.merges())
    commands = Shaky(platform)
    with stamina.set_testing(True, attempts=2):
        run(path, Target(commands, platform, to.blobs))
    assert len(commands.asked) == 2 * len(first_parents(path))
    assert_equal_at_every_commit(path, platform)


def test_progress_is_told_commit_by_commit(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    run(make(tmp_path / "repo", gitrepos.merges()), target(tmp_path)[1], progress=lambda *at: told.append(at))
    assert told == [(done, 6) for done in range(1, 7)]


def test_a_rewritten_history_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    platform, to = target(tmp_path / "blobs")
    path = make(tmp_path / "repo", gitrepos.ordinary())
    run(path, to)
    git(path, "-c", "user.name=n", "-c", "user.email=e", "commit", "-q", "--amend", "--allow-empty", "-m", "other")
    with pytest.raises(HistoryRewritten, match="under another --name"):
        run(path, to)
    git(path, "update-ref", "HEAD", "HEAD~3")
    with pytest.raises(HistoryRewritten, match="another branch"):
        run(path, to)
    git(path.parent, "init", "-q", str(tmp_path / "other"))
    with pytest.raises(HistoryRewritten):
        run(tmp_path / "other", to)
    assert len(platform.appends[STREAM]) == 9


def test_a_file_beyond_the_limit_stops_at_its_commit_and_is_not_stored(tmp_path: Path) -> None:
    platform, to = target(tmp_path / "blobs")
    path = make(tmp_path / "repo", [Made([write("a")]), Made([write("huge", b"\0" * 100_000_001)])])
    with pytest.raises(Refused, match=r"commit \w+ cannot be recorded: 'huge' has 100,000,001 bytes") as refused:
        run(path, to)
    assert refused.value.rule == "P2"
    assert len(platform.appends[STREAM]) == 1
    assert not list((tmp_path / "blobs").rglob("*"))


def test_bare_detached_shallow_and_linked_repositories(tmp_path: Path) -> None:
    path = make(tmp_path / "repo", gitrepos.merges())
    git(tmp_path, "clone", "-q", "--bare", str(path), "bare.git")
    git(tmp_path, "clone", "-q", "--depth", "3", path.as_uri(), "shallow")
    git(path, "worktree", "add", "-q", "--detach", str(tmp_path / "linked"), "HEAD~1")
    for name, commits in (("bare.git", 6), ("shallow", 3), ("linked", 5)):
        platform, to = target(tmp_path / "blobs")
        done = run(tmp_path / name, to)
        assert (done.commits, done.shallow) == (commits, name == "shallow")
        assert_equal_at_every_commit(tmp_path / name, platform)
    assert [open_repository(tmp_path / name).name for name in ("bare.git", "linked")] == ["bare", "linked"]


def test_a_repository_is_found_from_a_directory_within(tmp_path: Path) -> None:
    path = make(tmp_path / "repo", gitrepos.merges())
    (path / "a" / "b").mkdir(parents=True)
    assert open_repository(path / "a" / "b").name == "repo"
    assert open_repository(path / ".git").name == "repo"


def test_a_repository_without_commits_has_nothing_to_import(tmp_path: Path) -> None:
    done = run(make(tmp_path / "repo", []), target(tmp_path / "blobs")[1])
    assert (done.head, done.commits) == ("", 0)


def test_what_is_no_repository_is_said_plainly(tmp_path: Path) -> None:
    with pytest.raises(GitError, match="is not in a git repository"):
        open_repository(tmp_path)
    with pytest.raises(GitError, match="is not a directory"):
        open_repository(tmp_path / "none")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a directory away")
def test_a_foreign_repository_names_the_setting(tmp_path: Path) -> None:
    path = make(tmp_path / "repo", gitrepos.merges())
    for entry in (path, path / ".git"):
        os.chown(entry, 12345, 12345)
    with pytest.raises(GitError, match=r"git config --global --add safe\.directory"):
        open_repository(path)


def test_a_missing_content_is_named(tmp_path: Path) -> None:
    path = make(tmp_path / "repo", [Made([write("a", "to be lost\n")])])
    with open_repository(path).contents() as contents, pytest.raises(GitError, match="has no content 1111"):
        contents.read(["1" * 40], 10, lambda *_: None)


def test_no_git_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GitError, match="git is not installed"):
        open_repository(tmp_path)


def test_configuration_and_environment_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make(tmp_path / "repo", [*gitrepos.ordinary(), *gitrepos.renames()[1:]])
    for setting in (
        *("diff.renames=copies", "diff.ignoreSubmodules=all", "diff.noprefix=true", "diff.relative=true"),
        *("log.showSignature=true", "log.mailmap=true", "log.follow=true", "log.diffMerges=off", "log.showRoot=false"),
        *(
            "color.ui=always",
            "core.quotepath=on",
            "diff.submodule=log",
            "diff.orderFile=nowhere",
            "diff.external=false",
        ),
        *("i18n.logOutputEncoding=latin1", "log.date=relative", "core.abbrev=4", "core.pager=false"),
    ):
        git(path, "config", *setting.split("=", 1))
    (path / ".mailmap").write_text("Other <other@example.org> <author@example.org>\n")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", "false")
    platform, to = target(tmp_path / "blobs")
    run(path, to)
    monkeypatch.undo()
    assert_equal_at_every_commit(path, platform)
    assert platform.appends[STREAM][0][0].actor == "A U Thor <author@example.org>"


def test_replaced_commits_are_not_followed(tmp_path: Path) -> None:
    platform, to = target(tmp_path / "blobs")
    path = make(tmp_path / "repo", gitrepos.merges())
    head, before = first_parents(path)[-1], first_parents(path)[-2]
    git(path, "replace", before, first_parents(path)[0])
    run(path, to)
    assert list(at_commits(platform))[-2:] == [before, head]
