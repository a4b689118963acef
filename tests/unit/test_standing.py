"""What /metrics tells of processors: one counter each, which rises while they wait, and never falls."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from bridge.api.standing import Standing
from bridge.cache import StateCache
from bridge.store import keys
from bridge.store.memory import MemoryStores
from bridge.store.rows import Tenure
from bridge.survey import PartitionStatus, age
from streams.owner import Code, LogEnds, Owner
from streams.tenure import Worker
from tests.model import account
from tests.model.bench import Draft, numbered, records
from tests.model.world import COMPOSED, KNOWN, PLACE, now
from tests.simlog import IDENTITY, SimRegistry, schemas_of

SESSION = 3.0


@dataclass
class Clock:
    """Seconds, which pass when they are told to."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Fleet:
    """Owners of the partitions of one category, and what was shown of their processes so far."""

    clock: Clock = field(default_factory=Clock)
    standing: Standing = field(default_factory=Standing)
    owners: dict[int, Owner] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.stores = MemoryStores(self.clock)
        registry = SimRegistry()
        registry.known[KNOWN] = COMPOSED
        schemas = schemas_of(registry, "account", account.SCHEMAS / "account")
        self.code = Code(schemas, None, StateCache(100, 100_000))

    def worker(self, name: str) -> Worker:
        """A process that begins now."""
        return Worker(name, self.clock)

    def own(self, worker: Worker, *partitions: int) -> None:
        """P1 of some partitions."""
        for number in partitions:
            place = replace(PLACE, partition=number)
            self.owners[number] = Owner(place, self.stores.open(place.space), self.code, worker)
            now(self.owners[number].open(LogEnds(IDENTITY, 0, 0)))

    def leave(self, *partitions: int) -> None:
        """They are taken away from their owners."""
        for number in partitions:
            now(self.owners.pop(number).leave())

    def idle(self, seconds: int, *workers: Worker) -> None:
        """So many seconds pass, in which these processes wait, and every owner beats."""
        for _ in range(seconds):
            self.clock.now += 1.0
            for worker in workers:
                worker.waited += 1.0
            for owner in self.owners.values():
                now(owner.beat())

    def shown(self) -> dict[tuple[str, ...], float]:
        """The seconds that each process has waited, by its labels, as a scrape finds them now."""
        self.standing.show([self._look(number) for number in range(PLACE.partitions)], SESSION)
        found = [one for one in self.standing.collect() if one.name == "lighthouse_processor_waited_seconds"]
        return {tuple(sample.labels.values()): sample.value for one in found for sample in one.samples}

    def only(self) -> float:
        """The same of the only process."""
        (found,) = self.shown().values()
        return found

    def _look(self, number: int) -> PartitionStatus:
        store = self.stores.open(replace(PLACE, partition=number).space)
        row = store.state.rows.get(keys.TENURE)
        tenure = Tenure.unpack(row) if row is not None else None
        mark = store.state.mark
        return PartitionStatus(
            *(PLACE.category, number, mark.position, 0, mark.epoch, store.beat_age(), 0, None, 0), tenure=tenure
        )


def test_a_processor_with_nothing_to_do_is_shown_to_wait() -> None:
    fleet = Fleet()
    worker = fleet.worker("a:1")
    fleet.own(worker, 0, 1)
    before = fleet.only()
    fleet.idle(60, worker)
    assert 54.0 <= fleet.only() - before <= 60.0


def test_the_counter_goes_on_while_the_partition_that_was_held_longest_is_quiet() -> None:
    fleet = Fleet()
    worker = fleet.worker("a:1")
    fleet.own(worker, 0)
    now(fleet.owners[0].take(records(numbered([Draft()]))))
    fleet.idle(30, worker)
    fleet.own(worker, 1)
    before = fleet.only()
    fleet.idle(20, worker)
    assert 14.0 <= fleet.only() - before <= 20.0


def test_the_counter_does_not_fall_when_a_partition_moves_away() -> None:
    fleet = Fleet()
    here, there = fleet.worker("a:1"), fleet.worker("b:2")
    fleet.own(here, 0)
    fleet.idle(30, here)
    fleet.own(here, 1)
    fleet.idle(9, here)
    before = fleet.only()
    fleet.leave(0)
    fleet.own(there, 0)
    found = fleet.shown()
    assert [value for labels, value in found.items() if labels[0] == "a:1"] >= [before]
    fleet.idle(20, here, there)
    (after,) = (value for labels, value in fleet.shown().items() if labels[0] == "a:1")
    assert 14.0 <= after - before <= 26.0


def test_a_process_is_shown_as_long_as_it_owns_and_beats() -> None:
    fleet = Fleet()
    worker = fleet.worker("a:1")
    fleet.own(worker, 0, 1)
    fleet.leave(0)
    assert len(fleet.shown()) == 1
    fleet.clock.now += SESSION + 1
    assert fleet.shown() == {}, "it does not beat any more"
    fleet.own(worker, 1)
    assert len(fleet.shown()) == 1
    fleet.leave(1)
    assert fleet.shown() == {}, "it has let go of everything"


def test_the_age_of_the_oldest_record_that_is_not_applied() -> None:
    hour, second = 3_600_000_000, 1_000_000
    late = PartitionStatus("account", 0, 7, 9, 1, 0.1, effective=hour, stopped=None, parked=0)
    now_ = 2 * hour / 1e6
    assert age(replace(late, end=7), (7, 2 * hour), now_) == 0.0, "nothing waits"
    assert age(late, (7, 2 * hour - second), now_) == 1.0, "behind an idle hour"
    assert age(late, (8, 2 * hour - second), now_) == 3600.0, "one came in the same millisecond as the last applied"
    assert age(late, None, now_) == 3600.0, "all did"
    assert age(replace(late, position=-1, effective=0), (0, hour), now_) == 3600.0, "nothing was ever applied"
    assert age(late, (7, 2 * hour + second), now_) == 0.0, "the broker's clock is ahead"
