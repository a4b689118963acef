"""The pieces around the decider: paths, parts of a commit, blobs, reading ahead, schemas, the command's words."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Sequence
from contextlib import aclosing
from dataclasses import fields, replace
from pathlib import Path

import msgspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from bridge import states
from bridge.application import catalog
from bridge.errors import NotFound
from bridge.log.compose import load
from lighthouse.ahead import read_ahead
from lighthouse.application import application
from lighthouse.blobs import BlobError, Blobs, open_blobs
from lighthouse.commands import project_name, summary
from lighthouse.commits import MAX_BYTES, MAX_MESSAGE, Part, parts
from lighthouse.git import Blob, Commit, Entry, Repository
from lighthouse.import_git import Imported
from lighthouse.project import project
from lighthouse.project.content import object_id
from lighthouse.project.paths import ancestors, directories, escape, unescape
from tests.gitrepos import ODD_NAMES

SHA = "a" * 40


@pytest.mark.parametrize("raw", [*ODD_NAMES, b"", b"\\", b"\\\\", b"\\\\xff", b"\xff\\", bytes(range(1, 256))])
def test_every_path_survives(raw: bytes) -> None:
    assert unescape(escape(raw)) == raw
    escape(raw).encode()


def test_only_what_must_be_is_escaped() -> None:
    assert escape("grüße/日本語 \n\t\"'".encode()) == "grüße/日本語 \n\t\"'"
    assert escape(b"a\xffb\\c") == r"a\xffb\\c"


def test_directories_are_all_that_lie_above() -> None:
    assert list(ancestors("a/b/c/d")) == ["a/b/c", "a/b", "a"]
    files = ["a/b/c", "x", "a/d", "öl/ö"]
    asked = ["a", "a/b", "a/b/c", "b", "x", "a/d", "öl", "l", ""]
    assert directories(asked, files) == ["a", "a/b", "öl"]
    assert directories(["a"], []) == []


def entry(path: str, status: str = "A", source: str = "", mode: str = "100644") -> Entry:
    return Entry(status, path.encode(), mode, "1" * 40, source.encode(), "1" * 40 if source else "")


def cut(entries: Sequence[Entry], size: int = 10, message: str = "m") -> list[Part]:
    commit = Commit(SHA, (), 7, "n", "m", message, tuple(entries))
    return list(parts(commit, lambda hashes: [Blob(size, b"x" * size) for _ in hashes]))


def test_a_commit_that_fits_is_one_part_under_its_own_key() -> None:
    (part,) = cut([entry(str(number)) for number in range(999)])
    assert (part.key, part.time, part.actor, part.command.last) == (f"git:{SHA}", 7_000_000, "n <m>", True)
    assert cut([])[0].command.written == ()


def test_a_commit_of_a_thousand_changes_is_two_parts() -> None:
    first, second = cut([entry(str(number)) for number in range(1000)])
    assert [first.key, second.key] == [f"git:{SHA}:1", f"git:{SHA}:2"]
    assert [first.command.last, second.command.last] == [False, True]
    assert [first.command.message, second.command.message] == ["", "m"]
    assert (len(first.command.written), len(second.command.written)) == (999, 1)


def test_parts_are_cut_by_size_and_deletions_and_moves_come_first() -> None:
    entries = [*(entry(str(number)) for number in range(100)), entry("gone", "D"), entry("to", "R", "from")]
    first, *_, last = cut(entries, 65_536, "m" * 100_000)
    assert first.command.deleted == ("gone",)
    assert [move.path for move in first.command.moved] == ["to"]
    assert first.weight <= MAX_BYTES - MAX_MESSAGE
    assert len(last.command.message) == MAX_MESSAGE


def test_moves_that_hang_together_are_taken_apart() -> None:
    (part,) = cut([entry("a/b", "R", "x"), entry("c", "R", "a"), entry("lib", mode="160000")])
    assert part.command.deleted == ("x", "a")
    assert [write.path for write in part.command.written] == ["a/b", "c", "lib"]
    assert part.command.written[2].size == 0


CONTENT = b"some content" * 10_000
HASH = object_id(CONTENT)


@pytest.fixture(params=["directory", "memory"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    MemoryFileSystem.store.clear()
    return open_blobs("memory://blobs" if request.param == "memory" else "", tmp_path / "blobs")


def test_a_blob_is_put_once_and_got_back(blobs: Blobs) -> None:
    chunks = (CONTENT[place : place + 1000] for place in range(0, len(CONTENT), 1000))
    blobs.put(HASH, len(CONTENT), chunks)
    assert blobs.get(HASH) == CONTENT
    assert next(chunks, None) is None
    again = iter([CONTENT])
    blobs.put(HASH, len(CONTENT), again)
    assert next(again, None) is None


def test_a_blob_that_is_not_what_it_says_is_not_stored(blobs: Blobs, tmp_path: Path) -> None:
    for size, content in ((len(CONTENT), CONTENT[:-1]), (3, CONTENT)):
        with pytest.raises(BlobError, match=f"the content given as {HASH} is in truth"):
            blobs.put(HASH, size, [content])
    assert not blobs.has(HASH)
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]
    with pytest.raises(NotFound, match="has no content"):
        blobs.get(HASH)


def test_a_damaged_blob_is_noticed(tmp_path: Path) -> None:
    blobs = open_blobs("", tmp_path)
    blobs.put(HASH, len(CONTENT), [CONTENT])
    (tmp_path / HASH[:2] / HASH[2:]).write_bytes(b"damage")
    with pytest.raises(BlobError, match="damaged"):
        blobs.get(HASH)


def test_a_blob_store_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BlobError, match="cannot be written"):
        open_blobs("", tmp_path / "file").put(HASH, len(CONTENT), [CONTENT])


def test_a_blob_store_that_cannot_be_opened_says_so(tmp_path: Path) -> None:
    with pytest.raises(BlobError, match="'nonsense://x' cannot be opened"):
        open_blobs("nonsense://x", tmp_path)


class Failing:
    """Items of which the last does not come."""

    def __init__(self) -> None:
        self.closed = False

    def items(self, number: int) -> Generator[int, None, None]:
        try:
            yield from range(number)
            raise ValueError("no more")
        finally:
            self.closed = True


async def test_reading_ahead_hands_on_what_went_wrong() -> None:
    source = Failing()

    async def read() -> list[int]:
        return [item async for item in read_ahead(source.items(100), lambda _: 1, 1000)]

    with pytest.raises(ValueError, match="no more"):
        await read()
    assert source.closed


async def test_reading_ahead_keeps_the_order() -> None:
    items = (number for number in range(1000))
    assert [item async for item in read_ahead(items, lambda _: 1, 10)] == list(range(1000))


async def test_leaving_early_closes_the_source() -> None:
    source = Failing()
    async with aclosing(read_ahead(source.items(10_000), lambda _: 1, 10)) as items:
        async for _ in items:
            break
    assert source.closed


async def test_a_cancelled_reader_closes_the_source() -> None:
    source = Failing()

    async def read() -> None:
        async with aclosing(read_ahead(source.items(10_000), lambda _: 1, 10)) as items:
            async for _ in items:
                reading.set()
                await asyncio.Event().wait()

    reading = asyncio.Event()
    task = asyncio.create_task(read())
    await reading.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert source.closed


def test_every_event_has_the_fields_of_its_schema() -> None:
    schema = load("project", application.schemas / "project")
    in_avro = {
        event["name"]: {field["name"] for field in event["fields"]} for event in schema["fields"][-1]["type"]["items"]
    }
    assert in_avro == {event.__name__: {field.name for field in fields(event)} for event in project.events}


def test_the_application_registers_itself() -> None:
    found = catalog([application])
    assert found.deciders["project"] is project
    assert found.bookmarks[("project", "commit")].field == "sha"
    assert found.commands[0]().registered_commands[0].name == "import-git"


def test_a_state_survives_its_encoding() -> None:
    commit = Commit(SHA, (), 7, "n", "m", "", (entry("a"), entry("b")))
    (part,) = parts(commit, lambda hashes: [Blob(1, b"x") for _ in hashes])
    command = replace(part.command, written=tuple(replace(w, hash=object_id(b"x")) for w in part.command.written))
    state = project.initial
    for event in project.decide(command, state):
        state = project.evolve(state, event)
    assert states.decode(states.encode(state), project.state) == state
    assert len(state.files) == 2


def test_commands_come_from_json() -> None:
    body = {
        "sha": SHA,
        "parent": "",
        "written": [{"path": "a", "hash": SHA, "size": 0, "mode": "160000", "content": None}],
    }
    (record, create, *_) = project.commands
    assert msgspec.convert(body, record).written[0].path == "a"
    assert msgspec.convert({"path": "a", "content": "aGVsbG8="}, create).content == b"hello"


def test_the_summary_is_for_a_person() -> None:
    done = Imported("project/p", SHA, 1200, 3456, 2, True, 4.0)
    assert summary(done).splitlines() == [
        f"project/p: 1,200 commits (3,456 events) in 4.0 s, 300 commits/s; it is at {SHA}",
        "2 commits are dated in the future; they were recorded as of now",
        "the clone is shallow: the project's history begins where the clone's does",
    ]
    assert summary(replace(done, commits=0, clamped=0, shallow=False)) == f"project/p: nothing new; it is at {SHA}"
    assert summary(replace(done, head="", clamped=0, shallow=False)).endswith("no commits yet")


def test_a_project_is_named_by_its_directory() -> None:
    names = {name: project_name(Repository(Path(), name, "", False)) for name in ("a b", "été", "x.y", "")}
    assert names == {"a b": "a-b", "été": "-t-", "x.y": "x.y", "": "project"}
