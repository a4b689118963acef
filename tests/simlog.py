"""Kafka, the registry, other processes and time, as a test holds them: nothing happens until the test says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from bridge.errors import Unavailable, Unknown
from bridge.log.compose import Schema, canonical
from bridge.log.producer import Delivered, Outgoing, Producer
from bridge.log.readers import Reader
from bridge.log.record import Record
from bridge.log.registry import Registry, RegistryAway
from bridge.log.schemas import Schemas
from bridge.store.contract import Mark, Store, View, Writes
from bridge.store.memory import MemoryStores
from bridge.store.rows import Identity
from bridge.upcast import Steps
from streams.owner import LogEnds

T = TypeVar("T")
MILLISECOND = 1_000
STEP = 7 * MILLISECOND
"""What the broker's clock moves on from one record to the next, in microseconds."""

PASSES = 12
"""Rounds of the event loop that settle everything which can go on without time passing or the test's doing."""

IDENTITY = Identity("cluster", "topic", 2)


def identity_of(partitions: int) -> Identity:
    """The same log with so many partitions."""
    return Identity(IDENTITY.cluster, IDENTITY.topic, partitions)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time stands still until `advance`."""

    def __init__(self) -> None:
        self._now = 1.0
        super().__init__()

    def time(self) -> float:
        """Seconds."""
        return self._now

    def settle(self) -> None:
        """Lets every task go on as far as it can."""
        self.run_until_complete(_pass_by())

    def advance(self, seconds: float) -> None:
        """Lets time pass."""
        self._now += seconds
        self.settle()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine that waits for nothing."""
        task = self.create_task(coroutine)
        self.settle()
        assert task.done(), f"{coroutine} waits for something"
        return task.result()


async def _pass_by() -> None:
    for _ in range(PASSES):
        await asyncio.sleep(0)


@dataclass
class SimLog:
    """Partitions of records with LogAppendTime. `now`, in microseconds, is the broker's clock: it may go back."""

    now: int = 1_700_000_000_000_000
    records: dict[tuple[str, int], list[Record]] = field(default_factory=dict)

    def write(self, outgoing: Outgoing) -> int:
        """Appends a record; answers its offset."""
        partition = self.records.setdefault((outgoing.topic, outgoing.partition), [])
        headers = [(name, value) for name, value in outgoing.headers if isinstance(value, bytes)]
        self.now += STEP
        time = self.now - self.now % MILLISECOND
        partition.append(Record(len(partition), outgoing.key, outgoing.value, headers, time, 0))
        return len(partition) - 1

    def read(self, topic: str, partition: int, start: int, most: int) -> list[Record]:
        """Records from an offset on."""
        return self.records.get((topic, partition), [])[start : start + most]

    def length(self, topic: str, partition: int) -> int:
        """The offset that the next record gets."""
        return len(self.records.get((topic, partition), []))

    async def end(self, topic: str, partition: int) -> int:
        """The same, as a broker is asked for it."""
        return self.length(topic, partition)

    def ends(self, topic: str, partition: int) -> LogEnds:
        """The log as P1 finds it."""
        return LogEnds(IDENTITY, 0, self.length(topic, partition))


@dataclass(eq=False)
class Flight:
    """A record on its way: who sent it, its report, and the offsets of the copies that arrived."""

    outgoing: Outgoing
    report: asyncio.Future[Delivered]
    sender: asyncio.Task[Any] | None
    offsets: list[int] = field(default_factory=list)

    @property
    def reported(self) -> bool:
        """Whether the sender was told anything."""
        return self.report.done()


