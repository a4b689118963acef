"""A measured figure, and the small statistics that lead to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

Extra = dict[str, float | str]


@dataclass(frozen=True)
class Target:
    """A bound on one of a figure's numbers, e.g. `p99_ms < 50`; `number` is a key of the extras, or `value`."""

    number: str
    bound: float
    at_least: bool = False

    def holds(self, found: float) -> bool:
        return found >= self.bound if self.at_least else found < self.bound

    def __str__(self) -> str:
        name = "" if self.number == "value" else f"{self.number} "
        return f"{name}{'>=' if self.at_least else '<'} {self.bound:,g}"


@dataclass(frozen=True)
class Measured:
    """What a row's function answers. `baseline` has the value's unit; `extra` holds the other numbers by name."""

    value: float
    baseline: float | None
    extra: Extra = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        return self.value / self.baseline if self.baseline else None

    def number(self, name: str) -> float | None:
        """The value, the ratio, or one of the extras; None where it was not measured."""
        known: dict[str, float | str | None] = {"value": self.value, "ratio": self.ratio, **self.extra}
        found = known.get(name)
        return found if isinstance(found, (int, float)) else None


class NotMeasured(Exception):
    """A row that cannot be measured here; the text says why."""


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least so many per cent of the values do not exceed."""
    ranked = sorted(values)
    place = -(-len(ranked) * percent // 100)
    return ranked[max(0, int(place) - 1)]


@dataclass
class Rounds:
    """Several runs of the same load: the rate of each, and the latencies of all in milliseconds."""

    rates: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    _p99: list[float] = field(default_factory=list)

    def add(self, count: int, seconds: float, latencies: Sequence[float]) -> None:
        """One run: what it did in how many seconds, and each latency in seconds."""
        self.rates.append(count / seconds)
        if latencies:
            self._p99.append(percentile(latencies, 99) * 1000)
        self.latencies.extend(each * 1000 for each in latencies)

    @property
    def rate(self) -> float:
        return median(self.rates)

    @property
    def p50(self) -> float:
        return percentile(self.latencies, 50)

    @property
    def p99(self) -> float:
        """The median of the runs' own 99th percentiles: one stall of the machine spoils one run, not the figure."""
        return median(self._p99)

    def extra(self) -> Extra:
        """The numbers beside the value."""
        found: Extra = {"runs": len(self.rates), "slowest": round(min(self.rates), 1)}
        if self.latencies:
            found |= {"p50_ms": round(self.p50, 2), "p99_ms": round(self.p99, 2)}
        return found
