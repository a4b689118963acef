"""What a page shows of one version, or of two: the event, the state in its category's own shape, and a file of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from bridge import states
from bridge.errors import LighthouseError, NotFound
from bridge.events import RecordedEvent, StreamId
from bridge.history.events import Range
from bridge.history.reader import Change
from bridge.ui import textdiff
from bridge.ui.folders import changed, files_tree
from bridge.ui.textdiff import Shown
from bridge.ui.tree import ABSENT, Branch, find, grow
from bridge.ui.window import Window
from bridge.views import File, Files, Table, View

log = structlog.get_logger()

EVENTS_BETWEEN = 200


@dataclass(frozen=True, slots=True)
class Picture:
    """A state with its marks: one of tree, files and table. `why` says why there is none."""

    before: int
    version: int
    tree: Branch | None = None
    files: Branch | None = None
    table: Table | None = None
    changed: list[File] = field(default_factory=list)
    file: str = ""
    content: Shown | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One version: its event, or why that cannot be read, and the state after it."""

    version: int
    event: RecordedEvent | None
    fields: Branch
    picture: Picture
    why: str = ""


@dataclass(frozen=True, slots=True)
class Between:
    """Two versions: the difference, and the first of the events from one to the other."""

    before: int
    after: int
    events: list[RecordedEvent]
    picture: Picture

    @property
    def count(self) -> int:
        """How many events lie between."""
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class _Past:
    """The stream up to a version, as views see it (bridge.views.Past)."""

    window: Window
    stream: str
    version: int

    def holding(self, text: str) -> AsyncIterator[RecordedEvent]:
        """The events that hold a text, newest first."""
        return self.window.platform.history.holding(self.stream, text, self.version)


class Steps:
    """The versions of one stream, as pictures."""

    def __init__(self, window: Window, stream: str) -> None:
        self._window = window
        self._stream = stream
        self._history = window.platform.history
        self._view = window.views.get(StreamId.parse(stream).category)

    async def at(self, version: int, file: str = "") -> Step:
        """One version. Raises NotFound where there is none; what is parked is told in the step."""
        picture = await self._picture(version - 1, version, file)
        try:
            page = await self._history.events(self._stream, Range(version, version + 1, 1))
        except LighthouseError as error:
            return Step(version, None, Branch(()), picture, str(error))
        if not page.events:
            raise NotFound(f"{self._stream} has no version {version}: its last is {page.head - 1}")
        event = page.events[0]
        return Step(version, event, grow(event.data, event.data), picture)

    async def between(self, before: int, after: int, file: str = "") -> Between:
        """Two versions, the lower one first."""
        picture = await self._picture(before, after, file)
        events = await self._history.events(self._stream, Range(before + 1, after + 1, EVENTS_BETWEEN))
        return Between(before, after, events.events, picture)

    async def branch(self, before: int, after: int, pointer: str, skip: int) -> Branch:
        """A branch of the state, by its pointer or its folder. Raises NotFound."""
        change = await self._history.change(self._stream, before, after)
        if self._view is not None and isinstance(shape := self._view.shape(change.old, change.new), Files):
            return files_tree(shape.files, inside=pointer, skip=skip)
        old, new = (find(states.plain(state), pointer) for state in (change.old, change.new))
        return self._grown(old, new, pointer, skip)

    async def fields(self, version: int, pointer: str, skip: int) -> Branch:
        """A branch of an event's fields. Raises NotFound."""
        page = await self._history.events(self._stream, Range(version, version + 1, 1))
        value = find(page.events[0].data, pointer) if page.events else ABSENT
        return self._grown(value, value, pointer, skip)

    def _grown(self, old: Any, new: Any, pointer: str, skip: int) -> Branch:
        if new is ABSENT and old is ABSENT:
            raise NotFound(f"{self._stream} has nothing at {pointer[:80]!r} in this version")
        return grow(old, new, pointer, skip)

    async def _picture(self, before: int, after: int, file: str) -> Picture:
        """A state that cannot be had, for want of a decider or since it is parked, is told in the picture."""
        picture = Picture(before, after)
        try:
            change = await self._history.change(self._stream, before, after)
        except LighthouseError as error:
            return replace(picture, why=str(error))
        if self._view is None:
            return replace(picture, tree=_plain(change))
        try:
            return await self._drawn(self._view, picture, change, file)
        except Exception as error:  # an application's code: whatever it raises, the plain state can be shown
            log.warning("a view failed", stream=self._stream, version=after, exc_info=error)
            return replace(picture, tree=_plain(change), why=f"The view of this category failed: {error!r}")

    async def _drawn(self, view: View, picture: Picture, change: Change, file: str) -> Picture:
        shape = view.shape(change.old, change.new)
        if isinstance(shape, Table):
            return replace(picture, table=shape)
        marked = changed(shape.files)
        chosen = file or (marked[0].path if marked else "")
        content = await self._content(view, change, chosen, marked) if chosen else None
        tree = files_tree(shape.files, chosen)
        return replace(picture, files=tree, changed=marked, file=chosen, content=content)

    async def _content(self, view: View, change: Change, path: str, marked: list[File]) -> Shown:
        """What lies at a path, beside what lay there, or where it was moved from."""
        source = next((each.was for each in marked if each.path == path and each.was), path)
        past = _Past(self._window, self._stream, change.after)
        try:
            new = await view.content(change.new, path, past)
            old = await view.content(change.old, source, past)
        except LighthouseError as error:
            return Shown(why=str(error))
        return textdiff.show(old, new)


def _plain(change: Change) -> Branch:
    return grow(states.plain(change.old), states.plain(change.new))
