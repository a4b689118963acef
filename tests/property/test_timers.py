"""What is pending: the fold against a naive one, in every batching, and what it takes for a timer to be due."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.application import Application, catalog
from bridge.cache import Cache
from bridge.decisions import Decisions
from bridge.errors import LighthouseError, SchemaError, Unavailable
from bridge.events import Envelope, RecordedEvent
from bridge.handle import Handler
from bridge.projection import projected
from bridge.store.contract import View
from bridge.timer import ACTOR, TIMER, Cancel, Pending, Schedule, Timer, due_from, pending_of, unpack_due
from bridge.timings import TimerBegun, TimerEnded
from streams.builds import Projecting
from streams.firing import GRACE, PAGE, Around, Clockwork, Due, Firing, NotPending, Watched
from tests.alarms.alarms import Ring, application, bell
from tests.model.account import Look
from tests.model.bench import Bench, Draft, deposit, numbered, records
from tests.model.world import now
from tests.property.test_projections import events_of, on_view
from tests.simlog import MILLISECOND

STREAMS = ("alarm/a", "alarm/b")
NAMES = ("", "x", "y")
SET, DROP, FIRE, FOREIGN = "set", "drop", "fire", "foreign"

STEPS = st.lists(
    st.tuples(
        st.sampled_from([SET, SET, DROP, FIRE, FOREIGN]),
        st.sampled_from(STREAMS),
        st.sampled_from(NAMES),
        st.integers(-5, 100),
    ),
    max_size=30,
)


def event(number: int, stream: str, type_: str, data: dict[str, object], envelope: Envelope) -> RecordedEvent:
    append = number.to_bytes(16, "big")
    return RecordedEvent(stream, number, type_, data, envelope, append, 0, 0, number, number, number, 1)


@settings(deadline=None)
@given(STEPS)
def test_what_is_pending_is_the_last_that_was_set_and_is_not_done(steps: list[tuple[str, str, str, int]]) -> None:
    """A fired timer's event ends what its cause has set, and nothing that was set since."""
    naive: dict[tuple[str, str], tuple[int, str]] = {}
    last: dict[tuple[str, str], str] = {}
    events = []
    for number, (what, stream, name, at) in enumerate(steps):
        key, mine = (stream, name), Envelope("ann", 1)
        if what == SET:
            events.append(event(number, stream, "AlarmSet", {"name": name, "at": at, "how": "rings"}, mine))
            naive[key] = max(at, number), events[-1].id
            last[key] = events[-1].id
        elif what == DROP:
            events.append(event(number, stream, "AlarmDropped", {"name": name}, mine))
            naive.pop(key, None)
        else:
            cause, tag = last.get(key, "nobody:0"), bell.tag(name) if what == FIRE else f"other#{name}"
            fired = Envelope(ACTOR, 1, "", cause, {TIMER: tag})
            events.append(event(number, stream, "AlarmRang", {"name": name}, fired))
            if what == FIRE and naive.get(key, (0, ""))[1] == cause:
                del naive[key]
    rows = projected(pending_of(bell), events)
    found = {unpack_due(key)[1:]: (row.at, row.event) for key, row in rows.items() if key.startswith("due/")}
    assert found == naive
    assert len(rows) == 2 * len(naive)
    assert all(unpack_due(key)[0] == row.at for key, row in rows.items() if key.startswith("due/"))


def test_rows_sort_by_time_and_hold_the_command() -> None:
    first = event(1, "alarm/a", "AlarmSet", {"name": "x", "at": 300, "how": "rings"}, Envelope("ann", 1, "case"))
    second = event(2, "alarm/a", "AlarmSet", {"name": "y", "at": 20, "how": "rings"}, Envelope("ann", 1))
    rows = projected(pending_of(bell), [first, second])
    due = sorted(key for key in rows if key.startswith("due/"))
    assert [unpack_due(key) for key in due] == [(20, "alarm/a", "y"), (300, "alarm/a", "x")]
    assert rows[due[1]] == Pending(300, first.id, "Ring", {"name": "x", "how": "rings"}, "case")
    assert due[0] < due_from(21) < due[1] < due_from(301)
    assert bell.key(first.id, "x") == f"timer:{first.id}:bell#x"


def test_a_clock_that_jumps_only_guesses() -> None:
    """Effective time of 100 s is seen; 5 s pass by the clock that never jumps."""
    passed = [50.0]
    clockwork = Clockwork(lambda: passed[0])
    assert clockwork.now(100_000_000, 100.0) == 100_000_000
    passed[0] += 5
    assert clockwork.now(100_000_000, 3.0) == 105_000_000, "a wall clock that went back does not stop it"
    assert clockwork.now(100_000_000, 500.0) == 500_000_000, "one that went ahead makes it write a tick for nothing"
    assert clockwork.now(103_000_000, 3.0) == 103_000_000, "what the log says now is where it goes on"


def due_later(event: RecordedEvent) -> Schedule | Cancel | None:
    """The memo names it; so many milliseconds later, or never again."""
    name, amount = event.data["memo"], event.data["amount"]
    return Schedule(event.effective + amount * MILLISECOND, Look(), name) if amount % 5 else Cancel(name)


WAITING = Timer("waiting", 1, "account", due_later)
DEPOSITS = st.lists(st.tuples(st.integers(1, 60), st.sampled_from(["x", "y"])), min_size=1, max_size=20)


