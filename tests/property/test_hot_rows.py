"""Hot rows at a position are the history's rows at that position, byte for byte, whatever goes wrong between."""

from __future__ import annotations

from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import streams.hot
import streams.hot_feed
import streams.hot_follower
from bridge.builtin import STREAMS
from bridge.cache import Cache
from bridge.decisions import BuildAnswered, BuildBegun, BuildDropped, Decisions
from bridge.errors import LighthouseError
from bridge.log.record import Record
from bridge.projection import Projection
from bridge.query.reader import When
from bridge.store import keys
from bridge.store.rows import Progress
from streams.builds import Projecting
from tests.model.bench import Bench, Draft, deposit, numbered, records
from tests.model.hotbench import HOT_SPACE, HotBench
from tests.property.test_projections import DRAFTS, Balance, project_balance, project_many_memos, project_memos
from tests.property.test_projections import STREAMS as ACCOUNTS

PATIENT = settings(deadline=None)
BALANCES = Projection("balances", 1, project_balance, Balance, versioned=True, hot=True)
MEMOS = Projection("memos", 1, project_memos, int, merge=max, project_many=project_many_memos, hot=True)
COLD = Projection("cold", 1, project_memos, int, merge=max)

SMALL = {
    streams.hot: {"LARGEST": 9, "LARGEST_BYTES": 900, "MOST_KEYS": 40, "MOST_MISSED": 60},
    streams.hot_follower: {"SLICE": 2, "FEW": 1, "AT_ONCE": 5, "QUEUE_ROWS": 40, "SLICE_BYTES": 400},
    streams.hot_feed: {"MOST_COMMITS": 12, "SPARE": 2, "MOST_KEYS": 90, "FORGOTTEN_AT_ONCE": 5},
}
"""Bounds that a short run meets."""

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("take"), st.integers(1, 5)),
        st.tuples(st.just("take"), st.integers(1, 5)),
        st.tuples(st.just("take"), st.integers(1, 5)),
        st.tuples(st.just("pass"), st.sampled_from([0.1, 0.2])),
        st.tuples(st.just("build"), st.integers(1, 9)),
        st.tuples(st.just("pass"), st.sampled_from([0, 0.1, 0.2, 1, 4, 30])),
        st.tuples(st.just("weather"), st.sampled_from(["well", "slow", "slow", "away", "hanging", "deaf"])),
        st.tuples(st.just("hand over"), st.booleans()),
        st.tuples(st.just("crash"), st.just(0)),
        st.tuples(st.just("linger"), st.booleans()),
        st.tuples(st.just("unfed"), st.just(0)),
        st.tuples(st.just("fail over"), st.integers(1, 6)),
        st.tuples(st.just("hot fails over"), st.integers(1, 4)),
        st.tuples(st.just("hot is lost"), st.just(0)),
        st.tuples(st.just("decide"), st.integers(0, 3)),
        st.tuples(st.just("ask"), st.sampled_from(ACCOUNTS)),
    ),
    max_size=60,
)


@contextmanager
def small() -> Iterator[None]:
    """The bounds as SMALL has them."""
    with pytest.MonkeyPatch.context() as patch:
        for module, values in SMALL.items():
            for name, value in values.items():
                patch.setattr(module, name, value)
        yield


