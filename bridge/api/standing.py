"""How partitions and processors stand, as Prometheus metrics: what an autoscaler asks for. Made from one survey."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bridge.store.rows import Lived, Process, Tenure
from bridge.survey import CategoryStatus, PartitionStatus, by_category, lives
from bridge.times import rfc3339

PARTITION = ("category", "partition")
PROCESS = ("processor", "started")

OF_CATEGORIES: Sequence[tuple[str, str, Callable[[CategoryStatus], float]]] = (
    ("lag_records", "Records not applied yet.", lambda one: one.lag),
    ("partitions_owned", "Partitions with a living owner.", lambda one: one.owned),
    ("parked_streams", "Streams that stand still at an event.", lambda one: one.parked),
)
OF_PARTITIONS: Sequence[tuple[str, str, Callable[[PartitionStatus], float]]] = (
    ("lag_records", "Records not applied yet.", lambda one: one.lag),
    ("lag_seconds", "Age of the oldest record not applied yet, in seconds.", lambda one: one.behind),
    ("last_minute_records", "Records of the last minute.", lambda one: one.recent),
)


class Standing(Collector):
    """Shows the survey that it was given last; nothing before the first one, or where Kafka did not answer."""

    def __init__(self) -> None:
        self._found: Sequence[PartitionStatus] = ()
        self._session = 0.0
        self._lives: dict[Process, Lived] = {}

    def show(self, found: Sequence[PartitionStatus], session: float) -> None:
        """Takes a survey; an owner lives that has beaten within `session` seconds."""
        self._found, self._session = found, session

    def _told(self) -> dict[Process, Lived]:
        """What each living process has lived and waited, never less than was shown before.

        The partition by which it was told last may have moved away. Code before this metric's has not told `started`.
        """
        found = {one: lived for one, lived in lives(self._alive()).items() if one[1]}
        self._lives |= {one: max(lived, self._lives.get(one, lived)) for one, lived in found.items()}
        return {one: self._lives[one] for one in found}

    def _alive(self) -> list[Tenure]:
        """What owners that live and have not let go say of themselves."""
        return [one.tenure for one in self._found if one.owned(self._session) and one.tenure and one.owner]

    def clear(self) -> None:
        """Shows nothing: no figure is better than one of an hour ago."""
        self._found = ()

    def collect(self) -> Iterator[Metric]:
        """See prometheus_client."""
        if self._found:
            yield from self._categories()
            yield from self._partitions()
            yield from self._processors()

    def _categories(self) -> Iterator[Metric]:
        found = by_category(self._found, self._session)
        for name, what, value in OF_CATEGORIES:
            yield _gauge(f"history_{name}", what, ("category",), (((one.category,), value(one)) for one in found))

    def _partitions(self) -> Iterator[Metric]:
        for name, what, value in OF_PARTITIONS:
            yield _gauge(f"partition_{name}", what, PARTITION, ((_labels(one), value(one)) for one in self._found))
        yield _counter(
            "partition_records",
            "Records that its owner has applied since it took over.",
            (*PARTITION, "processor"),
            (((*_labels(one), one.tenure.owner), one.tenure.records) for one in self._found if one.tenure),
        )
        yield _counter(
            "partition_seconds",
            "Seconds of its owner since it took over, by step: P3 admission, P4 state and projections, P5 the commit.",
            (*PARTITION, "processor", "step"),
            _steps(self._found),
        )

    def _processors(self) -> Iterator[Metric]:
        processes = {tenure.process for tenure in self._alive()}
        yield _gauge("processors", "Processes that own partitions.", (), (((), len(processes)),))
        told = [((name, rfc3339(started)), lived) for (name, started), lived in self._told().items()]
        yield _counter(
            "processor_seconds",
            "Seconds since a process was started, when it told last how long it has waited.",
            PROCESS,
            ((labels, lived.seconds) for labels, lived in told),
        )
        yield _counter(
            "processor_waited_seconds",
            "Seconds of them that it has waited for records (P2): what it does not wait, it works.",
            PROCESS,
            ((labels, lived.waited) for labels, lived in told),
        )


Values = Iterable[tuple[tuple[str, ...], float]]


def _labels(one: PartitionStatus) -> tuple[str, str]:
    return one.category, str(one.partition)


def _steps(found: Sequence[PartitionStatus]) -> Iterator[tuple[tuple[str, ...], float]]:
    for one in found:
        if one.tenure is not None:
            for step in ("p3", "p4", "p5"):
                yield (*_labels(one), one.tenure.owner, step.upper()), getattr(one.tenure.spent, step)


def _gauge(name: str, what: str, labels: Sequence[str], values: Values) -> Metric:
    family = GaugeMetricFamily(f"lighthouse_{name}", what, labels=labels)
    for found, value in values:
        family.add_metric(found, value)
    return family


def _counter(name: str, what: str, labels: Sequence[str], values: Values) -> Metric:
    family = CounterMetricFamily(f"lighthouse_{name}", what, labels=labels)
    for found, value in values:
        family.add_metric(found, value)
    return family
