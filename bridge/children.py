"""Processes of the platform as children of one: started, started again when they die, ended together."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import structlog

log = structlog.get_logger()

PATIENCE = 15.0
"""Seconds that a child may take to finish what it acknowledged, before it is killed."""

PAUSE = 2.0


@dataclass
class Child:
    """One kind of process: `name` for people, `module` to run, its arguments, and the file that its output goes to."""

    name: str
    module: str
    arguments: Sequence[str] = ()
    output: Path | None = None
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    deaths: int = 0
    _file: IO[bytes] | None = field(default=None, repr=False)

    def start(self) -> None:
        """Starts the process, in a group of its own, so that Ctrl-C reaches the parent alone."""
        if self.output is not None and self._file is None:
            self.output.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.output.open("ab")
        command = [sys.executable, "-m", self.module, *self.arguments]
        self.process = subprocess.Popen(command, stdout=self._file, stderr=self._file, start_new_session=True)
        self.started = time.monotonic()

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self.process is not None and self.process.poll() is None

    def revive(self) -> None:
        """Starts the process again if it has died; one that dies at once is given a pause."""
        if self.alive or self.process is None:
            return
        age = time.monotonic() - self.started
        if age < PAUSE:
            return
        self.deaths += 1
        log.warning("process died", name=self.name, exit_code=self.process.returncode, lived=round(age, 1))
        self.start()

    def ask_to_stop(self) -> None:
        """SIGTERM, if it still runs."""
        if self.alive and self.process is not None:
            self.process.send_signal(signal.SIGTERM)

    def wait(self, until: float) -> None:
        """Returns when it has ended; kills it when it has not by then (monotonic time)."""
        if self.process is None:
            return
        try:
            self.process.wait(max(0.1, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            log.warning("process killed", name=self.name)
            self.process.kill()
            self.process.wait()
        if self._file is not None:
            self._file.close()
            self._file = None


def stop_all(children: Sequence[Child]) -> None:
    """Ends all children beside each other."""
    for child in children:
        child.ask_to_stop()
    until = time.monotonic() + PATIENCE
    for child in children:
        child.wait(until)
