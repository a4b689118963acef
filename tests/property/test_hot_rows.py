"""Hot rows at a position are the history's rows at that position, byte for byte, whatever goes wrong between."""

from __future__ import annotations

from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

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
from streams.builds import Projecting
from tests.model.bench import Draft, records
from tests.model.hotbench import HOT_SPACE, HotBench
from tests.property.test_projections import DRAFTS, Balance, project_balance, project_many_memos, project_memos
from tests.property.test_projections import STREAMS as ACCOUNTS

PATIENT = settings(deadline=None)
BALANCES = Projection("balances", 1, project_balance, Balance, versioned=True, hot=True)
MEMOS = Projection("memos", 1, project_memos, int, merge=max, project_many=project_many_memos, hot=True)
COLD = Projection("cold", 1, project_memos, int, merge=max)

SMALL = {
    streams.hot: {"LARGEST": 9, "MOST_KEYS": 40, "MOST_MISSED": 60},
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
            case "unfed":
                bench.deploy(fed=False)
            case "fail over":
                bench.fail_over(value)
            case "hot fails over" if self.past:
                bench.hot.open(HOT_SPACE).state = self.past[max(0, len(self.past) - value)]
            case "hot is lost":
                bench.hot._stores.pop(HOT_SPACE, None)
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
