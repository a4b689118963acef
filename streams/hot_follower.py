"""The follower: one task a partition that feeds its hot space with what the history has committed.

Nothing here can hold the history: changes come through a bounded queue, and whatever goes wrong leads back to the
beginning, where the space's own row and the history's `x` rows tell what is missing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import islice
from typing import TypeVar

import structlog

from bridge.errors import Fenced, LighthouseError, Unavailable
from bridge.store import keys
from bridge.store.contract import Mark, Row, Store, View
from bridge.store.rows import Changed, Hot
from streams.hot import STANDING, Change, Copy, Kept, Removal, Slice, missed

log = structlog.get_logger()
T = TypeVar("T")

QUEUE_ROWS = 50_000
QUEUE_BYTES = 32 * 1024 * 1024
"""What of changes waits in memory for a hot store that takes its time."""

AT_ONCE = 2_000
"""Rows of changes that are gathered into one commit of the hot space, and of a doomed prefix that it removes."""

SLICE = 500
SLICE_BYTES = 1024 * 1024
"""Rows of the history that are copied in one commit of the hot space, and what they may have in bytes."""

FEW = 20
"""Missed rows that are read at once, until they have that many bytes."""

PATIENCE = 5.0
"""Seconds for one call of the hot store, and for a commit of the history to be told here once it was seen there."""

PATIENCE_FOR_WIPE = 60.0
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0


@dataclass(frozen=True)
class Sides:
    """The two spaces of a partition, what is hot in it, and an owner's session in seconds.

    `turns` bounds how many followers of a process read the history at once, for its owners need its connections.
    """

    space: str
    history: Store
    hot: Store
    kept: Kept
    session: float
    turns: asyncio.Semaphore


@dataclass
class _Hot:
    """The hot space under the follower's own epoch there."""

    mark: Mark
    copy: Copy


