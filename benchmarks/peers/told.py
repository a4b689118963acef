"""What the programs of the stream-processing peers share: the job they are given, the fold, and what they tell.

It runs in the peers' environments, where nothing of the platform is installed.
"""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fastavro import parse_schema, schemaless_reader

PREFIX = 5
"""Bytes of the Confluent wire format before the Avro record: a zero byte and the schema's id."""

EVERY = 200
"""Events between two notes of the progress."""

Totals = tuple[int, int, int]
"""Of one key: how many events, the sum of their amounts, the last amount."""

NOTHING: Totals = (0, 0, 0)


@dataclass(frozen=True)
class Job:
    """What a program is to do: to process each partition to its end, of which 0 says that it has been done before.

    `session` is in seconds.
    """

    bootstrap: str
    topic: str
    group: str
    directory: str
    schema: str
    ends: list[int]
    session: float

    def write(self, file: Path) -> None:
        """Writes it down for the program."""
        file.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, file: Path) -> Job:
        """What was written down."""
        return cls(**json.loads(file.read_text()))


def decoder(schema: str) -> Callable[[bytes], int]:
    """A function from a record's value to the amount of its one event: the platform's records, read with fastavro."""
    parsed = parse_schema(json.loads(schema))

    def amount(value: bytes) -> int:
        source = io.BytesIO(value)
        source.seek(PREFIX)
        append: Any = schemaless_reader(source, parsed, None)
        return int(append["events"][0]["amount"])

    return amount


def fold(totals: Iterable[int], amount: int) -> Totals:
    """The fold that all are measured with; `totals` may be a list, as JSON has it."""
    count, sum_, _ = totals
    return count + 1, sum_ + amount, amount


class Teller:
    """Writes files that the benchmark waits for: `begun` at the first event, `seen` with the progress, `done`."""

    def __init__(self, directory: Path, ends: list[int]) -> None:
        self._directory = directory
        self._left = {number: end - 1 for number, end in enumerate(ends) if end}
        self._seen = os.open(directory / "seen", os.O_CREAT | os.O_WRONLY)
        self._count = 0
        self._began = self._busy = 0.0

    def saw(self, partition: int, offset: int) -> bool:
        """Notes that an event was processed; whether it was the last of all partitions."""
        if not self._count:
            self._began, self._busy = time.perf_counter(), time.process_time()
            self._write("begun", str(time.time()))
        self._count += 1
        if self._count % EVERY == 0:
            os.pwrite(self._seen, b"%d %f" % (self._count, time.process_time() - self._busy), 0)
        if self._left.get(partition) == offset:
            del self._left[partition]
            return not self._left
        return False

    def timing(self) -> dict[str, float]:
        """Events processed so far, the seconds since the first of them, and those that this process was busy in."""
        busy = time.process_time() - self._busy
        return {"events": self._count, "seconds": time.perf_counter() - self._began, "busy": busy}

    def done(self, timing: dict[str, float], state: Iterable[tuple[str, Iterable[int]]]) -> None:
        """Says how long all took, and what durable state it led to."""
        self._write("done", json.dumps(timing | {"state": {key: list(totals) for key, totals in state}}))

    def _write(self, name: str, text: str) -> None:
        """In one step, so that nobody reads half of it."""
        new = self._directory / f"{name}.new"
        new.write_text(text)
        new.replace(self._directory / name)
