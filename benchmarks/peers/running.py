"""The stream-processing peers as processes: started, watched through the files that they write, and ended."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from confluent_kafka import Consumer, TopicPartition

from benchmarks.figure import NotMeasured
from benchmarks.peers.environments import interpreter
from benchmarks.peers.skewed import Skewed, State
from benchmarks.peers.told import Job
from benchmarks.scene import Process, end, until

ASK = 10.0
FIRST = 60.0
"""Seconds in which a peer must have processed its first event."""

LOOK = 0.005
FILES = ("begun", "seen", "done")


@dataclass(frozen=True)
class Done:
    """What a peer told at its end: events a second since its first, its state where that was reached.

    `busy` is its processor time in microseconds an event.
    """

    rate: float
    state: State | None
    busy: float


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

    @property
    def directory(self) -> Path:
        """Its state, and what it tells."""
        return self.topic.scene.settings.root / self.group

    @contextmanager
    def running(self) -> Iterator[Process]:
        """Starts it; what an earlier process told is forgotten, its state is not. Raises NotMeasured."""
        python = interpreter(self.name, self.topic.scene.settings.cache_root)
        job = self.directory / "job.json"
        self._job().write(job)
        for told in FILES:
            (self.directory / told).unlink(missing_ok=True)
        command = [str(python), "-m", f"benchmarks.peers.{self.name}_fold", str(job)]
        self._process = self.topic.scene.launch(self.group, command, {"PYTHONPATH": ""})
        try:
            yield self._process
        finally:
            end(self._process)

    def _job(self) -> Job:
        """What it is to do: a partition that its group has committed to the end is done, and sends nothing again."""
        topic, settings, where = self.topic, self.topic.scene.settings, str(self.directory)
        ends = [0 if done >= end else end for done, end in zip(self._committed(), topic.ends, strict=True)]
        return Job(settings.kafka_bootstrap, topic.topic, self.group, where, topic.schema, ends, self.session)

    def _committed(self) -> list[int]:
        """The group's offsets by partition; of a group that has never run, -1."""
        numbers = range(len(self.topic.ends))
        if not (self.directory / "seen").exists():
            return [-1 for _ in numbers]
        servers = self.topic.scene.settings.kafka_bootstrap
        consumer = Consumer({"bootstrap.servers": servers, "group.id": self.group})
        known = consumer.committed([TopicPartition(self.topic.topic, number) for number in numbers], ASK)
        consumer.close()
        return [one.offset for one in known]

    async def begun(self) -> float:
        """When it had processed its first event, on this machine's clock."""
        return float(await self._told("begun", FIRST))

    async def seen(self, events: int, patience: float) -> None:
        """Returns when it has processed so many events, perhaps a few hundred more."""
        await self.begun()

        async def enough() -> bool:
            return self._noted()[0] >= events

        await until(enough, f"{events} events of {self.name}", [self._process], patience, LOOK)

    async def rate(self, most: float) -> Done:
        """What it tells at the end; what it has reached after `most` seconds, without a state, if that is earlier."""
        began = await self.begun()

        async def over() -> bool:
            return self._settled("done") or time.time() - began > most

        await until(over, f"{self.name} to be done", (), most + FIRST, LOOK)
        if self._settled("done"):
            told = json.loads(await self._told("done", FIRST))
            return Done(told["events"] / told["seconds"], _state(told["state"]), told["busy"] / told["events"] * 1e6)
        events, busy = self._noted()
        return Done(events / (time.time() - began), None, busy / events * 1e6)

    async def state(self, patience: float) -> State:
        """What its durable state is at the end."""
        return _state(json.loads(await self._told("done", patience))["state"])

    async def _told(self, name: str, patience: float) -> str:
        file = self.directory / name

        async def settled() -> bool:
            return self._settled(name)

        await until(settled, f"{self.name} to write {name!r}", (), patience, LOOK)
        if not file.exists():
            raise NotMeasured(
                f"{self.name} ended with {self._process.returncode}: {self.topic.scene.last_words(self.group)}"
            )
        return file.read_text()

    def _noted(self) -> tuple[int, float]:
        """How many events this process has processed, and the seconds that it was busy, as it last noted."""
        count, busy = ((self.directory / "seen").read_text() or "0 0").split()
        return int(count), float(busy)

    def _settled(self, name: str) -> bool:
        """Whether it has told that, or never will."""
        return (self.directory / name).exists() or self._process.poll() is not None


def _state(told: dict[str, list[int]]) -> State:
    return {key: (count, sum_, last) for key, (count, sum_, last) in told.items()}