@dataclass
class Run:
    """A bench that plays steps."""

    bench: HotBench
    log: list[Record]
    decisions: Decisions

    def __post_init__(self) -> None:
        self.past: list[Any] = []
        self.generation = 0

    def step(self, name: str, value: Any) -> None:
        """One step; an owner that was fenced is replaced."""
        try:
            self._step(name, value)
        except LighthouseError:
            self.bench.deploy()
        state = self.bench.hot.open(HOT_SPACE).state
        if not self.past or self.past[-1] is not state:
            self.past.append(state)
        self.bench.check()

    def _step(self, name: str, value: Any) -> None:
        bench = self.bench
        match name:
            case "take" if bench.owner.mark.position < len(self.log):
                bench.take(self.log[bench.owner.rewind() : bench.owner.mark.position + value])
            case "build" if bench.owner.building:
                bench.build(value)
            case "pass":
                bench.beat(value)
            case "weather":
                bench.weather.now = value
            case "hand over":
                if value:
                    bench.let_go()
                bench.deploy()
            case "linger":
                bench.store.lingers = value
            case "crash":
                bench.crash()
                bench.deploy()
            case "unfed":
                bench.deploy(fed=False)
            case "fail over":
                bench.fail_over(value)
            case "hot fails over" if self.past:
                bench.hot.open(HOT_SPACE).state = self.past[max(0, len(self.past) - value)]
            case "hot is lost":
                bench.lose()
            case "decide":
                self._decide(value)
            case "ask":
                self._ask(value)

    def _ask(self, stream: str) -> None:
        """Whoever has seen all that there is, is told what the history tells."""
        bench, when = self.bench, When(wanted={("account", 0): self.bench.store.state.mark.position})
        hot, cold = (_said(bench, bench.rows(hot).row("streams", stream, when)) for hot in (True, False))
        assert hot == cold
        least = self.bench.store.state.mark.position
        hot, cold = (_said(bench, bench.history.state(stream, least=one)) for one in (least, None))
        assert hot == cold

    def _decide(self, what: int) -> None:
        decided = self.decisions.of("memos")
        if what == 0:
            self.generation += 1
            self.decisions.take("system/memos", BuildBegun(1, self.generation))
        elif what == 1 and self.generation:
            self.decisions.take("system/memos", BuildAnswered(1, self.generation))
        elif what == 2 and decided.answers([1]) == (1, self.generation) and self.generation:
            self.decisions.take("system/memos", BuildDropped(1, self.generation - 1))


def _said(bench: HotBench, question: Coroutine[Any, Any, Any]) -> Any:
    """The answer, or what was wrong with the question."""
    try:
        return bench.asked(question)
    except LighthouseError as error:
        return type(error), str(error)


@PATIENT
@given(drafts=DRAFTS, steps=STEPS)
def test_hot_rows_are_those_of_the_history(drafts: list[Draft], steps: list[tuple[str, Any]]) -> None:
    decisions = Decisions()
    projecting = Projecting([BALANCES, MEMOS, COLD, STREAMS], decisions, Cache(5, 1000))
    with small():
        run = Run(HotBench(projecting), records(drafts), decisions)
        try:
            for name, value in steps:
                run.step(name, value)
            run.step("weather", "well")
            run.step("hand over", True)
            for step in [("take", 4)] * len(run.log):
                run.step(*step)
            run.bench.built()
            run.bench.settled()
            run.bench.check()
            run.bench.complete()
        finally:
            run.bench.close()


@pytest.fixture
def bench() -> Iterator[HotBench]:
    """Twenty streams' worth of rows in the history and in the hot space, under small bounds."""
    with small():
        bench = HotBench(Projecting([BALANCES, MEMOS], Decisions(), Cache(100, 100_000)))
        bench.built()
        for start in range(0, 20, 5):
            bench.take(LOG[start : start + 5])
            bench.settled(2.0)
        bench.complete()
        yield bench
        bench.close()


LOG = records(numbered(Draft(stream, [deposit(1, "xyz"[number % 3])]) for number, stream in enumerate(ACCOUNTS * 20)))


def take(bench: HotBench, records: int) -> None:
    """The next records, in a batch each."""
    for _ in range(records):
        bench.take(LOG[bench.owner.rewind() : bench.owner.mark.position + 1])


def watched(bench: HotBench, seconds: float) -> list[bool]:
    """Whether the hot space was following, at each moment of some seconds; it is checked each time."""
    seen = []
    for _ in range(int(seconds / 0.1)):
        bench.beat(0.1)
        bench.check()
        seen.append((hot := bench.hot_row()) is not None and hot.following)
    return seen


def wipes(bench: HotBench) -> int:
    """How often the hot space was begun anew."""
    return bench.weather.wipes


def test_what_was_missed_is_read_again_in_slices_that_nobody_reads_between(bench: HotBench) -> None:
    bench.weather.now = "away"
    take(bench, 8)
    bench.weather.now = "slow"
    seen = watched(bench, 20.0)
    assert False in seen, "rows of several positions were there for a while"
    assert seen[-1]
    assert wipes(bench) == 1, "nothing was copied afresh but the first time"
    bench.complete()


def test_batches_go_on_while_what_was_missed_is_read(bench: HotBench) -> None:
    bench.weather.now = "away"
    take(bench, 6)
    bench.weather.now = "slow"
    for _ in range(10):
        watched(bench, 0.5)
        take(bench, 1)
        bench.check()
    bench.settled()
    assert wipes(bench) == 1
    bench.complete()


