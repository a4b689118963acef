"""How a project is shown: its files with their marks, and what lies in one, wherever that is kept."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from immutables import Map

from bridge.errors import NotFound
from bridge.events import Envelope, RecordedEvent
from bridge.views import File, Mark
from lighthouse.blobs import open_blobs
from lighthouse.project.content import MAX_INLINE_BYTES, object_id
from lighthouse.project.state import File as Stored
from lighthouse.project.state import Project
from lighthouse.view import ProjectView

LARGE = b"x" * (MAX_INLINE_BYTES + 1)


def stored(content: bytes, mode: str = "100644") -> Stored:
    return Stored(object_id(content), len(content), mode)


def project(**files: bytes) -> Project:
    return Project(Map({name: stored(content) for name, content in files.items()}))


def recorded(version: int, hash: str, content: bytes | None) -> RecordedEvent:
    data = {"path": "a", "hash": hash, "content": content}
    return RecordedEvent("project/p", version, "FileModified", data, Envelope("ann", 0), b"", 0, 0, 0, 0, 0, 1)


class Events:
    """A past of some events, newest first, that notes what it was asked for."""

    def __init__(self, *events: RecordedEvent) -> None:
        self.events = events
        self.asked: list[str] = []

    async def holding(self, text: str) -> AsyncIterator[RecordedEvent]:
        self.asked.append(text)
        for event in self.events:
            yield event


@pytest.fixture
def view(tmp_path: Path) -> ProjectView:
    return ProjectView(open_blobs("", tmp_path))


def test_files_are_marked_by_what_became_of_them(view: ProjectView) -> None:
    before = project(kept=b"1", changed=b"2", gone=b"3", moved=b"4", twin=b"4")
    after = project(kept=b"1", changed=b"22", here=b"4", new=b"5")
    assert view.shape(before, after).files == [
        File("changed", "2 B", Mark.CHANGED),
        File("gone", "1 B", Mark.REMOVED),
        File("here", "1 B", Mark.ADDED, "moved"),
        File("kept", "1 B"),
        File("new", "1 B", Mark.ADDED),
        File("twin", "1 B", Mark.REMOVED),
    ]


async def test_a_small_content_comes_from_the_event_that_brought_it(view: ProjectView) -> None:
    hash = object_id(b"one")
    past = Events(recorded(9, hash, None), recorded(8, "0" * 40, b"two"), recorded(3, hash, b"one"))
    assert await view.content(project(a=b"one"), "a", past) == b"one"
    assert await view.content(project(a=b"one"), "a", Events()) == b"one"
    assert past.asked == [hash]


async def test_a_large_content_comes_from_the_blob_store(view: ProjectView, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="has no content"):
        await view.content(project(a=LARGE), "a", Events())
    open_blobs("", tmp_path).put(object_id(LARGE), len(LARGE), [LARGE])
    assert await view.content(project(a=LARGE), "a", Events()) == LARGE


async def test_what_is_no_file_has_no_content(view: ProjectView) -> None:
    assert await view.content(project(), "a", Events()) is None
    submodule = Project(Map({"s": Stored("a" * 40, 0, "160000")}))
    assert await view.content(submodule, "s", Events()) == b"commit " + b"a" * 40 + b"\n"
