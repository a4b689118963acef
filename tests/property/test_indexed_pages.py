"""Pages by way of the index hold what a scan finds, whatever is asked, and however small blocks and pages are."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge import builtin
from bridge.builtin import INDEX
from bridge.cache import Cache
from bridge.decisions import Decided, Decisions
from bridge.events import RecordedEvent
from bridge.feed import indexed
from bridge.feed.filters import Filter
from bridge.feed.indexed import Indexed
from bridge.feed.merge import Fetch, scan
from bridge.feed.order import START, Found, Most, Spot, decode
from bridge.store.contract import View
from streams.builds import Projecting
from tests.model.bench import Bench, Draft, deposit, numbered, records
from tests.model.world import PLACE, now

PATIENT = settings(deadline=None)
LONG = "x" * 300
ACTORS = ("ann", "bob", "o#d/d", LONG)
CORRELATIONS = ("", "one", "two")
TYPES = ("Deposited", "Withdrawn")


def drafts() -> st.SearchStrategy[list[Draft]]:
    event = st.one_of(st.just(deposit(1)), st.just(("Withdrawn", {"amount": 1})))
    one = st.builds(
        lambda events, actor, correlation: Draft(events=events, actor=actor, correlation=correlation),
        st.lists(event, min_size=1, max_size=4),
        st.sampled_from(ACTORS),
        st.sampled_from(CORRELATIONS),
    )
    return st.lists(one, min_size=1, max_size=30).map(numbered)


FILTERS = st.builds(
    lambda types, actors, correlations: Filter(types=types, actors=actors, correlations=correlations),
    st.frozensets(st.sampled_from((*TYPES, "Nothing")), max_size=2),
    st.frozensets(st.sampled_from((*ACTORS, "nobody")), max_size=3),
    st.frozensets(st.sampled_from(("one", "two", "none")), max_size=2),
)


@pytest.fixture(autouse=True, scope="module")
def small_blocks() -> Iterator[None]:
    """Blocks of four offsets, and two rows of the index at once: thirty records then take many of both."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builtin, "BLOCK_BITS", 2)
        patch.setattr(builtin, "_IN_BLOCK", 3)
        patch.setattr(builtin, "index_key", lru_cache(builtin.index_key.__wrapped__))
        patch.setattr(indexed, "BLOCK_BITS", 2)
        patch.setattr(indexed, "BLOCKS", 2)
        patch.setattr(indexed, "index_key", builtin.index_key)
        yield


async def decided() -> Decided:
    return Decided()


async def pages(bench: Bench, fetch: Fetch, wanted: Filter, start: Spot, rows: int) -> list[Found]:
    """Every page from a place on, as a reader goes through them."""
    found: list[Found] = []
    while True:
        async with bench.stores.open(PLACE.space).view() as view:
            page = await fetch(PLACE, view, start, Most(rows=rows), wanted)
        found += await decode(bench.schemas, PLACE.partition, page.rows, wanted)
        if not page.more:
            return found
        assert page.next > start, "each page gets further"
        assert page.last is not None
        assert all(event.effective <= page.last[0] for event in found)
        start = page.next


@PATIENT
@given(
    log=drafts(),
    wanted=FILTERS,
    live=st.booleans(),
    start=st.tuples(st.integers(0, 31), st.integers(0, 3)),
    rows=st.integers(1, 9),
)
def test_an_index_finds_what_a_scan_finds(log: list[Draft], wanted: Filter, live: bool, start: Spot, rows: int) -> None:
    bench = Bench(projecting=Projecting([INDEX], Decisions(), Cache(100, 10_000)))
    if live:
        bench.built()
    bench.take_all(records(log), iter(lambda: 7, 0))
    by_index = now(pages(bench, Indexed(decided).fetch, wanted, start, rows))
    assert by_index == now(pages(bench, scan, wanted, start, rows))
    everything = now(pages(bench, scan, Filter(), START, 1000))
    assert by_index == [one for one in everything if (one.offset, one.index) >= start and _matches(wanted, one)]


def _matches(wanted: Filter, event: Found) -> bool:
    assert isinstance(event, RecordedEvent)
    return wanted.matches(event)


def test_the_index_is_asked_where_it_is_live() -> None:
    bench = Bench(projecting=Projecting([INDEX], Decisions(), Cache(100, 10_000))).built()
    bench.take_all(records(numbered([Draft(actor="ann"), *[Draft(actor="bob")] * 20, Draft(actor="ann")])))
    looked = []

    async def counted(view: View) -> None:
        page = await Indexed(decided).fetch(PLACE, view, START, Most(), Filter(actors=frozenset(("ann",))))
        looked.append(page.looked)

    async def reading() -> None:
        async with bench.stores.open(PLACE.space).view() as view:
            await counted(view)

    now(reading())
    assert looked == [2]