class SimProducer(Producer):
    """A producer whose records arrive, and whose reports come, when the test says so."""

    def __init__(self, log: SimLog, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.flights: list[Flight] = []
        self.refusing = False
        self._log = log

    def send(self, outgoing: Outgoing) -> asyncio.Future[Delivered]:
        """As the real one; the report is Unavailable while `refusing`."""
        if self.refusing:
            refused: asyncio.Future[Delivered] = self._loop.create_future()
            refused.set_exception(Unavailable("the producer's queue is full"))
            return refused
        flight = Flight(outgoing, self._loop.create_future(), asyncio.current_task(self._loop))
        self.flights.append(flight)
        return flight.report

    def arrive(self, flight: Flight) -> Delivered:
        """One copy of the record is written; the sender hears nothing of it."""
        offset = self._log.write(flight.outgoing)
        flight.offsets.append(offset)
        return Delivered(flight.outgoing.partition, offset)

    def deliver(self, flight: Flight) -> None:
        """The record is written and confirmed."""
        where = self.arrive(flight)
        if not flight.reported:
            flight.report.set_result(where)

    def give_up(self, flight: Flight) -> None:
        """The client reports that it does not know."""
        if not flight.reported:
            flight.report.set_exception(Unknown("the broker did not confirm the record"))


class SimReader(Reader):
    """Reads a log outside of any group, as far as followers need it: to its end, and never beyond."""

    def __init__(self, log: SimLog) -> None:
        self._log = log

    async def end(self, topic: str, partition: int) -> int:
        """As the real one."""
        return self._log.length(topic, partition)

    async def follow(self, topic: str, partition: int, start: int) -> AsyncGenerator[tuple[list[Record], int], None]:
        """As the real one."""
        records = self._log.read(topic, partition, start, 1_000_000)
        yield records, start + len(records)
        await asyncio.get_running_loop().create_future()


class SimRegistry(Registry):
    """A schema registry in memory; `away` makes it one that does not answer."""

    def __init__(self) -> None:
        self.known: dict[int, Schema] = {}
        self.away = False

    async def by_id(self, schema_id: int) -> Schema | None:
        """As the real one."""
        if self.away:
            raise RegistryAway("the registry is away")
        return self.known.get(schema_id)

    async def find(self, subject: str, schema: Schema) -> int | None:
        """As the real one; a subject is not told from another."""
        if self.away:
            raise RegistryAway("the registry is away")
        same = [number for number, known in self.known.items() if canonical(known) == canonical(schema)]
        return same[0] if same else None


def schemas_of(registry: Registry, category: str, folder: Path, steps: Steps | None = None) -> Schemas:
    """A process's schemas of one category."""
    return Schemas(registry, {category: folder}, "lighthouse", {category: steps or {}})


class Gate:
    """Where a process can be stopped, as by SIGSTOP, and go on later."""

    def __init__(self) -> None:
        self.stop_at: str | None = None
        self._resume: asyncio.Future[None] | None = None

    @property
    def stopped(self) -> bool:
        """Whether somebody stands here."""
        return self._resume is not None and not self._resume.done()

    async def reach(self, step: str) -> None:
        """Stands still if this is the step to stop at."""
        if step == self.stop_at:
            self.stop_at = None
            self._resume = asyncio.get_running_loop().create_future()
            await self._resume

    def go_on(self) -> None:
        """Lets the process go on."""
        assert self._resume is not None
        self._resume.set_result(None)


class Passing:
    """A store that hands every call on to another; the tests' stores change some of them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def view(self) -> AbstractAsyncContextManager[View]:
        """See the contract."""
        return self._store.view()

    async def own(self) -> Mark:
        """See the contract."""
        return await self._store.own()

    async def commit(self, mark: Mark, position: int, writes: Writes) -> Mark:
        """See the contract."""
        return await self._store.commit(mark, position, writes)

    async def beat(self, mark: Mark) -> None:
        """See the contract."""
        await self._store.beat(mark)

    async def wait(self, position: int, timeout: float) -> Mark:
        """See the contract."""
        return await self._store.wait(position, timeout)

    async def read_at(self, position: int, timeout: float, keys: Sequence[bytes]) -> list[bytes | None]:
        """See the contract."""
        return await self._store.read_at(position, timeout, keys)

    async def wipe(self, mark: Mark) -> Mark:
        """See the contract."""
        return await self._store.wipe(mark)

    async def close(self) -> None:
        """The space belongs to the test."""


class GatedStore(Passing):
    """A store as one process sees it, with a gate before and behind each step that another may come between."""

    def __init__(self, store: Store, gate: Gate) -> None:
        super().__init__(store)
        self.last: tuple[Mark, int, Writes] | None = None
        self._gate = gate

    async def own(self) -> Mark:
        """See the contract."""
        mark = await self._store.own()
        await self._gate.reach("owned")
        return mark

    async def commit(self, mark: Mark, position: int, writes: Writes) -> Mark:
        """See the contract."""
        await self._gate.reach("commit")
        after = await self._store.commit(mark, position, writes)
        self.last = (mark, position, writes)
        await self._gate.reach("committed")
        return after

    async def commit_again(self) -> Mark:
        """The last commit that was applied comes again, as from a connection that had lost its answer."""
        assert self.last is not None
        return await self._store.commit(*self.last)

    async def wait(self, position: int, timeout: float) -> Mark:
        """See the contract."""
        mark = await self._store.wait(position, timeout)
        await self._gate.reach("waited")
        return mark

    async def read_at(self, position: int, timeout: float, keys: Sequence[bytes]) -> list[bytes | None]:
        """See the contract."""
        found = await self._store.read_at(position, timeout, keys)
        await self._gate.reach("waited")
        return found


class GatedStores:
    """One process's stores."""

    def __init__(self, stores: MemoryStores, gate: Gate) -> None:
        self._stores = stores
        self._gate = gate

    def open(self, space: str) -> Store:
        """See the contract."""
        return GatedStore(self._stores.open(space), self._gate)

    async def close(self) -> None:
        """The spaces belong to the test."""


def rows_of(stores: MemoryStores, space: str, without: Sequence[bytes] = ()) -> dict[bytes, bytes]:
    """Every row of a space."""
    return {key: value for key, value in stores.open(space).state.rows.items() if key not in without}