class Follower:
    """Feeds the hot space of one partition under one owner, from the first that it is told until it is to `leave`.

    `copied` is the last commit of the history that the hot space has, all of it.
    """

    def __init__(self, sides: Sides) -> None:
        self.copied = -1
        self._sides = sides
        self._queue: deque[Change] = deque()
        self._rows = self._bytes = 0
        self._lost = False
        self._beats = False
        self._left = False
        self._woken = asyncio.Event()
        self._pause = FIRST_PAUSE
        self._owned = Mark(0, 0, -1)
        self._task: asyncio.Task[None] | None = None

    # Told by the owner, which waits for nothing here.

    def follow(self, mark: Mark, change: Change) -> None:
        """A commit of the history has led to this mark. What there is no room for is read again from the history."""
        self._owned = mark
        self._rows += len(change.rows)
        self._bytes += change.bytes
        if self._rows > QUEUE_ROWS or self._bytes > QUEUE_BYTES:
            self._forget()
            self._lost = True
        else:
            self._queue.append(replace(change, at=asyncio.get_running_loop().time()))
        self._wake()

    def beat(self, mark: Mark) -> None:
        """The owner lives."""
        self._owned = mark
        self._beats = True
        self._wake()

    def _wake(self) -> None:
        if self._task is None and not self._left:
            self._task = asyncio.get_running_loop().create_task(self._run(), name=f"hot {self._sides.space}")
        self._woken.set()

    @property
    def running(self) -> bool:
        """Whether it still has something to do."""
        return self._task is not None and not self._task.done()

    def leave(self) -> None:
        """The partition has another owner from now on, or none: what waits here is told, and nothing more begun."""
        self._left = True
        self._woken.set()

    async def close(self, patience: float) -> None:
        """Leaves, and waits so many seconds at most for what is to be told."""
        self.leave()
        if self._task is None:
            return
        await asyncio.wait([self._task], timeout=patience)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def _forget(self) -> None:
        self._queue.clear()
        self._rows = self._bytes = 0

    # The task.

    async def _run(self) -> None:
        while not self._left:
            try:
                await self._feed(await self._open())
            except Fenced as error:
                log.info("hot rows are fenced", space=self._sides.space, error=str(error))
            except (LighthouseError, OSError, TimeoutError) as error:
                log.warning("hot rows wait for their store", space=self._sides.space, error=repr(error))
            except Exception:  # a bug of ours must not cost more than the hot rows of one partition
                log.exception("hot rows are not fed", space=self._sides.space)
            else:
                continue
            await self._rest()

    async def _rest(self) -> None:
        """A pause after something went wrong, longer each time."""
        pause, self._pause = self._pause, min(self._pause * 2, LONGEST_PAUSE)
        until = asyncio.get_running_loop().time() + pause
        while not self._left and (left := until - asyncio.get_running_loop().time()) > 0:
            await self._told(left)

    async def _told(self, timeout: float | None = None) -> None:
        """Returns once anything was told, or after a time."""
        self._woken.clear()
        try:
            async with asyncio.timeout(timeout):
                await self._woken.wait()
        except TimeoutError:
            return

    async def _open(self) -> _Hot:
        """W3: takes the hot space over, and judges what it lacks. Raises Fenced where the history is another's."""
        sides = self._sides
        async with self._reading():
            pass
        mark = await _within(PATIENCE, sides.hot.own())
        raw, there = await _within(PATIENCE, self._look(mark))
        self._forget()  # what is told from here on is in the view below, or comes after it
        self._lost = False
        hot = Hot.unpack(raw) if raw is not None else None
        async with self._reading() as view:
            missing = await _missed(view, sides.kept, hot) if hot is not None else None
            owner = await _owner(view)
            standing = await _standing(view, sides.kept)
            at = view.mark
        if hot is None or missing is None:
            log.info("hot rows are copied afresh", space=sides.space)
            mark = await _within(PATIENCE_FOR_WIPE, sides.hot.wipe(mark))
            hot, missing, there = Hot(b"", -1), set(), []
        progress = {key: value for key, value in standing.items() if value is not None and key not in STANDING}
        gone = dict.fromkeys(key for key in there if key not in standing)
        self._begin(Change(owner, at.commit, at.position, {}, gone | standing))
        return _Hot(mark, Copy(sides.kept, hot, mark.position, missing, progress))

    def _begin(self, opening: Change) -> None:
        """The first change is how the history stands; those that it comprises are not told again."""
        while self._queue and self._queue[0].commit <= opening.commit:
            self._take()
        self._queue.appendleft(replace(opening, at=asyncio.get_running_loop().time()))

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[View]:
        """A view of the history. Raises Fenced where that is another owner's, or has gone back in a fail-over.

        Then this follower has nothing to say any more, though nobody may have told it so yet.
        """
        async with self._sides.turns:
            owned = self._owned  # as it is before the view is asked for: commits go on while it comes
            async with self._sides.history.view() as view:
                if view.mark.epoch != owned.epoch or view.mark.commit < owned.commit:
                    self.leave()
                    raise Fenced(f"{self._sides.space} is at {view.mark}, behind or beside {owned}")
                yield view

    async def _look(self, mark: Mark) -> tuple[bytes | None, list[bytes]]:
        """The hot space's row, and the keys of its builds' progress."""
        async with self._sides.hot.view() as view:
            if view.mark != mark:
                raise Fenced(f"{self._sides.space} has the mark {view.mark}, not {mark}")
            return await view.get(keys.HOT), [key for key, _ in await view.scan(keys.PROGRESS, limit=10_000)]

    async def _feed(self, hot: _Hot) -> None:
        """Tells and copies until changes were lost, or all is told after the partition has left."""
        while not self._lost and not (self._left and not self._queue):
            if not (self._queue or self._beats or hot.copy.busy):
                await self._told()
            await self._turn(hot)

    async def _turn(self, hot: _Hot) -> None:
        """W2: one commit of the hot space, if there is anything to say."""
        began = asyncio.get_running_loop().time()
        if self._queue and began - self._queue[0].at > self._sides.session:
            self._lost = True  # readers must not be given what is that old
            return
        found, removal = await self._more(hot.copy) if hot.copy.busy and not self._left else (None, None)
        changes = await self._gather(hot.copy.last, found.commit if found else -1)
        if changes or found or removal:
            self._beats = False
            await self._commit(hot, changes, found, removal)
        elif self._beats:
            self._beats = False
            await _within(PATIENCE, self._sides.hot.beat(hot.mark))
        if found or removal:  # others have work, too
            await asyncio.sleep(asyncio.get_running_loop().time() - began)

    async def _commit(self, hot: _Hot, changes: list[Change], found: Slice | None, removal: Removal | None) -> None:
        writes = hot.copy.merge(changes, found, removal)
        self._lost |= hot.copy.hopeless
        hot.mark = await _within(PATIENCE, self._sides.hot.commit(hot.mark, hot.copy.position, writes))
        if hot.copy.hot.following:
            self.copied = hot.copy.hot.commit
        self._pause = FIRST_PAUSE

    async def _gather(self, last: Change | None, commit: int) -> list[Change]:
        """The changes that are told next: all up to the commit that a slice has seen, and more if they are there."""
        changes: list[Change] = []
        rows, reached = 0, last.commit if last is not None else -1
        until = asyncio.get_running_loop().time() + PATIENCE
        while reached < commit or self._room(rows):
            if not self._queue:
                await self._await_change(until)
                continue
            change = self._take()
            if change.commit <= reached:
                continue
            if reached >= 0 and change.commit != reached + 1:
                raise Unavailable(f"{self._sides.space} was told of commit {change.commit} after {reached}")
            changes.append(change)
            rows, reached = rows + len(change.rows), change.commit
        return changes

    def _room(self, rows: int) -> bool:
        """Whether the next change fits into a commit that has so many rows; one alone always does."""
        return bool(self._queue) and (not rows or rows + len(self._queue[0].rows) <= AT_ONCE)

    async def _await_change(self, until: float) -> None:
        if self._lost or (left := until - asyncio.get_running_loop().time()) <= 0:
            raise Unavailable(f"{self._sides.space} was not told of a commit that its history has")
        await self._told(left)

    def _take(self) -> Change:
        change = self._queue.popleft()
        self._rows -= len(change.rows)
        self._bytes -= change.bytes
        return change

    # What is read to be copied.

    async def _more(self, copy: Copy) -> tuple[Slice | None, Removal | None]:
        """The next slice, or the next rows to be removed: what was missed comes first."""
        if copy.missing:
            return await self._missing(copy), None
        if copy.hot.doomed:
            return None, await _within(PATIENCE, self._doomed(copy.hot.doomed[0]))
        async with self._reading() as view:
            prefix, cursor = copy.next_prefix, copy.hot.cursor
            start = cursor + b"\0" if cursor else None
            rows = await view.scan(prefix, start=start, limit=SLICE, most_bytes=SLICE_BYTES)
            return Slice(view.mark.commit, dict(rows), prefix, rows[-1][0] if rows else b""), None

    async def _missing(self, copy: Copy) -> Slice:
        wanted, found = sorted(islice(copy.missing, SLICE)), dict[bytes, bytes | None]()
        async with self._reading() as view:
            size = 0
            for start in range(0, len(wanted), FEW):
                few = wanted[start : start + FEW]
                found |= zip(few, await view.get_many(few), strict=True)
                size += sum(len(found[key] or b"") for key in few)
                if size > SLICE_BYTES:
                    break
            return Slice(view.mark.commit, found)

    async def _doomed(self, prefix: bytes) -> Removal:
        async with self._sides.hot.view() as view:
            found = [key for key, _ in await view.scan(prefix, limit=AT_ONCE)]
        return Removal(prefix, found, len(found) < AT_ONCE)


async def _missed(view: View, kept: Kept, hot: Hot) -> set[bytes] | None:
    """The keys that the hot space has missed; None where that is not known."""
    if hot.commit < 0:
        return None
    start = keys.change(hot.commit)
    found: list[Row] = []
    while page := await view.scan(keys.CHANGES, start=start, limit=1000, most_bytes=SLICE_BYTES):
        found += page
        start = page[-1][0] + b"\0"
    return missed(kept, hot, view.mark.commit, found)


async def _owner(view: View) -> bytes:
    """Who made the history's last commit, if that one left its name."""
    raw = await view.get(keys.change(view.mark.commit))
    return Changed.unpack(raw).owner if raw is not None else b""


async def _standing(view: View, kept: Kept) -> dict[bytes, bytes | None]:
    """The rows by which readers judge, as they are."""
    standing = dict(zip(STANDING, await view.get_many(STANDING), strict=True))
    for prefix in kept.progress:
        standing |= dict(await view.scan(prefix, limit=10_000))
    return standing


async def _within(seconds: float, call: Awaitable[T]) -> T:
    """What a call answers; TimeoutError where it does not."""
    async with asyncio.timeout(seconds):
        return await call
