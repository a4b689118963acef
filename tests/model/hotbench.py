"""A partition with a hot store that fails in every way, on a loop whose time stands still; and what must hold of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Self, TypeVar

from bridge.application import Catalog
from bridge.cache import StateCache
from bridge.errors import LighthouseError, Unavailable
from bridge.history.reader import History
from bridge.hot import HotRows
from bridge.log.record import Record
from bridge.query.reader import Projections
from bridge.spaces import Limits, Spaces
from bridge.store import keys
from bridge.store.contract import Mark, Store, View, Writes
from bridge.store.memory import MemoryStore, MemoryStores, MemoryView
from bridge.store.rows import Changed, Hot
from bridge.system.follower import Follower
from bridge.ticks import Ticker
from bridge.typed import Typed
from streams.builds import NOTHING, Projecting
from streams.hot import STANDING, Kept
from streams.hot_feed import FedStores
from streams.owner import Code, LogEnds, Owner
from tests.model import account
from tests.model.world import COMPOSED, KNOWN, PLACE
from tests.simlog import (
    IDENTITY,
    Passing,
    SimLog,
    SimProducer,
    SimReader,
    SimRegistry,
    VirtualLoop,
    rows_of,
    schemas_of,
)

SESSION = 3.0
HOT_SPACE = keys.hot_space(PLACE.space)
COUNTS = {PLACE.category: PLACE.partitions}
Rows = dict[bytes, bytes]
T = TypeVar("T")


@dataclass
class Weather:
    """How a store's server is: well, `slow`, `away`, `hanging`, or `deaf`: then answers of commits are lost."""

    now: str = "well"
    wipes: int = 0

    async def meet(self) -> None:
        """Raises, or never returns."""
        if self.now == "away":
            raise Unavailable("the hot store is away")
        if self.now == "slow":
            await asyncio.sleep(0.2)
        if self.now == "hanging":
            await asyncio.get_running_loop().create_future()


class Weathered(Passing):
    """A store behind a network."""

    def __init__(self, store: MemoryStore, weather: Weather) -> None:
        super().__init__(store)
        self._weather = weather

    @asynccontextmanager
    async def view(self) -> AsyncIterator[View]:
        """See the contract."""
        await self._weather.meet()
        async with self._store.view() as view:
            yield view

    async def own(self) -> Mark:
        """See the contract."""
        await self._weather.meet()
        return await self._store.own()

    async def commit(self, mark: Mark, position: int, writes: Writes) -> Mark:
        """See the contract."""
        await self._weather.meet()
        after = await self._store.commit(mark, position, writes)
        if self._weather.now == "deaf":
            raise Unavailable("the connection was lost before the answer came")
        return after

    async def beat(self, mark: Mark) -> None:
        """See the contract."""
        await self._weather.meet()
        await self._store.beat(mark)

    async def wipe(self, mark: Mark) -> Mark:
        """See the contract."""
        await self._weather.meet()
        self._weather.wipes += 1
        return await self._store.wipe(mark)


class WeatheredStores:
    """The hot store as one process sees it."""

    def __init__(self, stores: MemoryStores, weather: Weather) -> None:
        self._stores = stores
        self._weather = weather

    def open(self, space: str) -> Store:
        """See the contract."""
        return Weathered(self._stores.open(space), self._weather)

    async def close(self) -> None:
        """The spaces belong to the test."""


class LingeringView(MemoryView):
    """A view that is there, but whose reader hears of it later."""

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        await asyncio.sleep(0.1)
        return self


