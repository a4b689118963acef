"""Who reads asks the hot store first, is never shown less than was asked for, and never waits for it long."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from bridge.builtin import STREAMS, StreamRow
from bridge.cache import Cache
from bridge.decisions import Decisions
from bridge.errors import NotFound
from bridge.events import RecordedEvent
from bridge.history.reader import At
from bridge.log.record import Record
from bridge.projection import Projection, Rows
from bridge.query.reader import Span, When
from bridge.store import keys
from streams.builds import Projecting
from tests.model.bench import Draft, deposit, numbered, records
from tests.model.hotbench import HOT_SPACE, SESSION, HotBench

STREAM = "account/a"
LOG = records(numbered(Draft(events=[deposit(number)]) for number in range(1, 9)))


def count(event: RecordedEvent, rows: Rows[int]) -> None:
    """How far the partition is."""
    rows.put("all", event.offset + 1)


COUNTED = Projection("counted", 1, count, int, merge=max, hot=True)


@pytest.fixture
def bench() -> Iterator[HotBench]:
    """Four appends in the history and in the hot space."""
    bench = HotBench(Projecting([STREAMS, COUNTED], Decisions(), Cache(100, 100_000)))
    bench.built()
    bench.take(LOG[:4])
    bench.settled(2.0)
    bench.complete()
    yield bench
    bench.close()


def more(bench: HotBench, *records: Record) -> None:
    """Another batch, of which the hot space is not told yet."""
    bench.weather.now = "away"
    bench.take(LOG[bench.owner.rewind() : 4] + list(records))
    bench.weather.now = "well"


def head(bench: HotBench, least: int = 0) -> tuple[int, bool]:
    """The head that the row of the stream tells, and whether the hot store told it."""
    before = bench.reading.answered
    row = bench.asked(bench.rows().row("streams", STREAM, When(wanted={("account", 0): least})))
    assert isinstance(row.value, StreamRow)
    assert row.seen.positions[0].offset >= least
    return row.value.head, bench.reading.answered > before


def amount(bench: HotBench, least: int | None) -> tuple[Any, bool]:
    """The version of the state of now, and whether the hot store told it."""
    before = bench.reading.answered
    found = bench.asked(bench.history.state(STREAM, least=least))
    return found.version, bench.reading.answered > before


def test_the_hot_store_answers_what_the_history_would(bench: HotBench) -> None:
    bench.beside()
    hot, cold = bench.rows(), bench.rows(hot=False)
    assert bench.asked(hot.row("streams", STREAM)) == bench.asked(cold.row("streams", STREAM))
    assert bench.asked(hot.rows("streams", Span())) == bench.asked(cold.rows("streams", Span()))
    assert bench.asked(hot.rows("counted", Span("a", "a"))) == bench.asked(cold.rows("counted", Span("a", "a")))
    assert bench.asked(bench.history.state(STREAM, least=4)) == bench.asked(bench.history.state(STREAM))
    assert (bench.reading.answered, bench.reading.fell_through) == (4, 2), "the other partition has no hot space"
    with pytest.raises(NotFound):
        bench.asked(hot.row("streams", "account/nobody"))


def test_nobody_is_shown_less_than_was_asked_for(bench: HotBench) -> None:
    more(bench, *LOG[4:6])
    assert head(bench, 4) == (4, True)
    assert amount(bench, 4) == (3, True)
    assert head(bench, 6) == (6, False)
    assert amount(bench, 6) == (5, False)
    assert amount(bench, None) == (5, False), "whoever does not say what was seen is given the newest"
    bench.settled(1.0)
    assert (head(bench, 6), amount(bench, 6)) == ((6, True), (5, True))


def test_what_was_is_the_history_s_to_tell(bench: HotBench) -> None:
    assert bench.asked(bench.history.state(STREAM, At(version=1), 0)).version == 1
    assert bench.reading.answered == 0


@pytest.mark.parametrize("weather", ["away", "hanging"])
def test_a_hot_store_that_does_not_answer_is_left_alone(bench: HotBench, weather: str) -> None:
    bench.weather.now = weather
    began = bench.loop.time()
    assert head(bench) == (4, False)
    assert bench.loop.time() - began <= 0.3
    asked = bench.loop.time()
    for _ in range(20):
        assert head(bench) == (4, False)
    assert bench.loop.time() == asked, "nobody waits for it meanwhile"
    bench.weather.now = "well"
    assert head(bench) == (4, False)
    bench.beat(1.5)
    assert head(bench) == (4, True)
    assert bench.reading.fell_through == 22


def test_a_hot_store_that_nobody_feeds_is_not_believed(bench: HotBench) -> None:
    bench.loop.advance(SESSION - 0.5)
    assert head(bench) == (4, True)
    bench.loop.advance(1.0)
    assert head(bench) == (4, False)
    bench.beat(0.2)
    assert head(bench) == (4, True)


def test_a_hot_store_that_is_taken_over_and_not_fed_is_not_believed(bench: HotBench) -> None:
    """Its owner commits nothing, again and again, since no replica confirms that it has taken the space over."""
    bench.loop.advance(SESSION + 1.0)
    bench.loop.run(bench.hot.open(HOT_SPACE).own())
    assert head(bench) == (4, False)


def test_a_hot_store_that_was_lost_is_filled_again_and_not_asked_meanwhile(bench: HotBench) -> None:
    bench.lose()
    assert head(bench) == (4, False)
    bench.settled(2.0)
    assert head(bench) == (4, True)


def test_a_stopped_partition_is_told_by_the_history(bench: HotBench) -> None:
    bench.weather.now = "hanging"
    with pytest.raises(Exception, match="another log"):
        bench.loop.run(bench.owner.stop("another log"))
    bench.settled(6.0)
    assert keys.STOPPED in bench.hot_rows()
    with pytest.raises(Exception, match="another log"):
        bench.asked(bench.rows().row("streams", STREAM))


def test_a_store_that_hangs_holds_nobody_and_takes_no_memory(bench: HotBench) -> None:
    bench.weather.now = "hanging"
    bench.owner.rewind()
    for number in range(3, 8):
        bench.take(LOG[bench.owner.rewind() : number + 1])
    assert bench.owner.mark.position == 8
    assert bench.hot.open(HOT_SPACE).state.mark.position == 4
    bench.settled(10.0)
    bench.complete()
