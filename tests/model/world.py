"""The model's world: one partition with its owners and zombies, two API processes, and what was asked of them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeVar

from fastavro import parse_schema

from bridge.cache import StateCache
from bridge.errors import LighthouseError
from bridge.events import Appended, Event
from bridge.handle import Context, Handler, Log, Rules
from bridge.history.reader import History
from bridge.log import ids
from bridge.log.compose import load
from bridge.log.producer import Outgoing
from bridge.log.record import Place, partition_of
from bridge.spaces import Limits, Spaces
from bridge.store.memory import MemoryStores
from bridge.ticks import Ticker
from bridge.typed import Typed
from streams.owner import Code, Owner
from tests.model import account
from tests.model.answers import answered
from tests.model.reference import Truth, truth
from tests.simlog import (
    Flight,
    Gate,
    GatedStore,
    GatedStores,
    SimLog,
    SimProducer,
    SimRegistry,
    VirtualLoop,
    schemas_of,
)

T = TypeVar("T")
PLACE = Place("lighthouse.account", "account", 0, 2)
PARTITION = (PLACE.topic, PLACE.partition)
KNOWN, UNKNOWN = 1, 7
"""Schema ids: the one that everybody writes with, and one that the registry learns late."""

COMPOSED = load("account", account.SCHEMAS / "account")
SCHEMA = parse_schema(COMPOSED)
RULES = Rules(Limits(session=3.0, deadline=10.0, clock_skew=60.0), in_flight=100, attempts=3)


@dataclass(frozen=True)
class Ask:
    """A request as a client makes it; the same one may be made many times. `what` is a command, or deposits."""

    stream: str
    key: str | None
    what: tuple[int, ...] | account.Command
    expected: int | None = None
    create: bool = False


def asked(ask: Ask) -> list[tuple[str, dict[str, Any]]]:
    """The events that a request leads to."""
    match ask.what:
        case account.Deposit(amount, memo, times):
            return [("Deposited", {"amount": amount, "memo": memo})] * times
        case account.Withdraw(amount):
            return [("Withdrawn", {"amount": amount})]
        case account.Look():
            return []
        case amounts:
            return [("Deposited", {"amount": amount, "memo": f"m{amount % 3}"}) for amount in amounts]


def drawer() -> Iterator[str]:
    """Ids as if drawn, all in the partition of the model: chance would make a failing example another one."""
    for number in count():
        if partition_of(f"account/drawn-{number}".encode(), PLACE.partitions) == PLACE.partition:
            yield f"drawn-{number}"


@dataclass(eq=False)
class Server:
    """An API process; `seen` are the records it sent that were looked at."""

    handler: Handler
    producer: SimProducer
    gate: Gate
    seen: int = 0


@dataclass(eq=False)
class Attempt:
    """One try of a request, and what it wrote.

    `after` says whether an earlier try had been acknowledged before it, `head` what the log held then.
    """

    ask: Ask
    server: Server
    task: asyncio.Task[Appended]
    after: bool
    head: int
    judged: bool = False
    answer: Appended | None = None

    @property
    def wrote(self) -> bool:
        """Whether an append was acknowledged: a command that decides nothing leaves its key unused."""
        return self.answer is not None and self.answer.last_version >= self.answer.first_version

    @property
    def flights(self) -> list[Flight]:
        """The records that this try wrote."""
        return [flight for flight in self.server.producer.flights if flight.sender is self.task]


@dataclass(eq=False)
class Process:
    """An owner of the partition, and where its consumer stands."""

    owner: Owner
    store: GatedStore
    gate: Gate
    next: int = -1
    task: asyncio.Task[Any] | None = None
    dead: bool = False


def now(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for nothing, outside of any loop."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
    raise AssertionError(f"{coroutine} waits for something")


@dataclass
class World:
    """Everything but the rules."""

    loop: VirtualLoop = field(default_factory=VirtualLoop)
    log: SimLog = field(default_factory=SimLog)
    registry: SimRegistry = field(default_factory=SimRegistry)
    attempts: list[Attempt] = field(default_factory=list)
    processes: list[Process] = field(default_factory=list)
    late: list[tuple[SimProducer, Flight]] = field(default_factory=list)
    void: list[Flight] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._drawn = ids.draw, ids.anonymous
        ids.draw = drawer().__next__
        ids.anonymous = lambda: ids.append_id("", "", ids.draw())
        self._truths: dict[tuple[int, int], Truth] = {}
        self.registry.known[KNOWN] = COMPOSED
        self.stores = MemoryStores(self.loop.time)
        self.typed = Typed(account.account)
        self.servers = [self._server() for _ in range(2)]
        schemas = schemas_of(self.registry, "account", account.SCHEMAS / "account")
        self.history = History(
            schemas, self._spaces(Gate()), {"account": self.typed}, Ticker(SimProducer(self.log, self.loop)), 60.0
        )

    def _spaces(self, gate: Gate) -> Spaces:
        return Spaces(GatedStores(self.stores, gate), "lighthouse", {"account": PLACE.partitions})

    def _server(self) -> Server:
        producer, gate = SimProducer(self.log, self.loop), Gate()
        schemas = schemas_of(self.registry, "account", account.SCHEMAS / "account")
        log = Log(schemas, producer, self.log.end)
        handler = Handler(log, self._spaces(gate), {"account": self.typed}, StateCache(100, 100_000), RULES)
        return Server(handler, producer, gate)

    @property
    def position(self) -> int:
        """The store's."""
        return self.stores.open(PLACE.space).state.mark.position

    @property
    def current(self) -> Process:
        """The owner of now."""
        return self.processes[-1]

    def truth(self, position: int | None = None) -> Truth:
        """What the log up to a position means."""
        end = self.log.length(*PARTITION) if position is None else position
        known = (end, len(self.registry.known))
        if known not in self._truths:
            records = self.log.read(*PARTITION, 0, end)
            self._truths[known] = truth(records, PLACE.partition, PLACE.partitions, self.parsed())
        return self._truths[known]

    def parsed(self) -> dict[int, Any]:
        """The schemas that the registry knows."""
        return dict.fromkeys(self.registry.known, SCHEMA)

    def head(self, stream: str) -> int:
        """The version that the next event gets, once the log is applied."""
        return len(self.truth().streams.get(stream, []))

    # What clients do

    def ask(self, server: Server, ask: Ask) -> None:
        """One more try of a request."""
        after = any(one.wrote and one.ask == ask and ask.key is not None for one in self.attempts)
        task = self.loop.create_task(self._call(server.handler, ask))
        self.attempts.append(Attempt(ask, server, task, after, self.head(ask.stream)))
        self.loop.settle()

    def _call(self, handler: Handler, ask: Ask) -> Coroutine[Any, Any, Appended]:
        context = Context("ann", ask.key, time=self.log.now - 500_000)
        if not isinstance(ask.what, tuple):
            return handler.execute(ask.stream, ask.what, context)
        events = [Event(type_, data) for type_, data in asked(ask)]
        if ask.create:
            return handler.create("account", events, context)
        return handler.append(ask.stream, events, ask.expected, context)

    def pending(self) -> list[tuple[SimProducer, Flight]]:
        """Records whose senders have heard nothing yet."""
        return [
            (one.producer, flight) for one in self.servers for flight in one.producer.flights if not flight.reported
        ]

    def sent(self) -> tuple[SimProducer, Flight]:
        """The record that the last try has just written."""
        last = self.attempts[-1]
        return last.server.producer, last.flights[-1]

    def unseen(self) -> Iterator[Flight]:
        """Records that were sent since this was asked for the last time."""
        for one in self.servers:
            yield from one.producer.flights[one.seen :]
            one.seen = len(one.producer.flights)

    def keyed(self) -> list[Ask]:
        """Requests with a key, which may be made again."""
        return [one.ask for one in self.attempts if one.ask.key]

    def fate(self, producer: SimProducer, flight: Flight, what: str) -> None:
        """What becomes of a record: it arrives or not, now or later, once or twice, and its sender is told or not."""
        if what in ("deliver", "twice"):
            producer.deliver(flight)
        if what == "lose":
            producer.arrive(flight)
        if what in ("late", "twice"):
            self.late.append((producer, flight))
        producer.give_up(flight)
        self.loop.settle()

    def write(self, key: bytes | None, value: bytes | None, headers: dict[str, bytes]) -> None:
        """A foreign producer's record."""
        self.log.write(Outgoing(*PARTITION, key, value or b"", list(headers.items())))

    # What owners do

    def code(self) -> Code:
        """What a new process folds with."""
        schemas = schemas_of(self.registry, "account", account.SCHEMAS / "account")
        return Code(schemas, self.typed, StateCache(100, 100_000))

    def open(self, stop_at: str | None = None) -> None:
        """A new owner; the one before becomes a zombie, wherever it stands."""
        gate = Gate()
        gate.stop_at = stop_at
        store = self.owned(gate)
        process = Process(Owner(PLACE, store, self.code()), store, gate)
        self.processes.append(process)
        self.start(process, self._open(process))

    def owned(self, gate: Gate) -> GatedStore:
        """A new owner's store."""
        return GatedStore(self.stores.open(PLACE.space), gate)

    async def _open(self, process: Process) -> None:
        await process.owner.open(self.log.ends(*PARTITION))
        process.next = process.owner.start

    def take(self, process: Process, most: int) -> None:
        """P2-P6 for the next records."""
        records = self.log.read(*PARTITION, process.next, most)
        process.next += len(records)
        self.start(process, process.owner.take(records))

    def start(self, process: Process, step: Coroutine[Any, Any, Any]) -> None:
        """Runs a step of an owner, up to the gate that it stops at."""
        process.task = self.loop.create_task(step)
        self.settle(process)

    def settle(self, process: Process) -> None:
        """Lets a process go on; one whose step failed is dead."""
        self.loop.settle()
        if process.task is not None and process.task.done():
            error = process.task.exception()
            process.dead = error is not None
            if error is not None:
                answered(error, LighthouseError)
            else:
                process.task = None

    def close(self) -> None:
        """Ends every task and the loop; doing so twice is harmless."""
        if self.loop.is_closed():
            return
        ids.draw, ids.anonymous = self._drawn
        tasks = [one.task for one in self.attempts] + [one.task for one in self.processes if one.task]
        for task in tasks:
            task.cancel()
        self.loop.settle()
        for one in self.servers:
            for flight in one.producer.flights:
                flight.report.cancel()
        self.loop.close()