class Remembering(MemoryStore):
    """A history that knows what it was after each commit, and can go back to that in a fail-over.

    While it `lingers`, views of it take their time.
    """

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__(PLACE.space, loop.time)
        self.past = [self.state]
        self.lingers = False

    def view(self) -> MemoryView:
        """See the contract."""
        return LingeringView(self) if self.lingers else super().view()

    def _become(self, rows: object, mark: Mark) -> Mark:
        after = super()._become(rows, mark)  # type: ignore[arg-type]
        self.past.append(self.state)
        return after

    def at(self, hot: Hot) -> list[tuple[Mark, Rows]]:
        """What the history was at the commit that a hot space names; all commits of this number, if it is unnamed."""
        named = keys.change(hot.commit)
        return [
            (state.mark, dict(state.rows))
            for state in self.past
            if state.mark.commit == hot.commit
            and (Changed.unpack(state.rows[named]).owner if named in state.rows else b"") == hot.owner
        ]


class RememberingStores(MemoryStores):
    """Stores with that one space."""

    def __init__(self, store: Remembering) -> None:
        super().__init__()
        self._stores = {PLACE.space: store}


@dataclass
class HotBench:
    """Processes that own the partition one after the other; `projecting` may be changed, as by a deployment."""

    projecting: Projecting = NOTHING
    typed: Typed = field(default_factory=lambda: Typed(account.account))
    registry: SimRegistry = field(default_factory=SimRegistry)
    fed: bool = True

    def __post_init__(self) -> None:
        self.loop = VirtualLoop()
        self.registry.known.setdefault(KNOWN, COMPOSED)
        self.store = Remembering(self.loop)
        self.stores = RememberingStores(self.store)
        self.hot = MemoryStores(self.loop.time)
        self.weather = Weather()
        self.follower = Follower(SimReader(SimLog()), schemas_of(self.registry, "system", account.SCHEMAS), PLACE)
        self.follower.decisions = self.projecting.decisions
        self.processes: list[FedStores] = []
        self.reading = HotRows(WeatheredStores(self.hot, self.weather), SESSION)
        self.spaces = Spaces(self.stores, "lighthouse", COUNTS, self.reading)
        self.ticker = Ticker(SimProducer(SimLog(), self.loop), self.loop.time)
        self.end = 0
        self.deploy()

    def close(self) -> None:
        """Ends every task."""
        self.loop.run(self.follower.close())
        for process in self.processes:
            task = self.loop.create_task(process.close())
            while not task.done():
                self.loop.advance(1.0)
        self.loop.close()

    @property
    def kept(self) -> Kept:
        """What is hot."""
        names = sorted({one.name for one in self.projecting.projections if one.hot})
        return Kept(self.typed.version, tuple(names))

    def deploy(self, fed: bool = True) -> None:
        """A new process with empty memory owns the partition; one that is not `fed` knows nothing of hot rows."""
        self.schemas = schemas_of(self.registry, "account", account.SCHEMAS / "account")
        code = Code(self.schemas, self.typed, StateCache(100, 100_000), self.projecting)
        kept = self.kept
        self.processes.append(FedStores(self.stores, WeatheredStores(self.hot, self.weather), lambda _: kept, SESSION))
        self.asked(self._open(code, fed))

    def beside(self) -> None:
        """Whoever owns the category's other partition, which is empty and has no hot store, builds what there is."""
        place = replace(PLACE, partition=1)
        code = Code(self.schemas, self.typed, StateCache(100, 100_000), self.projecting)
        other = Owner(place, self.stores.open(place.space), code)
        self.asked(other.open(LogEnds(IDENTITY, 0, 0)))
        while other.building:
            self.asked(other.build(1))

    async def _open(self, code: Code, fed: bool) -> None:
        stores = self.processes[-1] if fed else self.stores
        self.owner = Owner(PLACE, stores.open(PLACE.space), code)
        await self.owner.open(LogEnds(IDENTITY, 0, self.end))

    def let_go(self) -> None:
        """The process is told that the partition is not its own any more; else it finds out by itself."""
        self.processes[-1].let_go(PLACE.space)
        self.loop.settle()

    def crash(self) -> None:
        """The process ends at once, and with it what its follower had not told yet."""
        for fed in self.processes[-1]._fed.values():
            self.loop.run(fed.follower.close(0.0))

    def take(self, batch: Sequence[Record]) -> None:
        """One batch."""
        self.end = max(self.end, batch[-1].offset + 1)
        self.asked(self.owner.take(batch))

    def build(self, events: int = 1_000_000) -> None:
        """One slice of the builds (B2)."""
        self.asked(self.owner.build(events))

    def built(self) -> None:
        """All slices that there are to be done."""
        while self.owner.building:
            self.build()

    def beat(self, seconds: float) -> None:
        """Lets time pass, with the owner's beats."""
        while seconds > 0:
            try:
                self.asked(self.owner.beat())
            except LighthouseError:
                return
            self.loop.advance(min(seconds, 0.2))
            seconds -= 0.2

    def fail_over(self, changes: int) -> None:
        """The history's server forgets its last changes; its owner finds out, and another one comes."""
        past = self.store.past
        self.store.state = past[max(0, len(past) - 1 - changes)]
        self.deploy()

    def lose(self) -> None:
        """The hot store's server has forgotten everything."""
        self.hot.open(HOT_SPACE).state = MemoryStores().open(HOT_SPACE).state

    def settled(self, seconds: float = 60.0) -> None:
        """All is well again, and there is time."""
        self.weather.now = "well"
        self.beat(seconds)
        self.loop.settle()

    # Readers.

    @property
    def history(self) -> History:
        """The read side of streams, in a process that has the hot store."""
        return History(self.schemas, self.spaces, {"account": self.typed}, self.ticker, 60.0)

    def rows(self, hot: bool = True) -> Projections:
        """The read side of projections, in a process that has the hot store, or none."""
        catalog = Catalog(projections=tuple(self.projecting.projections))
        spaces = self.spaces if hot else Spaces(self.stores, "lighthouse", COUNTS)
        return Projections(spaces, catalog, self.follower, self.ticker, Limits(SESSION, 5.0, 60.0))

    def asked(self, question: Coroutine[Any, Any, T]) -> T:
        """The answer, however long it takes; no owner beats meanwhile."""
        task = self.loop.create_task(question)
        self.loop.settle()
        while not task.done():
            self.loop.advance(0.05)
        return task.result()

    # What must hold.

    def hot_rows(self) -> Rows:
        """Every row of the hot space."""
        return rows_of(self.hot, HOT_SPACE)

    def hot_row(self) -> Hot | None:
        """How far the hot space is."""
        raw = self.hot_rows().get(keys.HOT)
        return Hot.unpack(raw) if raw is not None else None

    def check(self) -> None:
        """What is told to be copied is what the history was at that very commit, and so is what readers judge by."""
        hot, rows = self.hot_row(), self.hot_rows()
        if hot is None or not hot.following:
            return
        position = self.hot.open(HOT_SPACE).state.mark.position
        then = [found for mark, found in self.store.at(hot) if mark.position == position]
        assert then, f"the history was never at {hot} with the position {position}"
        told = (*hot.complete, *self.kept.progress)
        assert any(_part(rows, told) == _part(found, told) for found in then), f"{hot} is not the history of then"

    def complete(self) -> None:
        """Everything that is to be hot is there, as it is in the history now, and nothing else."""
        hot, state = self.hot_row(), self.store.state
        assert hot is not None
        assert (hot.following, hot.commit, hot.copying, hot.doomed) == (True, state.mark.commit, b"", [])
        assert self.hot.open(HOT_SPACE).state.mark.position == state.mark.position
        progress = {key: raw for key, raw in state.rows.items() if key.startswith(self.kept.progress)}
        wanted = self.kept.wanted(progress)
        assert sorted(hot.complete) == sorted(wanted)
        expected = _part(dict(state.rows), (*wanted, *self.kept.progress))
        assert {key: raw for key, raw in self.hot_rows().items() if key != keys.HOT} == expected


def _part(rows: Rows, prefixes: Sequence[bytes]) -> Rows:
    """The rows with these prefixes, and those by which readers judge."""
    return {key: raw for key, raw in rows.items() if key.startswith(tuple(prefixes)) or key in STANDING}
