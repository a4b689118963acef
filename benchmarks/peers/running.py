"""The stream-processing peers as processes: started, watched through the files that they write, and ended."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from benchmarks.figure import NotMeasured
from benchmarks.peers.environments import interpreter
from benchmarks.peers.skewed import Skewed, State
from benchmarks.peers.told import Job
from benchmarks.scene import Process, end, until

FIRST = 60.0
"""Seconds in which a peer must have processed its first event."""

LOOK = 0.005
FILES = ("begun", "seen", "done")


@dataclass(frozen=True)
class Done:
    """What a peer told when it had processed the last event: events a second since its first, and its state."""

    rate: float
    state: State


@dataclass
class Peer:
    """A consumer group with its state on disk, and its process, of which there is one at a time."""

    name: str
    topic: Skewed
    session: float
    group: str = field(init=False)
    _process: Process = field(init=False)

    def __post_init__(self) -> None:
        self.group = f"{self.name}-{uuid4().hex[:8]}"
        self.directory.mkdir(parents=True)
        place, settings = self.topic, self.topic.scene.settings
        where = str(self.directory)
        job = Job(settings.kafka_bootstrap, place.topic, self.group, where, place.schema, place.ends, self.session)
        job.write(self.directory / "job.json")

    @property
    def directory(self) -> Path:
        """Its state, and what it tells."""
        return self.topic.scene.settings.root / self.group

    @contextmanager
    def running(self) -> Iterator[Process]:
        """Starts it; what an earlier process told is forgotten, its state is not. Raises NotMeasured."""
        python = interpreter(self.name, self.topic.scene.settings.cache_root)
        for told in FILES:
            (self.directory / told).unlink(missing_ok=True)
        command = [str(python), "-m", f"benchmarks.peers.{self.name}_fold", str(self.directory / "job.json")]
        self._process = self.topic.scene.launch(self.group, command, {"PYTHONPATH": ""})
        try:
            yield self._process
        finally:
            end(self._process)

    async def begun(self) -> float:
        """When it had processed its first event, on this machine's clock."""
        return float(await self._told("begun", FIRST))

    async def seen(self, events: int, patience: float) -> None:
        """Returns when it has processed so many events, perhaps a few hundred more."""
        await self.begun()

        async def enough() -> bool:
            return self.count() >= events

        await until(enough, f"{events} events of {self.name}", [self._process], patience, LOOK)

    def count(self) -> int:
        """How many events this process has processed, as it last noted."""
        return int((self.directory / "seen").read_text() or 0)

    async def done(self, patience: float) -> Done:
        """What it tells at the end."""
        told = json.loads(await self._told("done", patience))
        state = {key: (count, sum_, last) for key, (count, sum_, last) in told["state"].items()}
        return Done(told["events"] / told["seconds"], state)

    async def _told(self, name: str, patience: float) -> str:
        file = self.directory / name

        async def settled() -> bool:
            return file.exists() or self._process.poll() is not None

        await until(settled, f"{self.name} to write {name!r}", (), patience, LOOK)
        if not file.exists():
            raise NotMeasured(
                f"{self.name} ended with {self._process.returncode}: {self.topic.scene.last_words(self.group)}"
            )
        return file.read_text()
