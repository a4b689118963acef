from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.feed.pace import Pace

SECOND = 1_000_000


@dataclass
class Watch:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def watch() -> Watch:
    return Watch()


def test_at_speed_zero_everything_is_due(watch: Watch) -> None:
    pace = Pace(watch, 0)
    assert [pace.wait(time) for time in (0, 10**15, 10**16)] == [0.0] * 3


@pytest.mark.parametrize(("speed", "waits"), [(1, 4.0), (10, 0.4), (0.5, 8.0), (100, 0.04)])
def test_gaps_are_divided_by_the_speed(watch: Watch, speed: float, waits: float) -> None:
    pace = Pace(watch, speed)
    assert pace.wait(7 * SECOND) == 0.0
    assert pace.wait(11 * SECOND) == pytest.approx(waits)
    watch.now += waits / 4
    assert pace.wait(11 * SECOND) == pytest.approx(waits * 3 / 4)
    watch.now += waits
    assert pace.wait(11 * SECOND) == 0.0


def test_a_long_gap_is_leapt_over(watch: Watch) -> None:
    pace = Pace(watch, 1, longest=5.0)
    pace.wait(0)
    night = 8 * 3600 * SECOND
    assert pace.wait(night) == pytest.approx(5.0)
    watch.now += 5.0
    assert pace.wait(night) == pytest.approx(0.0)
    assert pace.wait(night + SECOND) == pytest.approx(1.0)


def test_who_was_held_back_catches_up_and_is_in_step_again(watch: Watch) -> None:
    pace = Pace(watch, 1)
    pace.wait(0)
    watch.now += 10
    assert [pace.wait(second * SECOND) for second in (1, 5, 10)] == [0.0] * 3
    assert pace.wait(12 * SECOND) == pytest.approx(2.0)


def test_the_past_stands_still_while_paused(watch: Watch) -> None:
    pace = Pace(watch, 1)
    pace.wait(0)
    watch.now += 1
    pace.paused = True
    assert pace.wait(4 * SECOND) == math.inf
    watch.now += 100
    pace.paused = False
    assert pace.wait(4 * SECOND) == pytest.approx(3.0)


def test_another_speed_counts_from_where_the_past_has_come(watch: Watch) -> None:
    pace = Pace(watch, 1)
    pace.wait(0)
    watch.now += 2
    pace.speed = 4
    assert pace.wait(10 * SECOND) == pytest.approx(2.0)
    pace.speed = 0
    assert pace.wait(10 * SECOND) == 0.0
    pace.speed = 1
    assert pace.wait(13 * SECOND) == pytest.approx(3.0)


@given(
    gaps=st.lists(st.integers(0, 50 * SECOND), max_size=30),
    speed=st.floats(0.1, 100),
    longest=st.floats(0.5, 60),
)
def test_a_replay_takes_the_sum_of_its_gaps_each_no_longer_than_the_longest(
    gaps: list[int], speed: float, longest: float
) -> None:
    watch, effective = Watch(), 0
    pace = Pace(watch, speed, longest)
    pace.wait(effective)
    began = watch.now
    for gap in gaps:
        effective += gap
        while (left := pace.wait(effective)) > 0:
            watch.now += max(left, 1e-6)
    expected = sum(min(gap / 1e6 / speed, longest) for gap in gaps)
    assert watch.now - began == pytest.approx(expected, rel=1e-3, abs=1e-3)
