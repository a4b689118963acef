"""One partition without clients: records, the owner that applies them in any batching, and the rows they lead to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bridge.cache import StateCache
from bridge.events import Envelope
from bridge.history.reader import History
from bridge.log.avro import CategorySchema, encode
from bridge.log.compose import Schema
from bridge.log.producer import Outgoing
from bridge.log.record import Record, headers_of
from bridge.spaces import Spaces
from bridge.store import keys
from bridge.store.memory import MemoryStores
from bridge.ticks import Ticker
from bridge.typed import Typed
from bridge.upcast import Steps
from streams.builds import NOTHING, Projecting
from streams.owner import Code, LogEnds, Owner
from tests.model import account
from tests.model.world import COMPOSED, KNOWN, PLACE, now
from tests.simlog import IDENTITY, SimLog, SimProducer, SimRegistry, VirtualLoop, rows_of, schemas_of

REQUEST = bytes(16)
START = 1_700_000_000_000_000


@dataclass(frozen=True)
class Draft:
    """An append to be written; `time` is its event time, `count` its header where it differs from the value."""

    stream: str = "account/a"
    events: Sequence[tuple[str, dict[str, Any]]] = (("Deposited", {"amount": 1, "memo": "m"}),)
    expected: int | None = None
    id: int = 0
    time: int = START
    schema: int = KNOWN
    count: int | None = None
    cut: int = 0
    actor: str = "ann"
    correlation: str = ""
    composed: Schema = field(default_factory=lambda: COMPOSED)

    def outgoing(self) -> Outgoing:
        """The record as a producer sends it."""
        schema = CategorySchema(self.schema, self.composed)
        events = [(schema.by_type[type_], data) for type_, data in self.events]
        value = encode(schema, Envelope(self.actor, self.time, self.correlation), list(events))
        count = len(self.events) if self.count is None else self.count
        headers = headers_of(self.id.to_bytes(16, "big"), self.expected, count, REQUEST)
        return Outgoing(PLACE.topic, 0, self.stream.encode(), value[: len(value) - self.cut], headers)


def deposit(amount: int, memo: str = "m") -> tuple[str, dict[str, Any]]:
    """An event."""
    return ("Deposited", {"amount": amount, "memo": memo})


def numbered(drafts: Iterable[Draft]) -> list[Draft]:
    """The same drafts, each with an append id of its own."""
    return [replace(draft, id=number + 1) for number, draft in enumerate(drafts)]


def records(drafts: Iterable[Draft]) -> list[Record]:
    """The drafts as the log holds them."""
    log = SimLog()
    for draft in drafts:
        log.write(draft.outgoing())
    return log.read(PLACE.topic, 0, 0, 1_000_000)


@dataclass
class Bench:
    """An owner with its store. `typed` may be changed, as by a deployment; `deploy` opens a new owner then."""

    typed: Typed | None = field(default_factory=lambda: Typed(account.account))
    registry: SimRegistry = field(default_factory=SimRegistry)
    stores: MemoryStores = field(default_factory=lambda: MemoryStores(lambda: 0.0))
    end: int = 0
    projecting: Projecting = NOTHING
    folder: Path = account.SCHEMAS / "account"
    steps: Steps = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.registry.known.setdefault(KNOWN, COMPOSED)
        self.deploy()

    def deploy(self) -> None:
        """A new owner with empty memory, as a new process has it."""
        schemas = schemas_of(self.registry, "account", self.folder, self.steps)
        self.schemas = schemas
        code = Code(schemas, self.typed, StateCache(100, 100_000), self.projecting)
        self.owner = Owner(PLACE, self.stores.open(PLACE.space), code)
        now(self.owner.open(LogEnds(IDENTITY, 0, self.end)))

    def take(self, batch: Sequence[Record]) -> None:
        """One batch."""
        self.end = max(self.end, batch[-1].offset + 1)
        now(self.owner.take(batch))

    def take_all(self, log: Sequence[Record], sizes: Iterator[int] | None = None) -> Bench:
        """All records, in batches of these sizes."""
        start = 0
        while start < len(log):
            size = next(sizes) if sizes else len(log)
            self.take(log[start : start + size])
            start += size
        return self

    def unpark(self) -> None:
        """One attempt."""
        now(self.owner.unpark())

    def build(self, events: int = 1_000_000) -> None:
        """One slice of the builds (B2)."""
        now(self.owner.build(events))

    def built(self) -> Bench:
        """All slices that there are to be done."""
        while self.owner.building:
            self.build()
        return self

    def rows(self) -> dict[bytes, bytes]:
        """All rows but the one that says how far the log went when the space was begun."""
        return rows_of(self.stores, PLACE.space, keys.PASSING)

    def parked(self) -> bool:
        """Whether any stream is."""
        return any(key[:1] == b"k" for key in self.rows())

    def history(self, loop: VirtualLoop) -> History:
        """The read side on this store."""
        spaces = Spaces(self.stores, "lighthouse", {"account": PLACE.partitions})
        deciders = {"account": self.typed} if self.typed else {}
        return History(self.schemas, spaces, deciders, Ticker(SimProducer(SimLog(), loop)), 60.0)
