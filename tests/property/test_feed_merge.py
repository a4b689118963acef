"""The merged order against a naive sort, whatever was written, applied and asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.feed import merge as merging
from bridge.feed.cursor import Point
from bridge.feed.filters import EVERYTHING, Filter
from bridge.feed.merge import Merge
from bridge.feed.order import Found, Most, Unreadable, page, spot_at
from tests.feedworld import PLACES, START, FeedWorld, ids, merged_key, stream_in, where_of
from tests.model.world import KNOWN, UNKNOWN, now
from tests.simlog import VirtualLoop

PATIENT = settings(deadline=None, max_examples=60)

Step = Callable[[FeedWorld], None]
WHERE = st.sampled_from(PLACES)


def later(milliseconds: int, world: FeedWorld) -> None:
    world.now += milliseconds * 1000


STEPS = st.lists(
    st.one_of(
        st.builds(
            lambda where, count, stream, schema, actor: partial(
                FeedWorld.append, where=where, count=count, stream=stream, schema=schema, actor=actor
            ),
            WHERE,
            st.integers(1, 5),
            st.integers(0, 2),
            st.sampled_from((KNOWN, KNOWN, KNOWN, UNKNOWN)),
            st.sampled_from(("ann", "bob")),
        ),
        st.builds(lambda where: partial(FeedWorld.tick, where=where), WHERE),
        st.builds(lambda where, most: partial(FeedWorld.apply, where=where, most=most), WHERE, st.integers(1, 3)),
        st.builds(lambda milliseconds: partial(later, milliseconds), st.integers(-2, 3)),
    ),
    max_size=40,
)
FILTERS = st.builds(
    Filter,
    categories=st.sampled_from([frozenset(), frozenset(("account",)), frozenset(("account", "bill"))]),
    streams=st.sampled_from([frozenset(), frozenset((stream_in(PLACES[0]), stream_in(PLACES[2], 1)))]),
    types=st.sampled_from([frozenset(), frozenset(("Deposited",)), frozenset(("Withdrawn",))]),
    actors=st.sampled_from([frozenset(), frozenset(("ann",))]),
    correlations=st.sampled_from([frozenset(), frozenset(("c1",))]),
)


@pytest.fixture(scope="module")
def loop() -> Iterator[VirtualLoop]:
    loop = VirtualLoop()
    yield loop
    loop.close()


@pytest.fixture(autouse=True, params=[1, 3, 8192])
def rows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of any size: from one row to all there are."""
    for name in ("FIRST_ROWS", "ALL_ROWS"):
        monkeypatch.setattr(merging, name, request.param)


def written(loop: VirtualLoop, steps: list[Step]) -> FeedWorld:
    world = FeedWorld(loop)
    for step in steps:
        step(world)
    return world


def wanted_of(wanted: Filter, event: Found) -> bool:
    if isinstance(event, Unreadable):
        return wanted.takes_stream(event.stream)
    return wanted.matches(event)


def all_of(world: FeedWorld, merge: Merge, start: Point, until: int | None = None) -> tuple[list[Found], Point]:
    """Everything that is settled from a place on, and where the rest begins."""

    async def read() -> tuple[list[Found], Point]:
        await merge.seek(start)
        found: list[Found] = []
        while True:
            batch = await merge.advance(until)
            found += [event for _, event in batch.events]
            assert all(point == Point(*merged_key(event)) for point, event in batch.events)
            if not batch.more:
                return found, batch.next

    return world.run(read())


def below(world: FeedWorld, events: list[Found], until: int | None = None) -> list[Found]:
    bound = world.clock() if until is None else min(world.clock(), until)
    return [event for event in events if event.effective < bound]


