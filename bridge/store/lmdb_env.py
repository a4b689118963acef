"""One LMDB environment: opening it, moving it away when it is broken, and letting its map grow.

Traps that this module knows:
- one path may be open once in a process, and never in a forked child;
- LMDB unmaps the memory when the map grows, so no transaction of this process may be open then;
- a process learns that another one has let the map grow when it begins a transaction (MapResizedError).
"""

from __future__ import annotations

import asyncio
import errno
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import lmdb
import structlog

from bridge.errors import LighthouseError, Unavailable, Unknown
from bridge.store.boot_record import BootRecord
from bridge.store.writer_lock import WriterLock

MEBIBYTE = 1 << 20
READERS = 4096
ENGINE = 0  # LMDB 0.9; py-lmdb 3 also carries 1.0, whose files are different, and lets an environment variable choose
SPARE_TRANSACTIONS = 64
GRACE = 1.0  # seconds that open views get before the map moves
NO_ROOM = (os.strerror(errno.ENOSPC), os.strerror(errno.EIO))  # LMDB calls it EIO when some of its pages did fit
DAMAGE = (lmdb.CorruptedError, lmdb.InvalidError, lmdb.PageNotFoundError, lmdb.VersionMismatchError)

Begin = Callable[[], "lmdb.Transaction[bytes]"]
log = structlog.get_logger()
_open: dict[Path, Environment] = {}  # of this process, and of the one that forked it


