"""The LMDB adapter: one environment a space, one writing process, many reading ones, on one machine.

Rows and mark are rows of the same environment, so that each transaction sees both as one commit left them. Sync is
off; Kafka is the durable copy (DESIGN 7).
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import islice, takewhile
from pathlib import Path
from struct import Struct
from typing import Self, TypeAlias, TypeVar

import lmdb
import structlog
from msgspec.structs import replace

from bridge.errors import Fenced, LighthouseError
from bridge.settings import Settings
from bridge.store.contract import UNOWNED, Mark, Row, Writes
from bridge.store.lmdb_env import Environment
from bridge.store.machine import boot_clock, boot_id
from bridge.store.poller import Poller, Reached, Waiters, not_reached
from bridge.store.ranges import bounds, sorted_rows, within
from bridge.store.writer_lock import WriterLock

MARK_KEY = b"\0mark"
BEAT_KEY = b"\0beat"
READER_CHECK_BEATS = 30
FOLLOW_EVERY = 1.0  # seconds between two looks whether the open files are still the ones in the directory
SPACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")
_MARK = Struct(">QQq")
_BEAT = Struct(">16sQ")

T = TypeVar("T")
Txn: TypeAlias = "lmdb.Transaction[bytes]"
Step = Callable[[Mark], Mark]
Apply = Callable[["Txn"], None]

log = structlog.get_logger()


def _nothing(_: Txn) -> None:
    """Changes no row."""


class LmdbView:
    """One read transaction. None of its methods ever suspends."""

    __slots__ = ("_environment", "_mark", "_txn")

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._mark: Mark | None = None

    async def __aenter__(self) -> Self:
        environment = self._environment
        try:
            self._txn = environment.begin()
        except lmdb.Error:
            self._txn = await environment.reader()
        environment.views.add(self)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._environment.views.discard(self)
        self._txn.abort()

    @property
    def mark(self) -> Mark:
        """See the contract."""
        if self._mark is None:
            self._mark = self._explained(_read_mark)
        return self._mark

    @property
    def beat_age(self) -> float:
        """See the contract. A beat of another boot is infinitely old."""
        return self._explained(_read_beat_age)

    async def get(self, key: bytes) -> bytes | None:
        """See the contract."""
        try:
            return self._txn.get(key)
        except lmdb.Error as error:
            raise self._environment.explain(error) from error

    async def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """See the contract."""
        return self.read(keys)

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The rows' values, as `get_many` answers them."""
        get = self._txn.get
        try:
            return [get(key) for key in keys]
        except lmdb.Error as error:
            raise self._environment.explain(error) from error

    async def scan(
        self,
        prefix: bytes,
        start: bytes | None = None,
        stop: bytes | None = None,
        reverse: bool = False,
        limit: int = 1000,
        most_bytes: int | None = None,
    ) -> list[Row]:
        """See the contract."""
        low, high = bounds(prefix, start, stop)
        walk = _descend if reverse else _ascend
        return self._explained(lambda txn: within(walk(txn.cursor(), low, high, limit), most_bytes))

    def _explained(self, read: Callable[[Txn], T]) -> T:
        try:
            return read(self._txn)
        except lmdb.Error as error:
            raise self._environment.explain(error) from error


