"""The rows: what each one measures, what it must reach, and what it is held against."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from benchmarks.append import append_alone, append_fresh, append_guarded
from benchmarks.figure import Measured, Target
from benchmarks.process import process
from benchmarks.servers import Servers


@dataclass(frozen=True)
class Row:
    """`baseline` says what the baseline is; a ratio is always value / baseline."""

    what: str
    unit: str
    targets: tuple[Target, ...]
    baseline: str
    measure: Callable[[Servers], Awaitable[Measured]]

    @property
    def target(self) -> str:
        """All targets as a text."""
        return ", ".join(map(str, self.targets))


def at_least(bound: float, number: str = "value") -> Target:
    return Target(number, bound, at_least=True)


def below(bound: float, number: str = "value") -> Target:
    return Target(number, bound)


ROWS = {
    "append_guarded": Row(
        "guarded appends through the library, 1 event, 256 writers",
        "appends/s",
        (at_least(10_000), below(50, "p99_ms")),
        "bare confluent-kafka producer, acks=all, 256 in flight",
        append_guarded,
    ),
    "append_alone": Row(
        "guarded appends through the library, 1 event, 1 writer, p50",
        "ms",
        (below(5),),
        "bare confluent-kafka producer, acks=all, 1 in flight, p50",
        append_alone,
    ),
    "append_fresh": Row(
        "appends to freshly drawn streams through the library, answered by the log",
        "appends/s",
        (at_least(0.5, "ratio"),),
        "bare confluent-kafka producer that encodes and sends the same records",
        append_fresh,
    ),
    "process": Row(
        "one processor: admission, history and state from the start of a topic of single-event appends",
        "events/s",
        (at_least(40_000),),
        "bare confluent-kafka consumer that decodes the same records with fastavro",
        process,
    ),
}
