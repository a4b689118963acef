"""Live readers in any interleaving of writes, commits, looks, joins and pauses: each event once, in partition order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.events import RecordedEvent
from bridge.feed import follow, playback
from bridge.feed.cursor import Point, Where
from bridge.feed.filters import EVERYTHING, Filter
from bridge.feed.follow import Room
from bridge.feed.messages import Asked
from bridge.feed.order import Found, Most, Spot
from tests.feedworld import PLACES, RULES, FeedWorld, ids, stream_in, where_of
from tests.simlog import VirtualLoop

PATIENT = settings(deadline=None, max_examples=50)
WHERE = st.sampled_from(PLACES)
WANTED = st.sampled_from(
    [
        EVERYTHING,
        Filter(categories=frozenset(("account",))),
        Filter(streams=frozenset((stream_in(PLACES[0]),))),
        Filter(actors=frozenset(("ann",))),
    ]
)
ROOMS = st.sampled_from((Room(1, 10**9), Room(5, 10**9), Room(5, 1000), Room(100_000, 10**9)))


@pytest.fixture(autouse=True, params=[1, 3, 512])
def pages(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages and chunks of any size."""
    for module in (follow, playback):
        monkeypatch.setattr(module, "PAGE", Most(request.param, 10**6))
    monkeypatch.setattr(playback, "CHUNK", request.param)
    monkeypatch.setattr(playback, "NEAR", request.param)


class Watcher:
    """A reader that now and then leaves and comes back with its last cursor."""

    def __init__(self, world: FeedWorld, wanted: Filter, start: Point | None) -> None:
        self.world = world
        self.wanted = wanted
        self.had: list[str] = []
        self.reader = world.reader(Asked(wanted, start, follow=True))
        world.loop.settle()
        self.since = self.place() if start is None else {}

    def place(self) -> dict[Where, Spot]:
        """Where each partition stood when the reader began."""
        place = self.world.cursors.parse(self.reader.playback._cursor(), "cursor")
        assert isinstance(place, dict)
        return place

    def expected(self) -> list[Found]:
        """By partition, what it must have been told."""
        return [
            event
            for where in PLACES
            for event in self.world.order(where)
            if isinstance(event, RecordedEvent)
            and self.wanted.matches(event)
            and (event.offset, event.index) >= self.since.get(where, (0, 0))
        ]

    def come_back(self, after: int) -> None:
        """Leaves, as if it had seen only so many of the events told since it came; and goes on from there."""
        entries = self.reader.entries[: after % (len(self.reader.entries) + 1)]
        if not entries:
            return
        self.had += self.reader.ids[: len(entries)]
        self.reader.leave()
        cursor = self.world.cursors.parse(entries[-1][0], "cursor")
        self.reader = self.world.reader(Asked(self.wanted, cursor, follow=True))
        self.world.loop.settle()

    def check(self) -> None:
        told = self.had + self.reader.ids
        assert len(told) == len(set(told)), "an event came twice"
        expected = self.expected()
        assert set(told) == set(ids(expected))
        if self.since:
            assert sorted(told, key={event.id: where_of(event) for event in expected}.__getitem__) == ids(
                sorted(expected, key=where_of)
            ), "a partition's events came in another order"


def join(watchers: list[Watcher], world: FeedWorld, wanted: Filter, past: bool) -> None:
    if len(watchers) < 6:
        watchers.append(Watcher(world, wanted, world.feed.first if past else None))


def with_one(do: Callable[[Watcher], None], watchers: list[Watcher], world: FeedWorld, which: int) -> None:
    if watchers:
        do(watchers[which % len(watchers)])
        world.loop.settle()


STEPS = st.lists(
    st.one_of(
        st.builds(
            lambda where, count, stream, actor: lambda _, world: world.append(where, count, stream, actor=actor),
            WHERE,
            st.integers(1, 4),
            st.integers(0, 1),
            st.sampled_from(("ann", "bob")),
        ),
        st.builds(lambda where, most: lambda _, world: world.apply(where, most), WHERE, st.integers(1, 3)),
        st.builds(lambda time: lambda _, world: world.pass_by(time), st.sampled_from((0.001, 0.03, 1.5))),
        st.builds(lambda wanted, past: partial(join, wanted=wanted, past=past), WANTED, st.booleans()),
        st.builds(
            lambda which, do: partial(with_one, do, which=which),
            st.integers(0, 5),
            st.one_of(
                st.just(lambda one: one.reader.playback.pause()),
                st.just(lambda one: one.reader.playback.resume()),
                st.just(lambda one: one.reader.hold()),
                st.just(lambda one: one.reader.release()),
                st.builds(lambda after: lambda one: one.come_back(after), st.integers(0, 1000)),
            ),
        ),
    ),
    max_size=50,
)


@PATIENT
@given(steps=STEPS, room=ROOMS)
def test_every_reader_gets_each_event_once_in_partition_order(steps: list[Any], room: Room) -> None:
    loop = VirtualLoop()
    world = FeedWorld(loop, rules=replace(RULES, replays=100, room=room, patience=1e9))
    watchers: list[Watcher] = []
    try:
        for step in steps:
            step(watchers, world)
        for watcher in watchers:
            watcher.reader.release()
            watcher.reader.playback.resume()
        for _ in range(60):
            world.pass_by(0.1)
        for watcher in watchers:
            assert not watcher.reader.task.done(), watcher.reader.task
            watcher.check()
    finally:
        for watcher in watchers:
            watcher.reader.leave()
        assert not world.feed.live._watched, "a partition is still looked at after its last reader has left"
        assert not world.feed.readers
        assert not world.feed.replays
        world.close()
        loop.close()
