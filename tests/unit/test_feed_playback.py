"""One reader of many streams, in virtual time: pace, pauses, heartbeats, ends; and pages of the merged order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from bridge.errors import Invalid, LighthouseError, NoOwner, NotFound, NotReached, TooSlow, Unavailable
from bridge.feed.cursor import Point
from bridge.feed.feed import FeedPage
from bridge.feed.filters import EVERYTHING, Filter
from bridge.feed.messages import Asked, Beat, Ended, Events, Paused, Resumed, Stopping
from bridge.feed.order import Found, Unreadable
from tests.feedworld import PLACES, START, FeedWorld, SimReader, ids, stream_in
from tests.model.world import UNKNOWN
from tests.simlog import VirtualLoop

A, B, BILL = PLACES


@pytest.fixture
def world() -> Iterator[FeedWorld]:
    loop = VirtualLoop()
    world = FeedWorld(loop)
    yield world
    world.close()
    loop.close()


def told(reader: SimReader, *kinds: type) -> list[Any]:
    return [message for message in reader.messages if isinstance(message, kinds)]


def seconds_apart(world: FeedWorld, *gaps: float) -> None:
    """One event, and one more after each gap, in turn over the partitions."""
    for number, gap in enumerate((0.0, *gaps)):
        world.now += round(gap * 1e6)
        world.append(PLACES[number % len(PLACES)])
    world.settle()


def replay(world: FeedWorld, **asked: Any) -> SimReader:
    return world.reader(Asked(EVERYTHING, world.feed.first, **asked))


# replays


def test_a_replay_ends_with_the_present_which_ticks_make_final(world: FeedWorld) -> None:
    world.append(A)
    world.append(B)
    world.apply_all()
    reader = replay(world)
    world.loop.settle()
    assert reader.ids == [], "one partition was never used: something could still come before"
    for _ in range(30):
        world.pass_by(0.01)
    assert reader.ids == ids(world.naive())
    assert isinstance(reader.messages[-1], Ended)
    assert reader.task.done()


def test_a_replay_until_a_time_ends_there_and_its_end_leads_to_the_rest(world: FeedWorld) -> None:
    seconds_apart(world, 1, 1, 1)
    reader = replay(world, until=START + 2_000_000)
    reader.finish()
    assert reader.ids == ids(world.naive())[:2]
    rest = world.reader(Asked(EVERYTHING, world.cursors.parse(reader.messages[-1].cursor, ""), START + 3_500_000))  # type: ignore[union-attr]
    rest.finish()
    assert rest.ids == ids(world.naive())[2:]


def test_events_come_at_their_pace(world: FeedWorld) -> None:
    seconds_apart(world, 4, 2, 0, 100)
    reader = replay(world, until=START + 200_000_000, speed=2.0, longest=5.0)
    world.now += 300_000_000
    came: list[int] = []
    for _ in range(110):
        world.pass_by(0.1)
        came.append(len(reader.ids))
    assert [came.index(number) for number in (1, 2, 4, 5)] == pytest.approx([0, 20, 30, 80], abs=2)


def test_a_pause_holds_the_past_and_another_speed_shortens_it(world: FeedWorld) -> None:
    seconds_apart(world, 10, 10)
    reader = replay(world, until=START + 60_000_000, speed=1.0)
    world.now += 100_000_000
    world.pass_by(0.1)
    world.pass_by(4.0)
    reader.playback.pause()
    world.pass_by(30.0)
    assert (len(reader.ids), told(reader, Paused)) == (1, [Paused()])
    reader.playback.resume()
    world.pass_by(5.0)
    assert (len(reader.ids), told(reader, Resumed)) == (1, [Resumed()])
    world.pass_by(1.1)
    assert len(reader.ids) == 2
    reader.playback.speed(10.0)
    world.pass_by(0.01)
    world.pass_by(1.0)
    assert len(reader.ids) == 3


def test_every_answer_to_the_reader_comes_though_it_changes_its_mind(world: FeedWorld) -> None:
    reader = world.reader(Asked(EVERYTHING, None, follow=True))
    world.pass_by(0.1)
    for _ in range(2):
        reader.playback.pause()
        reader.playback.resume()
    world.pass_by(0.1)
    assert told(reader, Paused, Resumed) == [Paused(), Resumed()] * 2
    reader.leave()


def test_a_replay_that_nothing_makes_final_says_so(world: FeedWorld) -> None:
    world.append(A)
    world.apply_all()
    reader = replay(world)
    for _ in range(200):
        world.loop.advance(0.05)  # ticks are asked for, and lost
    with pytest.raises(NoOwner, match=r"3 partitions do not move on.*lighthouse.account-1, lighthouse.bill-0"):
        reader.task.result()


def test_who_follows_is_not_held_back_for_ever(world: FeedWorld) -> None:
    world.append(A)
    world.apply_all()
    reader = replay(world, follow=True)
    for _ in range(200):
        world.loop.advance(0.05)
    assert reader.ids == ids(world.naive())
    assert not reader.task.done()
    reader.leave()


def test_only_so_many_replays_at_once(world: FeedWorld) -> None:
    seconds_apart(world, 5)
    readers = [replay(world, speed=1.0) for _ in range(world.rules.replays)]
    world.pass_by(0.1)
    refused = replay(world)
    world.loop.settle()
    with pytest.raises(Unavailable, match="3 replays are under way"):
        refused.task.result()
    readers[0].leave()
    late = replay(world)
    late.finish()
    for reader in readers:
        reader.leave()
    assert world.feed.replays == 0


def test_a_replay_that_has_become_live_makes_room_for_another(world: FeedWorld) -> None:
    readers = [replay(world, follow=True) for _ in range(world.rules.replays)]
    for _ in range(30):
        world.pass_by(0.05)
    assert world.feed.replays == 0
    for reader in readers:
        reader.leave()


def test_an_event_that_cannot_be_read_is_told_as_such(world: FeedWorld) -> None:
    world.append(A, schema=UNKNOWN)
    world.append(A, stream=1)
    world.settle()
    found = world.naive()
    assert isinstance(found[0], Unreadable)
    for wanted in (EVERYTHING, Filter(types=frozenset(("Deposited",)))):
        reader = world.reader(Asked(wanted, world.feed.first))
        reader.finish()
        one, other = (msgspec.json.decode(text) for _, text in reader.entries)
        assert (one["type"], one["data"], one["stream"]) == (None, None, stream_in(A))
        assert "cannot be decoded yet" in one["error"]
        assert "error" not in other
    world.registry.known[UNKNOWN] = world.registry.known[1]
    world.run(world.owners[A].unpark())
    again = world.reader(Asked(EVERYTHING, world.feed.first))
    again.finish()
    assert again.ids == reader.ids, "it is the same event, in the same place"
    assert msgspec.json.decode(again.entries[0][1])["type"] == "Deposited"


# live


def test_heartbeats_come_while_nothing_does_and_lead_on(world: FeedWorld) -> None:
    wanted = Filter(actors=frozenset(("bob",)))
    reader = world.reader(Asked(wanted, None, follow=True))
    for _ in range(35):
        world.append(A, count=2)
        world.pass_by(1.0)
    beats = told(reader, Beat)
    assert len(beats) == 3
    assert reader.messages == beats
    place = world.cursors.parse(beats[-1].cursor, "")
    assert isinstance(place, dict)
    assert place[A][0] >= 28, "what it does not want lies behind it too"
    reader.leave()


def test_heartbeats_go_on_in_gaps_and_pauses(world: FeedWorld) -> None:
    seconds_apart(world, 25)
    reader = replay(world, speed=1.0)
    world.now += 100_000_000
    for _ in range(24):
        world.pass_by(1.0)
    assert len(told(reader, Beat)) == 2
    reader.playback.pause()
    for _ in range(30):
        world.pass_by(1.0)
    assert len(told(reader, Beat)) == 4
    reader.leave()


def test_a_burst_makes_nobody_slow(world: FeedWorld) -> None:
    reader = world.reader(Asked(EVERYTHING, None, follow=True))
    world.pass_by(0.1)
    for _ in range(3):
        world.append(A, count=900)
        world.append(B, count=70)
    world.apply_all()
    world.pass_by(0.1)
    world.pass_by(0.1)
    assert sorted(reader.ids) == sorted(ids(world.order(A, 3000)) + ids(world.order(B)))
    reader.leave()


def test_what_a_reader_leaves_unread_waits_in_the_history(world: FeedWorld) -> None:
    reader = world.reader(Asked(EVERYTHING, None, follow=True))
    world.pass_by(0.1)
    reader.hold()
    for _ in range(50):
        world.append(A, count=20)
        world.pass_by(1.0)
    reader.release()
    for _ in range(20):
        world.pass_by(0.1)
    assert reader.ids == ids(world.order(A))
    reader.leave()


def test_a_reader_that_is_behind_for_too_long_is_told(world: FeedWorld) -> None:
    reader = world.reader(Asked(EVERYTHING, None, follow=True))
    world.pass_by(0.1)
    reader.delay = 1.0
    seconds = 0
    while not reader.task.done():
        world.append(A, count=300)
        world.pass_by(1.0)
        seconds += 1
        assert seconds < 60
    with pytest.raises(TooSlow, match=r"behind for 3\d s"):
        reader.task.result()
    assert seconds > world.rules.patience
    assert reader.ids == ids(world.order(A, 30_000))[: len(reader.ids)]


def test_a_paused_reader_is_not_slow(world: FeedWorld) -> None:
    reader = world.reader(Asked(EVERYTHING, None, follow=True))
    world.pass_by(0.1)
    reader.playback.pause()
    for _ in range(5):
        world.append(A, count=20)
        world.pass_by(0.1)
    assert reader.ids == []
    reader.playback.resume()
    world.pass_by(0.1)
    world.append(B)
    world.pass_by(0.1)
    assert reader.ids == ids(world.order(A)) + ids(world.order(B))
    reader.leave()


def test_readers_are_told_that_the_process_ends(world: FeedWorld) -> None:
    seconds_apart(world, 5)
    readers = [world.reader(Asked(EVERYTHING, None, follow=True)), replay(world, speed=1.0)]
    world.pass_by(0.1)
    world.run(world.feed.stop(1.0))
    for reader in readers:
        assert reader.task.done()
        assert isinstance(reader.messages[-1], Stopping)
    cursor = world.cursors.parse(readers[1].messages[-1].cursor, "")  # type: ignore[union-attr]
    other = world.reader(Asked(EVERYTHING, cursor), world.another_feed())
    other.finish()
    assert readers[1].ids + other.ids == ids(world.naive())


def test_a_partition_that_is_being_rebuilt_is_waited_for(world: FeedWorld) -> None:
    world.append(A, count=3)
    world.append(B)
    world.apply_all()
    reader = world.reader(Asked(EVERYTHING, None, follow=True))
    world.pass_by(0.1)
    store = world.stores.open("lighthouse.account-0")
    world.run(store.wipe(store.state.mark))
    world.pass_by(0.1)
    world.append(B)
    world.pass_by(0.1)
    assert len(reader.ids) == 1, "the other partitions go on"
    reader.leave()


def test_live_events_whose_schema_cannot_be_asked_for_now_are_waited_for(
    world: FeedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.log.schemas.AWAY", 0.0)
    reader = world.reader(Asked(EVERYTHING, None, follow=True))
    world.pass_by(0.1)
    world.append(A)
    world.apply_all()
    world.registry.away = True
    world.pass_by(1.0)
    assert reader.ids == []
    assert not reader.task.done()
    world.registry.away = False
    world.pass_by(1.0)
    assert reader.ids == ids(world.order(A))
    reader.leave()


def test_a_replay_that_cannot_ask_for_a_schema_says_so(world: FeedWorld) -> None:
    seconds_apart(world, 1)
    world.registry.away = True
    reader = replay(world)
    world.loop.settle()
    with pytest.raises(Unavailable, match="away"):
        reader.task.result()


def broken(event: Found) -> bytes:
    raise ZeroDivisionError(event.stream)


def test_readers_learn_that_live_events_cannot_be_read_any_more(world: FeedWorld) -> None:
    reader = world.reader(Asked(EVERYTHING, None, follow=True, encode=broken))
    world.pass_by(0.1)
    world.append(A)
    world.pass_by(0.1)
    with pytest.raises(LighthouseError, match="live events cannot be read"):
        reader.task.result()
    another = world.reader(Asked(EVERYTHING, None, follow=True))
    world.pass_by(0.1)
    world.append(A)
    world.pass_by(0.1)
    assert len(another.ids) == 1
    another.leave()


def test_a_partition_that_is_being_rebuilt_has_no_pages(world: FeedWorld) -> None:
    world.append(A)
    world.settle()
    store = world.stores.open("lighthouse.account-0")
    world.run(store.wipe(store.state.mark))
    with pytest.raises(NoOwner, match="no history yet"):
        page(world)


def test_a_place_of_live_events_that_the_history_has_not_reached_is_waited_for(world: FeedWorld) -> None:
    place = dict.fromkeys(PLACES, (1, 0))
    reader = world.reader(Asked(EVERYTHING, place, follow=True))
    for _ in range(6):
        world.loop.advance(1.0)
    with pytest.raises(NotReached):
        reader.task.result()


def test_a_place_must_name_every_partition_that_is_read(world: FeedWorld) -> None:
    reader = world.reader(Asked(EVERYTHING, {A: (0, 0), B: (0, 0)}, follow=True))
    world.loop.settle()
    with pytest.raises(Invalid, match=r"does not say where lighthouse\.bill-0 goes on"):
        reader.task.result()


def test_a_category_that_is_not_there(world: FeedWorld) -> None:
    for wanted in (Filter(categories=frozenset(("other",))), Filter(streams=frozenset(("other/1",)))):
        with pytest.raises(NotFound, match="there is no category 'other'"):
            world.feed.spaces(wanted)


def test_only_the_partitions_of_named_streams_are_read(world: FeedWorld) -> None:
    wanted = Filter(streams=frozenset((stream_in(B), stream_in(BILL))))
    assert [space.place.space for space in world.feed.spaces(wanted)] == ["lighthouse.account-1", "lighthouse.bill-0"]
    narrowed = Filter(categories=frozenset(("bill",)), streams=wanted.streams)
    assert [space.place.space for space in world.feed.spaces(narrowed)] == ["lighthouse.bill-0"]


# pages


def page(world: FeedWorld, limit: int = 100, start: Point | None = None, until: int | None = None) -> FeedPage:
    return world.run(world.feed.page(EVERYTHING, start or world.feed.first, until, limit))


def test_pages_lead_from_one_to_the_next(world: FeedWorld) -> None:
    seconds_apart(world, *[0.001] * 9)
    expected, found = ids(world.naive()), list[str]()
    start: Point | None = world.feed.first
    sizes = []
    while start is not None:
        one = page(world, 4, start)
        found, start = found + ids(one.events), one.next
        sizes.append(len(one.events))
    assert (found, sizes) == (expected, [4, 4, 2])
    assert ids(page(world, 10).events) == expected
    assert page(world, 10).next is None
    assert page(world, 9).next is not None


def test_a_page_says_whether_anything_can_still_come(world: FeedWorld) -> None:
    seconds_apart(world, 1, 1)
    early = page(world, until=START + 1_500_000)
    assert (early.final, early.up_to, len(early.events)) == (True, START + 1_500_000, 2)
    now = page(world)
    assert (now.final, len(now.events)) == (False, 3)
    assert START + 2_000_000 < now.up_to <= world.now
    again = page(world, start=world.feed.at(now.up_to))
    assert again.events == []


def test_a_page_waits_two_seconds_for_ticks_and_no_longer(world: FeedWorld) -> None:
    seconds_apart(world, 1)
    world.append(A)
    world.apply_all()
    task = world.loop.create_task(world.feed.page(EVERYTHING, world.feed.first, None, 100))
    for _ in range(19):
        world.loop.advance(0.1)  # ticks are lost
    assert not task.done()
    for _ in range(3):
        world.loop.advance(0.1)
    found = task.result()
    assert (len(found.events), found.final, found.next) == (2, False, None)
    assert len(page(world).events) == 3


def test_a_page_that_looks_at_much_and_finds_nothing_ends_early(
    world: FeedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.feed.feed.SCAN", 40)
    for _ in range(30):
        world.append(A, count=5)
    world.append(A, actor="bob")
    world.settle()
    wanted, start, pages = Filter(actors=frozenset(("bob",))), world.feed.first, 0
    while True:
        one = world.run(world.feed.page(wanted, start, START + 500, 10))
        pages += 1
        if one.next is None:
            break
        start = one.next
        assert pages < 10
    assert len(one.events) == 1
    assert pages > 1


def test_the_tick_of_a_page_goes_to_partitions_that_were_never_used(world: FeedWorld) -> None:
    world.append(A)
    world.apply_all()
    found = page(world)
    assert ids(found.events) == ids(world.naive())
    assert {where for where in PLACES if world.logs[where]} == set(PLACES)


def test_entries_lead_behind_themselves(world: FeedWorld) -> None:
    seconds_apart(world, 1, 1, 1)
    whole = replay(world)
    whole.finish()
    for number, (cursor, _) in enumerate(whole.entries):
        rest = world.reader(Asked(EVERYTHING, world.cursors.parse(cursor, "")))
        rest.finish()
        assert rest.ids == whole.ids[number + 1 :]


def test_a_replay_is_the_same_again(world: FeedWorld) -> None:
    seconds_apart(world, 1, 0, 0, 2)
    until = world.now
    one, two = replay(world, until=until), replay(world, until=until)
    for reader in (one, two):
        reader.finish()
    assert one.messages == two.messages
    assert isinstance(one.messages[0], Events)
