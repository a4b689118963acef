"""What any store must do as the hot one, whatever the history's is: a real owner feeds it, a real reader asks it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from bridge.builtin import ACTIVITY, STREAMS
from bridge.cache import Cache, StateCache
from bridge.decisions import Decisions
from bridge.errors import Unavailable
from bridge.history.reader import History
from bridge.hot import HotRows
from bridge.log.record import partition_of
from bridge.spaces import Spaces
from bridge.store import keys
from bridge.store.contract import Stores
from bridge.store.rows import Hot
from bridge.ticks import Ticker
from bridge.typed import Typed
from streams.builds import Projecting
from streams.hot import Kept
from streams.hot_feed import FedStores
from streams.owner import Code, LogEnds, Owner
from tests.checker import rows_of
from tests.model import account
from tests.model.bench import Draft, deposit, numbered, records
from tests.model.world import COMPOSED, KNOWN, PLACE
from tests.simlog import IDENTITY, SimLog, SimProducer, SimRegistry, schemas_of

PATIENCE = 30.0
SESSION = 3.0
KEPT = Kept(1, ("activity", "streams"))
ACCOUNTS = [name for name in map("account/{}".format, range(400)) if partition_of(name.encode(), PLACE.partitions) == 0]
LOG = records(numbered(Draft(stream, [deposit(1)]) for stream in ACCOUNTS * 5))


@dataclass
class Fed:
    """A partition whose owner feeds a hot store."""

    history: Stores
    hot: Stores
    end: int = 0

    def __post_init__(self) -> None:
        registry = SimRegistry()
        registry.known[KNOWN] = COMPOSED
        self.schemas = schemas_of(registry, "account", account.SCHEMAS / "account")
        self.typed = Typed(account.account)
        self.stores = FedStores(self.history, self.hot, lambda _: KEPT, SESSION)

    async def own(self) -> None:
        """A new owner; one that was before here leaves."""
        projecting = Projecting([ACTIVITY, STREAMS], Decisions(), Cache(1000, 1_000_000))
        code = Code(self.schemas, self.typed, StateCache(100, 100_000), projecting)
        self.owner = Owner(PLACE, self.stores.open(PLACE.space), code)
        await self.owner.open(LogEnds(IDENTITY, 0, self.end))
        while self.owner.building:
            await self.owner.build(75)

    async def take(self, stop: int, size: int) -> None:
        """Records up to an offset, in batches."""
        self.end = stop
        while (start := self.owner.mark.position) < stop:
            await self.owner.take(LOG[self.owner.rewind() : min(start + size, stop)])
            await asyncio.sleep(0)

    async def complete(self) -> None:
        """Returns once the hot space is what the history is."""
        until = time.monotonic() + PATIENCE
        while not await self._is_complete():
            assert time.monotonic() < until, f"the hot rows are not the history's within {PATIENCE} s"
            await self.owner.beat()
            await asyncio.sleep(0.05)

    def reader(self, hot: HotRows) -> History:
        """Who reads, and asks the hot store first."""
        ticker = Ticker(SimProducer(SimLog(), asyncio.get_running_loop()))
        spaces = Spaces(self.history, "lighthouse", {"account": PLACE.partitions}, hot)
        return History(self.schemas, spaces, {"account": self.typed}, ticker, 60.0)

    async def _is_complete(self) -> bool:
        position, history = await rows_of(self.history.open(PLACE.space))
        try:
            copied, hot = await rows_of(self.hot.open(keys.hot_space(PLACE.space)))
        except Unavailable:  # a view may end while much is copied
            return False
        if keys.HOT not in hot or copied != position:
            return False
        row = Hot.unpack(hot[keys.HOT])
        wanted = KEPT.wanted({key: raw for key, raw in history.items() if key.startswith(KEPT.progress)})
        if not row.following or sorted(row.complete) != sorted(wanted):
            return False
        told = (*wanted, *KEPT.progress, keys.CLOCK, keys.REBUILD)
        assert {key: raw for key, raw in hot.items() if key != keys.HOT} == {
            key: raw for key, raw in history.items() if key.startswith(told)
        }
        return True


class HotContract:
    """An adapter's test class inherits this one and gives the fixtures `history` and `hot`."""

    @pytest.fixture
    async def partition(self, history: Stores, hot: Stores) -> AsyncIterator[Fed]:
        """The partition, with an owner."""
        fed = Fed(history, hot)
        await fed.own()
        yield fed
        await fed.stores.close()

    async def test_it_follows_the_history(self, partition: Fed) -> None:
        for stop in (100, 101, 600, len(LOG)):
            await partition.take(stop, 50)
            await partition.complete()

    async def test_it_follows_from_owner_to_owner(self, partition: Fed) -> None:
        for stop in (300, 600, 900):
            await partition.take(stop, 37)
            await partition.own()
        await partition.complete()

    async def test_it_is_filled_again_once_it_is_empty(self, partition: Fed) -> None:
        await partition.take(500, 50)
        await partition.complete()
        store = partition.hot.open(keys.hot_space(PLACE.space))
        await store.wipe(await store.own())
        await partition.take(600, 50)
        await partition.complete()

    async def test_what_was_missed_is_told_afterwards(self, partition: Fed) -> None:
        """By an owner whose follower ends at once."""
        await partition.take(500, 50)
        await partition.complete()
        await partition.stores.close()
        await partition.take(900, 50)
        await partition.own()
        await partition.complete()

    async def test_a_reader_is_answered_by_it(self, partition: Fed) -> None:
        await partition.take(600, 50)
        await partition.complete()
        asked = HotRows(partition.hot, SESSION)
        history = partition.reader(asked)
        for stream in ACCOUNTS[:20]:
            assert await history.state(stream, least=600) == await history.state(stream)
        assert asked.answered == 20

    async def test_a_zombie_does_not_disturb_it(self, partition: Fed) -> None:
        """A follower that goes on although the partition has another owner, in another process."""
        await partition.take(300, 50)
        other = Fed(partition.history, partition.hot, partition.end)
        await other.own()
        store = partition.hot.open(keys.hot_space(PLACE.space))
        await other.take(600, 50)
        await other.complete()
        async with store.view() as view:
            mark = view.mark
        partition.stores._fed[PLACE.space].follower.beat(partition.owner.mark)
        await other.take(900, 50)
        await other.complete()
        async with store.view() as view:
            assert view.mark.epoch == mark.epoch, "nobody else has taken it over"
        await other.stores.close()