class LmdbStore:
    """One space. Writes run on the event loop, which the writer lock never blocks; only syncing takes a thread."""

    def __init__(self, space: str, directory: Path, settings: Settings, poller: Poller) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.space = space
        self.waiters = Waiters()
        self.closed = False
        self._poller = poller
        self._lock = WriterLock(directory, settings.lmdb_lock_patience)
        try:
            self._environment = Environment(directory, settings.lmdb_map_mb, self._lock)
        except BaseException:
            self._lock.close()
            raise
        self._epoch = 0
        self._beats = 0
        self._unsynced = False
        self._syncing: asyncio.Future[None] | None = None
        self._follow_at = 0.0

    def view(self) -> LmdbView:
        """See the contract."""
        return LmdbView(self._environment)

    async def own(self) -> Mark:
        """See the contract. Starts the space anew where a page was found broken."""
        self._environment.check_usable()
        await self._environment.renew()
        self._lock.enrol()
        boot = self._environment.boot
        await asyncio.to_thread(boot.dirty)
        mark = await self._write(_take_over)
        await asyncio.to_thread(boot.dirty)  # the owner before may have closed, and said `clean`, in between
        self._epoch = mark.epoch
        return mark

    async def commit(self, mark: Mark, position: int, writes: Writes) -> Mark:
        """See the contract."""
        rows, deletes = sorted_rows(writes), writes.deletes

        def apply(txn: Txn) -> None:
            txn.cursor().putmulti(rows)
            for key in deletes:
                txn.delete(key)

        return await self._write(self._follower(mark, position), apply)

    async def wipe(self, mark: Mark) -> Mark:
        """See the contract."""
        rows = self._environment.rows
        return await self._write(self._follower(mark, UNOWNED.position), lambda txn: txn.drop(rows, delete=False))

    async def beat(self, mark: Mark) -> None:
        """See the contract. Starts a sync of what was committed since the last beat, and does not wait for it."""
        if self._environment.lost():
            raise Fenced(f"{self.space} is damaged or was started anew; own it again")
        await self._write(lambda found: self._same(replace(found, epoch=mark.epoch), found))
        self._sync_soon()
        self._beats += 1
        if self._beats % READER_CHECK_BEATS == 0:
            self._environment.check_readers()

    async def wait(self, position: int, timeout: float) -> Mark:
        """See the contract. Looks at once: what is waited for has often been reached."""
        mark, _ = await self._find(position, ())
        return mark if mark.position >= position else (await self._reached(position, timeout, ()))[0]

    async def read_at(self, position: int, timeout: float, keys: Sequence[bytes]) -> list[bytes | None]:
        """See the contract. Joins the poller's next look, for a record just written has never been applied yet."""
        return (await self._reached(position, timeout, keys))[1]

    async def _reached(self, position: int, timeout: float, keys: Sequence[bytes]) -> Reached:
        self._poller.watch(self)
        found = await self.waiters.until(position, timeout, keys) or await self._find(position, keys)
        if found[0].position < position:
            raise not_reached(self.space, position, found[0], timeout)
        return found

    async def _find(self, position: int, keys: Sequence[bytes]) -> Reached:
        """The mark as it is now, and the rows where it has reached the position."""
        await self._follow()
        async with self.view() as view:
            return view.mark, await view.get_many(keys) if view.mark.position >= position else []

    async def look(self) -> None:
        """Wakes the waiters whose positions are reached."""
        await self._follow()
        async with self.view() as view:
            self.waiters.reached(view.mark, view.read)

    async def _follow(self) -> None:
        """Each second: opens the files anew where another process has replaced them."""
        if self._follow_at < (now := time.monotonic()):
            self._follow_at = now + FOLLOW_EVERY
            await self._environment.follow()

    async def close(self) -> None:
        """See the contract. The owner syncs, so that the space outlives a reboot."""
        if self.closed:
            return
        self.closed = True
        self.waiters.fail(LighthouseError(f"the store {self.space} was closed while somebody waited on it"))
        try:
            await self._leave()
        finally:
            self._environment.close()
            self._lock.close()

    async def _write(self, step: Step, apply: Apply = _nothing) -> Mark:
        """Runs one write transaction; again after the map has grown.

        `step` makes the new mark of the one found, or raises Fenced; `apply` changes the rows.
        """
        if self.closed:
            raise LighthouseError(f"the store {self.space} is closed; open it again")
        while True:
            if not self._lock.try_acquire():
                await self._lock.acquire(lambda: self._foresee(step))
            try:
                return self._transact(step, apply)
            except lmdb.MapFullError:
                remedy = self._environment.grow
            except lmdb.MapResizedError:
                remedy = self._environment.adopt
            except lmdb.Error as error:
                raise self._environment.explain(error) from error
            finally:
                self._lock.release()
            await remedy()

    def _transact(self, step: Step, apply: Apply) -> Mark:
        with self._environment.begin_writing() as txn:
            found = _read_mark(txn)
            mark = step(found)
            apply(txn)
            txn.put(MARK_KEY, _MARK.pack(mark.epoch, mark.commit, mark.position))
            if mark.epoch == found.epoch:
                txn.put(BEAT_KEY, _BEAT.pack(boot_id().bytes, boot_clock()))
        self._unsynced |= mark != found
        return mark

    def _foresee(self, step: Step) -> None:
        """Raises Fenced, without the writer lock, as soon as the step would."""
        try:
            with self._environment.begin() as txn:
                step(_read_mark(txn))
        except lmdb.Error:
            return  # the map is growing; the write transaction compares again

    def _follower(self, mark: Mark, position: int) -> Step:
        """The step of a commit (I6)."""
        after = Mark(mark.epoch, mark.commit + 1, position)

        def step(found: Mark) -> Mark:
            self._same(mark, found)
            return after

        return step

    def _same(self, mark: Mark, found: Mark) -> Mark:
        if mark != found:
            raise Fenced(f"{self.space} has the mark {found}, not {mark}; another owner or commit came before")
        return found

    def _sync_soon(self) -> None:
        if self._unsynced and (self._syncing is None or self._syncing.done()):
            self._unsynced = False
            self._syncing = asyncio.ensure_future(asyncio.to_thread(self._sync))

    def _sync(self) -> None:
        try:
            self._environment.sync()
        except OSError as error:
            log.error("a space cannot be written to disk", space=self.space, error=str(error))
            self._environment.boot.damaged()

    async def _leave(self) -> None:
        """Syncs and says `clean`, if the space is still this process's."""
        if self._syncing is not None:
            await self._syncing
        if not self._epoch or self._environment.lost():
            return
        await asyncio.to_thread(self._environment.sync)
        if self._lock.try_acquire():
            try:
                if self._still_owner():
                    self._environment.boot.clean()
            finally:
                self._lock.release()

    def _still_owner(self) -> bool:
        try:
            with self._environment.begin() as txn:
                return _read_mark(txn).epoch == self._epoch
        except lmdb.MapResizedError:
            return False  # another owner has let the map grow