def test_the_history_is_what_it_would_be_without_a_hot_store(bench: HotBench) -> None:
    take(bench, 7)
    plain = Bench(projecting=Projecting([BALANCES, MEMOS], Decisions(), Cache(100, 100_000))).built()
    for start in [*range(0, 20, 5), *range(20, 27)]:
        plain.take(LOG[start : start + (5 if start < 20 else 1)])
    rows = bench.store.state.rows.items()
    found = {key: raw for key, raw in rows if key not in keys.PASSING and not key.startswith(keys.CHANGES)}
    assert _timeless(found) == _timeless(plain.rows())


def _timeless(rows: dict[bytes, bytes]) -> dict[bytes, object]:
    """The rows; of the progress of builds only what no clock has written."""
    return {
        key: msgspec.structs.replace(Progress.unpack(raw), began=0, until=0) if key[:1] == keys.PROGRESS else raw
        for key, raw in rows.items()
    }


def test_batches_go_on_while_the_history_is_looked_at(bench: HotBench) -> None:
    """A view is told of later than it began; what was committed meanwhile does not make it one of another owner."""
    bench.lose()
    bench.store.lingers = True
    for _ in range(30):
        take(bench, 1)
        watched(bench, 0.1)
    bench.settled()
    bench.complete()


def test_an_outage_that_lasts_is_bounded_in_the_history_and_ends_in_a_fresh_copy(bench: HotBench) -> None:
    bench.weather.now = "hanging"
    take(bench, 30)
    kept = [key for key in bench.store.state.rows if key.startswith(keys.CHANGES)]
    assert len(kept) <= SMALL[streams.hot_feed]["MOST_COMMITS"]
    bench.settled()
    assert wipes(bench) == 2
    bench.complete()
    take(bench, 9)
    bench.settled(2.0)
    take(bench, 1)
    kept = [key for key in bench.store.state.rows if key.startswith(keys.CHANGES)]
    assert len(kept) <= SMALL[streams.hot_feed]["SPARE"] + 2, "what the hot space has is not kept"


def test_a_copy_goes_on_where_it_stood_when_the_partition_moves(bench: HotBench) -> None:
    bench.lose()
    bench.weather.now = "slow"
    bench.deploy()
    while (hot := bench.hot_row()) is None or not hot.cursor:
        bench.beat(0.1)
    before = bench.hot_row()
    bench.let_go()
    bench.beat(1.0)
    bench.deploy()
    take(bench, 2)
    watched(bench, 3.0)
    assert before is not None
    assert wipes(bench) == 2
    bench.settled()
    bench.complete()


def test_a_build_that_is_not_live_any_more_leaves_the_hot_space(bench: HotBench) -> None:
    memos = keys.rows(keys.projection("memos", keys.build(1, 0)))
    assert any(key.startswith(memos) for key in bench.hot_rows())
    bench.projecting = Projecting([BALANCES], bench.projecting.decisions, Cache(100, 100_000))
    bench.deploy()
    take(bench, 1)
    bench.settled()
    assert not [key for key in bench.hot_rows() if key.startswith(memos)]
    bench.complete()
    bench.projecting = Projecting([BALANCES, MEMOS], bench.projecting.decisions, Cache(100, 100_000))
    bench.deploy()
    bench.built()
    bench.settled()
    assert any(key.startswith(memos) for key in bench.hot_rows())
    bench.complete()


def test_a_dropped_build_leaves_while_its_owner_goes_on(bench: HotBench) -> None:
    decisions = bench.projecting.decisions
    decisions.take("system/memos", BuildBegun(1, 1))
    bench.built()
    decisions.take("system/memos", BuildAnswered(1, 1))
    decisions.take("system/memos", BuildDropped(1, 0))
    bench.built()
    watched(bench, 2.0)
    assert wipes(bench) == 1
    bench.complete()


def test_a_large_commit_is_read_again_in_slices(bench: HotBench) -> None:
    many = LOG[bench.owner.rewind() : 40]
    bench.weather.now = "slow"
    bench.take(many)
    assert False in watched(bench, 20.0)
    bench.settled()
    assert wipes(bench) == 1
    bench.complete()