class Environment:
    """An open environment. `begin` starts a read transaction; swapping it is how the slow cases stay off the way."""

    begin: Begin

    def __init__(self, directory: Path, map_mb: int, lock: WriterLock) -> None:
        """Raises LighthouseError when this process, or the one that forked it, has the directory open."""
        self.directory = directory.resolve()
        self.boot = BootRecord(directory)
        self.views: set[object] = set()
        self._map_size = map_mb * MEBIBYTE
        self._lock = lock
        self._moving = asyncio.Lock()
        self._moves = 0
        _claim(self)
        try:
            self._open()
        except BaseException:
            del _open[self.directory]
            raise

    def begin_writing(self) -> lmdb.Transaction[bytes]:
        """A write transaction. Call it with the writer lock held, or it may block for ever."""
        return self._lmdb.begin(write=True)

    def check_usable(self) -> None:
        """Raises LighthouseError when it is closed, or belongs to the process that forked this one."""
        with suppress(lmdb.Error):  # the slow path of `reader` may still succeed
            self.begin().abort()

    async def reader(self) -> lmdb.Transaction[bytes]:
        """A read transaction, also where `begin` fails because the map has grown or the reader table is full."""
        while True:
            moves = self._moves
            try:
                return self.begin()
            except lmdb.MapResizedError:
                await self.adopt(moves)
            except lmdb.ReadersFullError as error:
                if not self._lmdb.reader_check():
                    raise Unavailable(f"{self.directory} has {READERS} open views; leave them sooner") from error
            except lmdb.Error as error:
                raise self.explain(error) from error

    async def adopt(self, moves: int | None = None) -> None:
        """Gives the map the size that another process gave it, unless it has moved since `moves`."""
        await self._move(lambda: self._lmdb.set_mapsize(0), self._moves if moves is None else moves)

    async def grow(self) -> None:
        """Doubles the map."""
        size = 2 * int(self._lmdb.info()["map_size"])
        log.info("letting the map grow", space=str(self.directory), mib=size // MEBIBYTE)
        await self._move(lambda: self._lmdb.set_mapsize(size), self._moves)

    async def renew(self) -> None:
        """Opens the files that now lie in the directory, where the open ones are lost; anew if they are damaged."""
        if self.lost():
            await self._move(self._reopen, self._moves)

    async def follow(self) -> None:
        """Opens the files that now lie in the directory, where another process has started anew."""
        if self._replaced():
            await self._move(self._reopen, self._moves)

    def lost(self) -> bool:
        """Whether the open files are damaged, or no longer those in the directory."""
        return not self.boot.trusted() or self._replaced()

    def _replaced(self) -> bool:
        try:
            return os.stat(self._data).st_ino != self._inode
        except FileNotFoundError:
            return True

    def explain(self, error: lmdb.Error) -> LighthouseError:
        """A sentence for an error of LMDB. A broken page is remembered, so that the next owner starts anew."""
        if isinstance(error, DAMAGE):
            self.boot.damaged()
            return LighthouseError(f"{self.directory} is damaged ({error}); its owner will start it anew")
        if any(sign in str(error) for sign in NO_ROOM):
            return LighthouseError(f"{self.directory} cannot be written: {error}; free some space on its disk")
        if type(error) is lmdb.Error:  # how py-lmdb refuses a transaction that it had to end
            return Unknown(f"a view of {self.directory} was left open while its files had to move; ask again")
        return LighthouseError(f"{self.directory}: {error}")

    def check_readers(self) -> None:
        """Frees the slots, and the pages, of readers that died."""
        if dead := self._lmdb.reader_check():
            log.info("freed the slots of dead readers", space=str(self.directory), readers=dead)

    def sync(self) -> None:
        """Writes everything committed so far to disk; blocks. Safe in a thread, whatever the map does meanwhile.

        `env.sync()` would do nothing in an environment opened with sync off, and `env.sync(True)` looks at the map.
        """
        os.fdatasync(self._file)

    def close(self) -> None:
        """Ends every open view and frees the map."""
        self.begin = self._refuse_closed
        if _open.pop(self.directory, None) is not None:
            self._shut()

    def refuse_fork(self) -> None:
        """Called in a forked child: its copy of the environment would share the parent's reader slots."""
        self.begin = self._refuse_forked
        self.begin_writing = self._refuse_forked  # type: ignore[method-assign]

    @property
    def _data(self) -> Path:
        return self.directory / "data.mdb"

    async def _move(self, change: Callable[[], None], moves: int) -> None:
        """Changes the map once every view is left, or GRACE seconds later, which ends the views that remain."""
        async with self._moving:
            if moves != self._moves:
                return
            self.begin = self._refuse_moving
            try:
                await self._views_left()
                change()
            finally:
                self._moves += 1
                self.begin = self._lmdb.begin

    async def _views_left(self) -> None:
        until = time.monotonic() + GRACE
        while self.views and time.monotonic() < until:  # noqa: ASYNC110 - an event would cost each view that is left
            await asyncio.sleep(0.001)

    def _open(self) -> None:
        if not self.boot.trusted():
            self._start_anew_locked("it is damaged, or the machine went down before it was closed")
        try:
            self._lmdb = self._open_files()
        except DAMAGE as error:
            self._start_anew_locked(f"it cannot be opened: {error}")
            self._lmdb = self._open_files()
        self._file = os.open(self._data, os.O_RDWR | os.O_CLOEXEC)
        self._inode = os.fstat(self._file).st_ino
        self._lmdb.reader_check()
        self.rows = self._lmdb.open_db()
        self.begin = self._lmdb.begin

    def _open_files(self) -> lmdb.Environment:
        return lmdb.open(
            str(self.directory),
            map_size=self._map_size,
            sync=False,
            metasync=False,
            readahead=False,
            max_readers=READERS,
            max_spare_txns=SPARE_TRANSACTIONS,
            lib_version=ENGINE,
        )

    def _reopen(self) -> None:
        self._shut()
        self._open()

    def _shut(self) -> None:
        self._lmdb.close()
        os.close(self._file)

    def _start_anew_locked(self, reason: str) -> None:
        """Moves the files away, unless another process has done so before this one got the lock."""
        self._lock.wait()
        try:
            if not self.boot.trusted() or not self._opens():
                self._start_anew(reason)
        finally:
            self._lock.release()

    def _opens(self) -> bool:
        try:
            self._open_files().close()
        except DAMAGE:
            return False
        return True

    def _start_anew(self, reason: str) -> None:
        """A damaged file is kept for whoever wants to know why; one that a reboot tore is only in the way."""
        aside = self.directory / f"damaged-{time.time_ns()}.mdb"
        log.warning("starting a space anew", space=str(self.directory), reason=reason)
        if self.boot.torn():
            self._data.unlink(missing_ok=True)
        elif self._data.exists():
            self._data.rename(aside)
        (self.directory / "lock.mdb").unlink(missing_ok=True)
        self.boot.forget()

    def _refuse_moving(self) -> lmdb.Transaction[bytes]:
        raise lmdb.MapResizedError("the map is about to move")

    def _refuse_closed(self) -> lmdb.Transaction[bytes]:
        raise LighthouseError(f"the store {self.directory} is closed; open it again")

    def _refuse_forked(self) -> lmdb.Transaction[bytes]:
        raise LighthouseError(f"the store {self.directory} was opened before a fork; start processes with spawn")


def _claim(environment: Environment) -> None:
    if environment.directory in _open:
        raise LighthouseError(
            f"{environment.directory} is already open in this process or in the one that forked it;"
            " share one Stores object in a process, and start processes with spawn"
        )
    _open[environment.directory] = environment


def _after_fork() -> None:
    for environment in _open.values():
        environment.refuse_fork()


os.register_at_fork(after_in_child=_after_fork)
