"""One writer at a time, and no stopped process in its way.

LMDB's own write lock is held across processes and names nobody: a process that is stopped inside a write transaction
would block the next owner for ever. So a POSIX record lock is taken before it. The kernel drops that lock when its
holder dies, and F_GETLK names the holder exactly. A holder that stays too long is ended, once its pid, start time and
boot are those of a writer of this space; LMDB's robust mutex then rolls its transaction back.

Closing *any* descriptor of the file drops the process's lock: each open space has one, and opens it once.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from bridge.errors import LighthouseError
from bridge.store.machine import pid_namespace, process_mark, replace

POLL = 0.001  # seconds between two attempts
LONGEST_STEP = 0.05  # seconds that one attempt can add to the patience used up
ATTEMPTS = 3  # times that a holder is sent SIGKILL before this process gives up
_FLOCK = struct.Struct("hhqqi4x")  # struct flock of 64-bit Linux: type, whence, start, length, pid

log = structlog.get_logger()


class WriterLock:
    """The right to write one space, for one process. Not re-entrant."""

    def __init__(self, directory: Path, patience: float) -> None:
        """`patience` is in seconds."""
        self._directory = directory
        self._patience = patience
        self._inside = threading.Lock()  # a record lock does not keep this process's own threads apart
        self._file = os.open(directory / "writer.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def enrol(self) -> None:
        """Leaves this process's record beside the space, and removes those of processes that are gone."""
        for record in self._directory.glob(f"writer-{pid_namespace()}-*"):
            if record.suffix != ".new" and not _alive(record):
                record.unlink(missing_ok=True)
        replace(self._record(os.getpid()), str(process_mark(os.getpid())))

    def try_acquire(self) -> bool:
        """Takes the lock if it is free; never blocks."""
        if self._file < 0:
            raise LighthouseError(f"the store {self._directory} is closed; open it again")
        if not self._inside.acquire(blocking=False):
            return False
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._inside.release()
            if isinstance(error, (BlockingIOError, PermissionError)):
                return False
            raise
        return True

    def release(self) -> None:
        """Gives the lock back."""
        fcntl.lockf(self._file, fcntl.LOCK_UN)
        self._inside.release()

    async def acquire(self, wanted: Callable[[], None]) -> None:
        """Takes the lock, and ends the process that holds it for longer than the patience.

        `wanted` is called before each attempt and raises when there is nothing to write any more, so that a zombie
        ends no owner. Raises LighthouseError when the holder cannot be ended.
        """
        vigil, ended = _Vigil(), 0
        while not self.try_acquire():
            wanted()
            if vigil.look(self.holder()) > self._patience:
                ended += 1
                self._end(vigil.pid, ended)
                vigil = _Vigil()
            await asyncio.sleep(POLL)

    def wait(self) -> None:
        """Takes the lock, blocking this thread; LighthouseError after the patience. Ends nobody."""
        until = time.monotonic() + self._patience
        while not self.try_acquire():
            if time.monotonic() > until:
                raise LighthouseError(f"process {self.holder()} keeps {self._directory} locked; end it and try again")
            time.sleep(POLL)

    def holder(self) -> int | None:
        """The other process that holds the lock; 0 for one in another pid namespace, None where there is none."""
        question = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, pid = _FLOCK.unpack(fcntl.fcntl(self._file, fcntl.F_GETLK, question))
        return None if kind == fcntl.F_UNLCK else int(pid)

    def close(self) -> None:
        """Frees the descriptor and this process's record; drops the lock if it is held."""
        self._record(os.getpid()).unlink(missing_ok=True)
        os.close(self._file)
        self._file = -1

    def _record(self, pid: int) -> Path:
        return self._directory / f"writer-{pid_namespace()}-{pid}"

    def _end(self, pid: int | None, attempt: int) -> None:
        """Sends SIGKILL to the holder, unless it has moved on; a pidfd, for a pid may be given to another process."""
        if pid is None:
            return
        if attempt > ATTEMPTS:
            raise LighthouseError(f"process {pid} keeps {self._directory} locked and does not die of SIGKILL")
        self._refuse_strangers(pid)
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        try:
            self._kill(pid, descriptor)
        finally:
            os.close(descriptor)

    def _kill(self, pid: int, descriptor: int) -> None:
        if self.holder() != pid:
            return
        self._refuse_strangers(pid)
        log.warning("ending a writer that holds the lock for too long", pid=pid, space=str(self._directory))
        try:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        except ProcessLookupError:
            return
        except PermissionError as error:
            raise LighthouseError(f"process {pid} keeps {self._directory} locked; end it, this user may not") from error

    def _refuse_strangers(self, pid: int) -> None:
        """Raises LighthouseError unless the process that now has this pid is a writer of this space."""
        if pid == os.getpid():
            raise LighthouseError(f"this process waits for its own lock on {self._directory}")
        if pid <= 0:
            raise LighthouseError(f"a process of another pid namespace keeps {self._directory} locked; end it there")
        if not _alive(self._record(pid)):
            raise LighthouseError(f"process {pid} keeps {self._directory} locked but is no writer of it; end it")


class _Vigil:
    """How long one holder has been in the way.

    A gap between two looks counts as a short step: a process that was itself stopped must not blame the holder for it.
    """

    def __init__(self) -> None:
        self.pid: int | None = None
        self._seconds = 0.0
        self._last = time.monotonic()

    def look(self, pid: int | None) -> float:
        """The seconds for which this pid has been the holder."""
        now = time.monotonic()
        same = pid is not None and pid == self.pid
        self._seconds = self._seconds + min(now - self._last, LONGEST_STEP) if same else 0.0
        self.pid, self._last = pid, now
        return self._seconds


def _alive(record: Path) -> bool:
    """Whether the process that left this record runs."""
    try:
        text = record.read_text()
    except FileNotFoundError:
        return False
    return text == str(process_mark(int(record.name.rpartition("-")[2])))