class LmdbStores:
    """The spaces below one directory, for one event loop."""

    def __init__(self, directory: Path, settings: Settings) -> None:
        self._directory = directory
        self._settings = settings
        self._poller = Poller()
        self._stores: dict[str, LmdbStore] = {}

    def open(self, space: str) -> LmdbStore:
        """See the contract. Raises LighthouseError for a name that is no safe file name."""
        store = self._stores.get(space)
        if store is None or store.closed:
            if not SPACE.fullmatch(space):
                raise LighthouseError(f"{space!r} cannot name a space; use at most 200 of A-Z a-z 0-9 . _ -")
            store = self._stores[space] = LmdbStore(space, self._directory / space, self._settings, self._poller)
        return store

    async def close(self) -> None:
        """Closes every open store, also after one of them failed to; raises the first failure."""
        results = await asyncio.gather(*(store.close() for store in self._stores.values()), return_exceptions=True)
        self._stores.clear()
        for result in results:
            if isinstance(result, BaseException):
                raise result


def _take_over(found: Mark) -> Mark:
    return Mark(found.epoch + 1, found.commit, found.position)


def _read_mark(txn: Txn) -> Mark:
    raw = txn.get(MARK_KEY)
    return UNOWNED if raw is None else Mark(*_MARK.unpack(raw))


def _read_beat_age(txn: Txn) -> float:
    raw = txn.get(BEAT_KEY)
    if raw is None:
        return math.inf
    boot, stamp = _BEAT.unpack(raw)
    return max(0.0, (boot_clock() - stamp) / 1e9) if boot == boot_id().bytes else math.inf


def _ascend(cursor: lmdb.Cursor[bytes], low: bytes, high: bytes | None, limit: int) -> Iterable[Row]:
    if limit <= 0 or not cursor.set_range(low):
        return []
    rows = islice(cursor.iternext(), limit)
    return rows if high is None else takewhile(lambda row: row[0] < high, rows)


def _descend(cursor: lmdb.Cursor[bytes], low: bytes, high: bytes | None, limit: int) -> Iterable[Row]:
    found = cursor.prev() if high is not None and cursor.set_range(high) else cursor.last()
    if limit <= 0 or not found:
        return []
    return takewhile(lambda row: row[0] >= low, islice(cursor.iterprev(), limit))