@PATIENT
@given(steps=STEPS, wanted=FILTERS, ahead=st.none() | st.integers(-3, 20))
def test_all_that_is_settled_comes_in_order(
    loop: VirtualLoop, steps: list[Step], wanted: Filter, ahead: int | None
) -> None:
    world = written(loop, steps)
    until = None if ahead is None else START + ahead * 1000
    merge = Merge(world.feed.source, list(world.spaces.all()), wanted, world.feed.first)
    found, _ = all_of(world, merge, world.feed.first, until)
    expected = [event for event in below(world, world.naive(), until) if wanted_of(wanted, event)]
    assert ids(found) == ids(expected)
    assert found == expected
    behind = [event for where in PLACES for event in world.order(where) if wanted_of(wanted, event)]
    rest = [event for event in behind if (event.offset, event.index) >= merge.vector[where_of(event)]]
    assert sorted(ids(found) + ids(rest)) == sorted(ids(behind)), "the vector leads to exactly the rest"


@PATIENT
@given(steps=STEPS, more=STEPS, data=st.data())
def test_a_place_leads_to_exactly_the_rest_however_much_was_written_since(
    loop: VirtualLoop, steps: list[Step], more: list[Step], data: st.DataObject
) -> None:
    """I7 for the merged order: nothing comes between what was given, and a cursor of any event goes on behind it."""
    world = written(loop, steps)
    merge = partial(Merge, world.feed.source, list(world.spaces.all()), EVERYTHING, world.feed.first)
    before, following = all_of(world, merge(), world.feed.first)
    for step in more:
        step(world)
    world.settle()
    whole, _ = all_of(world, merge(), world.feed.first)
    assert ids(whole[: len(before)]) == ids(before)
    rest, _ = all_of(world, merge(), following)
    assert ids(before + rest) == ids(whole)
    if whole:
        place = data.draw(st.integers(0, len(whole) - 1))
        rest, _ = all_of(world, merge(), Point(*merged_key(whole[place])).after)
        assert ids(rest) == ids(whole[place + 1 :])
        rest, _ = all_of(world, merge(), Point(*merged_key(whole[place])))
        assert ids(rest) == ids(whole[place:])


@PATIENT
@given(steps=STEPS, more=STEPS)
def test_a_reader_that_stays_gets_what_is_settled_later(loop: VirtualLoop, steps: list[Step], more: list[Step]) -> None:
    world = written(loop, steps)
    merge = Merge(world.feed.source, list(world.spaces.all()), EVERYTHING, world.feed.first)
    found, _ = all_of(world, merge, world.feed.first)

    async def go_on() -> list[Found]:
        events: list[Found] = []
        while True:
            batch = await merge.advance()
            events += [event for _, event in batch.events]
            if not batch.more:
                return events

    for step in more:
        step(world)
        found += world.run(go_on())
    world.settle()
    found += world.run(go_on())
    assert ids(found) == ids(below(world, world.naive()))


@PATIENT
@given(steps=STEPS, at=st.integers(-5, 60))
def test_a_time_leads_to_the_first_event_at_or_behind_it(loop: VirtualLoop, steps: list[Step], at: int) -> None:
    world = written(loop, steps)
    for where in PLACES:
        events = world.order(where)

        async def find(where: tuple[str, int] = where) -> tuple[int, int]:
            async with world.spaces.at(*where).store.view() as view:
                return await spot_at(view, START + at * 1000)

        spot = now(find())
        assert [event.id for event in events if (event.offset, event.index) >= spot] == [
            event.id for event in events if event.effective >= START + at * 1000
        ]


@PATIENT
@given(steps=STEPS, most=st.builds(Most, st.integers(1, 7), st.integers(1, 400)))
def test_pages_of_a_partition_add_up_to_its_order(loop: VirtualLoop, steps: list[Step], most: Most) -> None:
    world = written(loop, steps)
    for where in PLACES:

        async def read(where: tuple[str, int] = where) -> list[Found]:
            found, start, more = list[Found](), (0, 0), True
            while more:
                async with world.spaces.at(*where).store.view() as view:
                    one = await page(view, world.schemas, where[1], start, most=most)
                assert len(one.events) <= most.rows
                found, start, more = found + one.events, one.next, one.more
            return found

        assert now(read()) == world.order(where)
