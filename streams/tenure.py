"""What an owner says of itself in its space: who it is, what its time goes to, and that it has let go (P1, P7)."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from bridge.store.rows import Spent, Tenure

EVERY = 1.0
"""Seconds between two times that an owner which applies records writes it down."""


def _name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


@dataclass
class Worker:
    """A process that owns partitions: its name, its clock in seconds, and how long it has waited for records (P2)."""

    name: str = field(default_factory=_name)
    clock: Callable[[], float] = time.monotonic
    waited: float = 0.0


class Watch:
    """Counts one owner's records, and its seconds by step. A lap begins where the last one ended."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self._since = _now()
        self._waited = worker.waited
        self._records = 0
        self._seconds = {"p3": 0.0, "p4": 0.0, "p5": 0.0}
        self._lap = 0.0
        self._told = worker.clock()
        self._news = True

    def start(self) -> None:
        """A batch begins."""
        self._lap = self.worker.clock()

    def lap(self, step: str) -> None:
        """The time since the last lap went to this step."""
        now = self.worker.clock()
        self._seconds[step] += now - self._lap
        self._lap = now

    def count(self, records: int) -> None:
        """So many were applied."""
        self._records += records
        self._news = True

    @property
    def due(self) -> bool:
        """Whether there is something new to be written, and the last time is long enough ago."""
        return self._news and self.worker.clock() - self._told >= EVERY

    def tell(self, left: bool = False) -> bytes:
        """The row's value as of now."""
        self._told, self._news = self.worker.clock(), False
        spent = Spent(self.worker.waited - self._waited, **self._seconds)
        return Tenure(self.worker.name, self._since, _now(), left, self._records, spent).pack()


def _now() -> int:
    return time.time_ns() // 1000
