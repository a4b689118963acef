"""Processes of the platform, forked from one that has imported everything: a start costs 20 ms of work, not 2 s.

Each runs `python -m module` with an environment, directory and standard streams of its own, and is a real process in
every other way. What is about a start itself (the console script, `up`) is tested without this.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory

from bridge.local.tether import PR_SET_PDEATHSIG

PRELOADED = (
    "bridge.api.app",
    "bridge.cli.main",
    "streams.main",
    "streams.supervisor",
    "hypothesis",
    "pytest",
    "uvicorn",
    "wsproto",
)
processes = get_context("forkserver")
processes.set_forkserver_preload(list(PRELOADED))


@dataclass(frozen=True)
class Order:
    """What a process is to be: a module with arguments, and all that it finds around it."""

    module: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    directory: Path
    stdin: Path
    stdout: Path
    stderr: Path

    def carry_out(self) -> None:
        """Becomes it, in the forked process."""
        os.setsid()
        if sys.platform == "linux":  # whoever ends pytest ends what it has started
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        os.environ.clear()
        os.environ.update(self.environment)
        os.chdir(self.directory)
        append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        for number, (path, mode) in enumerate(
            ((self.stdin, os.O_RDONLY), (self.stdout, append), (self.stderr, append))
        ):
            os.dup2(os.open(path, mode), number)
        sys.stdin = open(0, encoding="utf-8")  # noqa: SIM115 - for as long as the process lives
        sys.path[:0] = [path for path in self.environment.get("PYTHONPATH", "").split(os.pathsep) if path]
        sys.argv = [self.module, *self.arguments]
        runpy.run_module(self.module, run_name="__main__", alter_sys=True)


class Forked:
    """A forked process, with as much of `subprocess.Popen` as tests need."""

    def __init__(self, process: BaseProcess) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        """Its number."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """The same."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, once it has ended. Raises TimeoutExpired."""
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Sends a signal, unless it has ended."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Sends SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Sends SIGKILL."""
        self.send_signal(signal.SIGKILL)


def fork(
    module: str,
    *arguments: str,
    environment: Mapping[str, str],
    stdout: Path,
    stderr: Path | None = None,
    stdin: Path = Path(os.devnull),
    directory: Path | None = None,
) -> Forked:
    """Starts `python -m module`; what it writes is added to the files."""
    where = Path.cwd() if directory is None else directory
    order = Order(module, arguments, dict(environment), where, stdin, stdout, stdout if stderr is None else stderr)
    process = processes.Process(target=order.carry_out, daemon=True)
    process.start()
    return Forked(process)


def completed(
    module: str,
    *arguments: str,
    environment: Mapping[str, str],
    directory: Path | None = None,
    stdin: str = "",
    timeout: float = 120,
) -> subprocess.CompletedProcess[str]:
    """Runs `python -m module` to its end, as `subprocess.run` would."""
    with TemporaryDirectory(prefix="forked-") as place:
        given, out, err = (Path(place) / name for name in ("in", "out", "err"))
        given.write_text(stdin, encoding="utf-8")
        streams = {"stdin": given, "stdout": out, "stderr": err}
        process = fork(module, *arguments, environment=environment, directory=directory, **streams)
        try:
            code = process.wait(timeout)
        finally:
            process.kill()
        return subprocess.CompletedProcess([module, *arguments], code, out.read_text(), err.read_text())
