"""One of the platform's own processes as a child: a processor, the reactors, an API. Kept alive, and ended in order."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import structlog

from bridge.errors import LocalError
from bridge.local.child import Child

log = structlog.get_logger()

PATIENCE = 15.0
"""Seconds that a process may take to finish what it acknowledged, before it is killed."""

PAUSE = 2.0
"""A process that died younger than this is started again only at this age."""


class Service:
    """One process that is to run for as long as its parent does."""

    def __init__(self, name: str, arguments: Sequence[str], logs: Path) -> None:
        self.name = name
        self.deaths = 0
        self.log = logs / f"{name}.log"
        self._child = Child(name, [sys.executable, "-m", *arguments], self.log, Path.cwd())
        self._started = 0.0
        self._asked = 0.0
        self._failure = ""

    def start(self) -> None:
        """Starts the process. Raises LocalError."""
        self._child.start()
        self._started = time.monotonic()

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self.pid != 0 and self._child.exit_code is None

    @property
    def pid(self) -> int:
        """The id of the process that was started last; 0 before that."""
        return self._child.pid

    def check(self) -> None:
        """Raises LocalError with the end of its log when the process has died."""
        self._child.check()

    def terminate(self) -> None:
        """Asks the process to end."""
        self._asked = time.monotonic()
        self._child.terminate()

    def gone(self) -> bool:
        """Whether a process that was asked to end has done so; one that takes too long is killed."""
        if self.alive and time.monotonic() - self._asked > PATIENCE:
            self._child.kill()
        return not self.alive

    def stop(self, timeout: float) -> None:
        """Waits for its end; kills it after `timeout` seconds."""
        self._child.stop(max(0.1, timeout))

    def revive(self) -> None:
        """Starts the process again if it has died, or if it could not be started; then it is tried at the next look."""
        if self.alive or time.monotonic() - self._started < PAUSE:
            return
        if self.pid and not self._failure:
            self.deaths += 1
            code = self._child.exit_code
            log.warning("process died, starting it again", name=self.name, exit_code=code, log=self.log)
        try:
            self.start()
        except LocalError as error:
            self._failed(str(error))
        else:
            self._failure = ""

    def _failed(self, failure: str) -> None:
        """Says so once, for it is tried again with each look."""
        if failure != self._failure:
            self._failure = failure
            log.error("process not started, trying again", name=self.name, error=failure)


def stop_all(services: Sequence[Service]) -> None:
    """Asks all to end, and kills what is left after the patience."""
    for service in services:
        service.terminate()
    until = time.monotonic() + PATIENCE
    for service in services:
        service.stop(until - time.monotonic())
