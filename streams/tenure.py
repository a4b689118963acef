"""What an owner says of itself in its space: who it is, what its time goes to, and that it has let go (P1, P7)."""

from __future__ import annotations

import math
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from bridge.store.rows import Lived, Spent, Tenure

EVERY = 1.0
"""Seconds between two times that an owner which applies records writes it down."""

IDLE = 5.0
"""Seconds until one of a process's owners does so without records: how long it has waited is news of its own."""


def _name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def _now() -> int:
    return time.time_ns() // 1000


@dataclass
class Worker:
    """A process that owns partitions: its name, its clock in seconds, and when it was started.

    `waited` are the seconds that it has waited for records (P2) since then; one of its owners told that last at `told`.
    """

    name: str = field(default_factory=_name)
    clock: Callable[[], float] = time.monotonic
    waited: float = 0.0
    started: int = field(default_factory=_now)
    told: float = -math.inf

    def __post_init__(self) -> None:
        self._born = self.clock()

    @property
    def lived(self) -> Lived:
        """As of now, or as of the last poll."""
        return Lived(self.clock() - self._born, self.waited)


class Watch:
    """Counts one owner's records, and its seconds by step. A lap begins where the last one ended."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self._since = _now()
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
        """Whether there is something new to be written, of the owner or of its process, and the last time long ago."""
        now = self.worker.clock()
        return (self._news and now - self._told >= EVERY) or now - self.worker.told >= IDLE

    def tell(self, left: bool = False) -> bytes:
        """The row's value as of now."""
        worker = self.worker
        self._told, self._news = worker.clock(), False
        worker.told = self._told
        who = worker.name, self._since, _now(), left
        return Tenure(*who, self._records, Spent(**self._seconds), worker.started, worker.lived).pack()
