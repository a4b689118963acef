"""A project's states as people see them: its file tree, and what lies at a path."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from itertools import chain

from bridge.settings import Settings
from bridge.views import File, Files, Mark, Past, View
from lighthouse.blobs import Blobs, open_blobs
from lighthouse.project.content import MAX_INLINE_BYTES, SUBMODULE
from lighthouse.project.state import File as Stored
from lighthouse.project.state import Project

KEPT = 512
"""Inline contents kept in memory by their hash: at most 32 MiB."""

NOTES = {"100755": "executable", "120000": "link", SUBMODULE: "submodule"}


class ProjectView:
    """Contents come from the events, or beyond 64 KiB from the blob store; either way they are what their hash says."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._known: OrderedDict[str, bytes] = OrderedDict()

    def shape(self, before: Project, after: Project) -> Files:
        """The tree by path. A file that went while another came with the same content was moved."""
        return Files(sorted(_files(before.files, after.files), key=lambda file: file.path))

    async def content(self, state: Project, path: str, past: Past) -> bytes | None:
        """What lies at the path; a submodule's is the id of its commit."""
        file = state.files.get(path)
        if file is None:
            return None
        if file.mode == SUBMODULE:
            return f"commit {file.hash}\n".encode()
        return await self._inline(file, past) if file.size <= MAX_INLINE_BYTES else await self._large(file)

    async def _inline(self, file: Stored, past: Past) -> bytes | None:
        if (known := self._known.get(file.hash)) is not None:
            self._known.move_to_end(file.hash)
            return known
        async for event in past.holding(file.hash):
            content: bytes | None = event.data.get("content")
            if event.data.get("hash") == file.hash and content is not None:
                return self._keep(file.hash, content)
        return None

    def _keep(self, hash: str, content: bytes) -> bytes:
        self._known[hash] = content
        if len(self._known) > KEPT:
            self._known.popitem(last=False)
        return content

    async def _large(self, file: Stored) -> bytes:
        return await asyncio.to_thread(self._blobs.get, file.hash)


def _files(before: Mapping[str, Stored], after: Mapping[str, Stored]) -> Iterator[File]:
    """In any order; which of several equal files moved where is told by the order of their paths."""
    gone: dict[str, list[str]] = {}
    for path in sorted((path for path in before if path not in after), reverse=True):
        gone.setdefault(before[path].hash, []).append(path)
    for path, file in after.items():
        if (old := before.get(path)) is not None:
            yield File(path, note(file), Mark.SAME if old is file or old == file else Mark.CHANGED)
    for path in sorted(path for path in after if path not in before):
        sources = gone.get(after[path].hash)
        yield File(path, note(after[path]), Mark.ADDED, sources.pop() if sources else "")
    for path in chain.from_iterable(gone.values()):
        yield File(path, note(before[path]), Mark.REMOVED)


def note(file: Stored) -> str:
    """Its size, or what it is when it is no plain file."""
    kind = NOTES.get(file.mode, "")
    return kind if file.mode == SUBMODULE else f"{file.size:,} B {kind}".rstrip()


def views(settings: Settings) -> Mapping[str, View]:
    """The Lighthouse's views; the blob store is the one that imports write to."""
    return {"project": ProjectView(open_blobs(settings.blobs, settings.root / "blobs"))}
