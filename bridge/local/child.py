"""One child process: its command, its log file, its life and its death."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from bridge.errors import LocalError

LOGS_KEPT = 3
TAIL_LINES = 15
PAUSE = 0.05
"""Seconds between two looks whether it answers."""

REST = 1.0
"""Seconds before a child that has ended by itself is started again."""

TETHER = Path(__file__).with_name("tether.py")

# What a log says when a child dies, and what to do about it. The first that is found is told.
CAUSES = {
    "No space left on device": "the disk is full: free some space, or set LIGHTHOUSE_HOME to another disk",
    "Address already in use": "a port is in use: end that process, or set LIGHTHOUSE_KAFKA_PORT or _REGISTRY_PORT",
    "OutOfMemoryError": "its heap is too small: raise LIGHTHOUSE_KAFKA_HEAP_MB",
    "Cannot allocate memory": "the machine is out of memory: end something, or use fewer brokers",
    "Permission denied": "it may not read or write a file: see the owner of LIGHTHOUSE_HOME",
}


# The one thread that starts children: they are told of its end, which is this process's own end (tether.py).
_STARTER = ThreadPoolExecutor(1, thread_name_prefix="lighthouse-children")


class Child:
    """A process in a group of its own, so that the terminal's Ctrl-C reaches the parent alone."""

    def __init__(self, name: str, command: Sequence[str], log: Path, directory: Path, rest: float = REST) -> None:
        self.name = name
        self.log = log
        self.rest = rest
        self._command = command
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id; 0 before the first start. It changes with each restart."""
        return self._process.pid if self._process else 0

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative for a signal."""
        return self._process.poll() if self._process else None

    def start(self, command: Sequence[str] | None = None) -> None:
        """Starts it with a fresh log; `command` replaces the one given before. Raises LocalError."""
        self._command = command or self._command
        rotate(self.log)
        try:
            self._process = _STARTER.submit(self._spawn).result()
        except OSError as error:
            raise LocalError(f"{self.name} cannot be started: {error}") from error

    def _spawn(self) -> subprocess.Popen[bytes]:
        tether = [sys.executable, "-I", "-S", str(TETHER), str(os.getpid())]
        with self.log.open("wb") as log:
            return subprocess.Popen(
                [*tether, *self._command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._directory,
                start_new_session=True,
            )

    def check(self) -> None:
        """Raises LocalError with the end of the log when the child has died."""
        if self._process is None or self.exit_code is None:
            return
        raise LocalError(f"{self.ending}\n{tail(self.log)}")

    @property
    def ending(self) -> str:
        """How it ended, on one line, its likely cause with it."""
        code = self.exit_code
        assert code is not None
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return f"{self.name} {how}; {cause(self.log)}"

    def await_answer(self, answers: Callable[[], bool], timeout: float) -> None:
        """Returns once it answers. Raises LocalError when it has died, or does not answer within `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while not answers():
            self.check()
            if time.monotonic() > deadline:
                raise LocalError(late(self.name, timeout, self.log))
            time.sleep(PAUSE)

    def wait(self, timeout: float) -> bool:
        """Whether it ended within `timeout` seconds."""
        try:
            return self._process is None or self._process.wait(timeout) is not None
        except subprocess.TimeoutExpired:
            return False

    def terminate(self) -> None:
        """Asks it to end, waking it if it is stopped; returns at once."""
        if self._process and self.exit_code is None:
            self._process.terminate()
            self._process.send_signal(signal.SIGCONT)

    def stop(self, timeout: float) -> None:
        """Asks it to end, and kills it after `timeout` seconds or when the wait is interrupted."""
        self.terminate()
        try:
            self.wait(timeout)
        finally:
            self.kill()

    def kill(self) -> None:
        """SIGKILL to it and its own children; returns when it has ended."""
        if self._process and self.exit_code is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def stop_all(children: Sequence[Child], timeout: float) -> None:
    """All are asked first, so that they end beside each other; what is left after `timeout` seconds is killed."""
    deadline = time.monotonic() + timeout
    for child in children:
        child.terminate()
    for child in children:
        child.stop(max(0.0, deadline - time.monotonic()))


def rotate(log: Path) -> None:
    """Keeps the last three logs as `name.1.log` to `name.3.log`. Raises LocalError if the directory is not writable.

    An empty one is none: it is of a process that could not be started, and pushes out no other.
    """
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        if not log.exists() or not log.stat().st_size:
            return
        for number in range(LOGS_KEPT, 0, -1):
            older = numbered(log, number - 1)
            if older.exists():
                os.replace(older, numbered(log, number))
    except OSError as error:
        raise LocalError(f"{log.parent} is not writable ({error.strerror}); set LIGHTHOUSE_HOME elsewhere") from error


def numbered(log: Path, number: int) -> Path:
    """The log of `number` starts ago; 0 is the running one."""
    return log.with_suffix(f".{number}{log.suffix}") if number else log


def tail(log: Path, lines: int = TAIL_LINES) -> str:
    """The last lines of a log, indented, without Java's stack frames; reads at most the last 64 KiB."""
    if not log.exists():
        return "  (no log)"
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - (1 << 16)))
        text = file.read().decode(errors="replace")
    said = [line for line in text.splitlines() if not line.startswith(("\tat ", "\t... "))]
    return "\n".join(f"  {line[:300]}" for line in said[-lines:])


def late(name: str, timeout: float, log: Path) -> str:
    """The sentence for a child that runs but does not answer."""
    return f"{name} did not answer in {timeout:g} s; {cause(log)}\n{tail(log)}"


def cause(log: Path) -> str:
    """What the log says about a failure, or where to look."""
    text = tail(log, 200)
    hints = (hint for sign, hint in CAUSES.items() if sign in text)
    return next(hints, "see the end of its log") + f" ({log})"
