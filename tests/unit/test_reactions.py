"""What is decided of reactors: begun once, lost and placed, parked, tried again and skipped; and what clashes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bridge.application import Application, catalog
from bridge.decider import Given, given
from bridge.decisions import Decisions, System, decider
from bridge.errors import LighthouseError, SchemaError
from bridge.events import RecordedEvent
from bridge.reactions import (
    BeginReactor,
    LoseReactor,
    ParkedAt,
    ParkReactor,
    PlaceReactor,
    ReactorBegun,
    ReactorLost,
    ReactorParked,
    ReactorPlaced,
    ReactorRetried,
    ReactorSkipped,
    RetryReactor,
    SkipReactor,
    Standing,
)
from bridge.reactor import Reaction, Reactor
from bridge.timings import BeginTimer, EndTimer, TimerBegun, TimerEnded

AT = ParkedAt("e:0", "order/a", 3, 17, 0, "ValueError: no", "line 1")
PARKED = ReactorParked("order", 1, "e:0", "order/a", 3, 17, 0, "ValueError: no", "line 1", False)
BEGUN = ReactorBegun("order", 1, 5)


def past(*events: Any) -> Given[Any, System, Any]:
    return given(decider, *events)


def test_what_is_said_is_recorded() -> None:
    lost, placed = ReactorLost("order", 1, "gone"), ReactorPlaced("order", 1, 7)
    past().when(BeginReactor("order", 1, 5)).then(BEGUN)
    past(BEGUN).when(LoseReactor("order", 1, "gone")).then(lost)
    past(BEGUN, lost).when(LoseReactor("order", 1, "gone")).then()
    past(BEGUN, lost).when(PlaceReactor("order", 1, 7)).then(placed)
    past(BEGUN).when(ParkReactor("order", 1, AT)).then(PARKED)
    past(BEGUN, PARKED).when(RetryReactor()).then(ReactorRetried())
    past(BEGUN, PARKED).when(SkipReactor("order", 1, "e:0")).then(ReactorSkipped("order", 1, "e:0"))


def standing(*events: Any) -> Standing:
    decisions = Decisions()
    for event in events:
        decisions.take("system/reactor~mail", event)
    assert decisions.of("reactor~mail") == decisions.of("nobody")
    return decisions.of_reactor("mail").of("order", 1)


def test_a_place_is_used_once_and_only_where_one_is_missing() -> None:
    lost, placed = ReactorLost("order", 1, "gone"), ReactorPlaced("order", 1, 7)
    assert standing(BEGUN, placed) == Standing(begun=True)
    assert standing(BEGUN, lost, placed) == Standing(begun=True, placed=7)
    assert standing(BEGUN, lost, placed, BEGUN) == Standing(begun=True)
    assert standing(BEGUN, lost, placed, lost) == Standing(begun=True, lost="gone")


def test_a_parked_reactor_goes_on_by_retry_or_skip_of_its_event() -> None:
    assert standing(BEGUN, PARKED).parked == AT
    assert standing(BEGUN, PARKED, ReactorRetried()).parked is None
    assert standing(BEGUN, PARKED, ReactorSkipped("order", 1, "e:1")).parked == AT
    assert standing(BEGUN, PARKED, ReactorSkipped("order", 2, "e:0")).parked == AT
    assert standing(BEGUN, PARKED, ReactorSkipped("order", 1, "e:0")) == Standing(begun=True, parks=1)
    assert standing(BEGUN, PARKED, ReactorRetried(), PARKED).parks == 2


def test_what_was_decided_says_where_it_stands() -> None:
    decisions = Decisions()
    decisions.take("system/reactor~mail", PARKED)
    assert decisions.of_reactor("mail").of("order", 1).parked == AT
    decisions.take("system/reactor~mail", ReactorSkipped("order", 1, "e:0"))
    found = decisions.of_reactor("mail")
    assert (found.of("order", 1).parked, found.of("order", 1).parks, found.skips) == (None, 1, frozenset(["e:0"]))


def test_a_timer_begins_once_and_remembers_what_it_ended() -> None:
    ended = TimerEnded("order/a", "x", "e:0", "O1", "no")
    past().when(BeginTimer()).then(TimerBegun())
    past(TimerBegun()).when(BeginTimer()).then()
    past(TimerBegun()).when(EndTimer("order/a", "x", "e:0", "O1", "no")).then(ended)
    decisions = Decisions()
    for time, event in ((5, TimerBegun()), (7, TimerBegun()), (9, ended)):
        decisions.take("system/timer~unpaid", event, time)
    timed = decisions.of_timer("unpaid")
    assert timed.begun == 5
    assert timed.ended("e:0", "x")
    assert not timed.ended("e:0", "y")
    assert not timed.ended("e:1", "x")
    assert decisions.of_timer("other").begun is None


async def react(event: RecordedEvent, reaction: Reaction) -> None:
    """Nothing."""


def folder(root: Path, *categories: str) -> Path:
    for category in categories:
        (root / category).mkdir(parents=True)
        (root / category / "A.avsc").write_text("{}")
    return root


@pytest.mark.parametrize(
    ("reactors", "said"),
    [
        ((Reactor("mail", react), Reactor("mail", react)), "registered twice"),
        ((Reactor("publisher", react),), "the platform's own name"),
        ((Reactor("mail", react, ("nobody",)),), "reads category nobody"),
    ],
)
def test_reactors_that_cannot_be_registered(reactors: tuple[Reactor, ...], said: str, tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=said):
        catalog([Application("shop", folder(tmp_path, "order"), reactors=reactors)])


@pytest.mark.parametrize(("name", "attempts"), [("Mail", 1), ("a~b", 1), ("mail", 0)])
def test_reactors_that_cannot_be(name: str, attempts: int) -> None:
    with pytest.raises(LighthouseError):
        Reactor(name, react, attempts=attempts)


@pytest.mark.parametrize("categories", [("a", "a.events"), ("a", "a_events"), ("a.b", "a_b"), ("a", "a.repartition")])
def test_no_two_topics_have_one_name(categories: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="would have one topic"):
        catalog([Application("shop", folder(tmp_path, *categories))])