def firing_of(bench: Bench, decisions: Decisions) -> Firing:
    """What looks at the bench's partition; it fires nothing, for it has no handler."""

    async def known() -> Decisions:
        return decisions

    return Firing(Around([WAITING], cast(Handler, None), bench.stores.open, lambda _: None, known, known), lambda: {})


@settings(deadline=None)
@given(deposits=DEPOSITS, begun=st.none() | st.integers(-50, 100), kills=st.booleans(), data=st.data())
def test_due_is_what_effective_time_has_come_to(
    deposits: list[tuple[int, str]], begun: int | None, kills: bool, data: st.DataObject
) -> None:
    """From the time on at which the timer was known, without what was ended; in every batching, and after kills."""
    decisions = Decisions()
    log = records(numbered(Draft(events=[deposit(amount, memo)]) for amount, memo in deposits))
    bench = Bench(projecting=Projecting([pending_of(WAITING)], decisions, Cache(5, 1000)))
    watched = Watched(bench.owner)
    known = log[0].time + (begun or 0) * MILLISECOND
    if begun is not None:
        decisions.take("system/timer~waiting", TimerBegun(), known + GRACE)
    firing = firing_of(bench, decisions)
    while (start := bench.owner.mark.position) < len(log):
        bench.take(log[bench.owner.rewind() : start + data.draw(st.integers(1, 5))])
        if kills:
            bench.deploy()
    assert now(firing.what_is_due(watched)) == [] or not bench.owner.building
    bench.built()
    rows = projected(pending_of(WAITING), events_of(bench))
    pending = {key: row for key, row in rows.items() if key.startswith("due/")}
    reached = {key: row for key, row in pending.items() if row.at <= log[-1].time}
    wanted = [row for _, row in sorted(reached.items()) if begun is not None and row.at >= known]
    found = now(firing.what_is_due(watched))
    assert [due.pending for due in found] == wanted
    later = [row.at for row in pending.values() if row.at > log[-1].time]
    assert watched.next == (min(later, default=None) if begun is not None else None)
    for due in found:
        assert on_view(bench, partial(pending_still, due))
        decisions.take("system/timer~waiting", TimerEnded(due.stream, due.name, due.pending.event, "r", "e"))
        assert on_view(bench, partial(pending_still, replace(due, pending=Pending(1, "another:0")))) is False
    assert now(firing.what_is_due(watched)) == []


async def pending_still(due: Due, view: View) -> bool:
    """Whether the view still has it."""
    try:
        await due.check(view)
    except NotPending:
        return False
    return True


def test_what_is_passed_over_hides_nothing_behind_it() -> None:
    """More schedules that were ended than a page has."""
    decisions = Decisions()
    decisions.take("system/timer~waiting", TimerBegun(), 1)
    bench = Bench(projecting=Projecting([pending_of(WAITING)], decisions, Cache(5, 1000)))
    names = [f"n{number}" for number in range(2 * PAGE + 10)]
    log = records(numbered(Draft(events=[deposit(1, name)]) for name in names))
    bench.take(log)
    bench.take(records(numbered([Draft()] * (len(log) + 1)))[len(log) :])
    firing, watched = firing_of(bench, decisions), Watched(bench.owner)
    bench.built()
    first = now(firing.what_is_due(watched))
    assert len(first) == PAGE
    for due in first:
        decisions.take("system/timer~waiting", TimerEnded(due.stream, due.name, due.pending.event, "r", "e"))
    assert len(now(firing.what_is_due(watched))) == PAGE
    assert {due.tag for due in first} & {due.tag for due in now(firing.what_is_due(watched))} == set()


async def test_a_look_that_failed_is_made_again_though_nothing_was_written_since() -> None:
    decisions, away = Decisions(), [Unavailable("the system's partition has no owner")]
    decisions.take("system/timer~waiting", TimerBegun(), 1)
    bench = Bench(projecting=Projecting([pending_of(WAITING)], decisions, Cache(5, 1000)))
    bench.take(records(numbered([Draft(events=[deposit(59, "x")])])))
    bench.built()

    async def known() -> Decisions:
        if away:
            raise away.pop()
        return decisions

    async def begun() -> Decisions:
        return decisions

    around = Around([WAITING], cast(Handler, None), bench.stores.open, lambda _: None, known, begun, now=lambda: 0.0)
    firing, watched = Firing(around, dict), Watched(bench.owner)
    with pytest.raises(Unavailable):
        await firing.go(watched)
    await firing.go(watched)
    assert watched.next is not None


def test_what_cannot_be_registered(tmp_path: Path) -> None:
    (tmp_path / "note").mkdir()
    (tmp_path / "note" / "A.avsc").write_text("{}")
    with pytest.raises(SchemaError, match="registered twice"):
        catalog([replace(application, timers=(bell, bell))])
    with pytest.raises(SchemaError, match="has no decider"):
        catalog([Application("notes", tmp_path, timers=(Timer("t", 1, "note", lambda _: None),))])
    with pytest.raises(LighthouseError, match=re.escape("cannot name a timer")):
        Timer("Bell", 1, "alarm", lambda _: None)
    for name in ("a b", "a#b", "a/b", "x" * 64):
        with pytest.raises(LighthouseError):
            Cancel(name)
        with pytest.raises(LighthouseError):
            Schedule(1, Ring("a", "rings"), name)
