"""Which build answers: a person may say any, a switch only goes forward, whatever it knew when it said so."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.decider import Given, given
from bridge.decisions import Advance, Answer, BuildAnswered, BuildBegun, BuildDropped, System, decider


def past(*events: Any) -> Given[Any, System, Any]:
    return given(decider, *events)


def test_a_switch_lets_the_first_build_and_each_newer_one_answer() -> None:
    past().when(Advance(1)).then(BuildAnswered(1, 0))
    past(BuildAnswered(1, 0), BuildBegun(1, 1)).when(Advance(1, 1)).then(BuildAnswered(1, 1))
    past(BuildAnswered(1, 1)).when(Advance(2)).then(BuildAnswered(2, 0))


@pytest.mark.parametrize("older", [Advance(1, 1), Advance(1), Advance(2)])
def test_a_switch_never_goes_back(older: Advance) -> None:
    """It may be that of a process which stood still, or knows no newer version."""
    past(BuildAnswered(2, 0)).when(older).then()


def test_a_switch_lets_no_dropped_build_answer() -> None:
    past(BuildAnswered(1, 0), BuildDropped(1, 1)).when(Advance(1, 1)).then()


def test_a_person_may_go_back() -> None:
    past(BuildAnswered(1, 0), BuildAnswered(2, 0)).when(Answer(1)).then(BuildAnswered(1, 0))
