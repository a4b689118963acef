"""What a run of the faults comes to: its verdict, its bounds, the exit code and the page."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from bridge.errors import LocalError
from bridge.events import Appended, Position
from tests.campaign.bounds import Course, appends, hot_reads, restarts
from tests.campaign.pages import page
from tests.campaign.remote import Read
from tests.campaign.report import Bound, Pause, Report, Verdict, exit_code
from tests.campaign.run import attempt
from tests.faults.journal import Attempt, Outcome, Request

GOOD = Report("a", "a thing", "abc1234", bounds=[Bound("a pause", 2.0, 1.0)])
MISSED = Report("b", "b thing", "abc1234", bounds=[Bound("a pause", 2.0, 2.1), Bound("a wait", 2.0, 1.0)])
VIOLATED = Report("c", "c thing", "def5678", dirty=True, violations=["I1: lost"])
NOT_RUN = Report("d", "d thing", not_run="no root")


def test_the_verdict_is_the_worst() -> None:
    found = [report.verdict for report in (GOOD, MISSED, VIOLATED, NOT_RUN)]
    assert found == [Verdict.GOOD, Verdict.MISSED, Verdict.VIOLATED, Verdict.NOT_RUN]
    assert Report("e", "", bounds=MISSED.bounds, violations=["x"]).verdict is Verdict.VIOLATED


def test_only_what_was_run_and_is_good_ends_with_nought() -> None:
    assert exit_code([GOOD]) == 0
    assert exit_code([GOOD, MISSED]) == exit_code([VIOLATED, NOT_RUN]) == exit_code([MISSED, NOT_RUN]) == 1
    assert exit_code([GOOD, NOT_RUN]) == 3


def test_a_report_is_kept_as_json() -> None:
    report = Report("a", "b", "abc", pauses=[Pause(3, 1.0, 2.0)], bounds=MISSED.bounds, violations=["x"])
    assert msgspec.json.decode(json.dumps(report.plain()), type=Report) == report


@asynccontextmanager
async def made(entering: Exception | None = None, leaving: Exception | None = None) -> AsyncIterator[str]:
    """A system that fails where it is told to."""
    if entering:
        raise entering
    yield "made"
    if leaving:
        raise leaving


async def fine(_: str) -> None:
    pass


def nothing(_: str) -> str:
    return ""


@pytest.mark.parametrize("error", [OSError("no mount"), LocalError("no Java")])
async def test_what_this_machine_cannot_have_is_not_run(error: Exception) -> None:
    report = Report("a", "b")
    await attempt(report, made(entering=error), nothing, fine)
    assert (report.not_run, report.verdict) == (str(error), Verdict.NOT_RUN)


async def test_a_fault_that_needs_more_than_there_is_is_not_run() -> None:
    report = Report("a", "b")
    await attempt(report, made(), lambda _: "no network", fine)
    assert (report.not_run, report.violations) == ("no network", [])


@pytest.mark.parametrize(
    "error",
    [LocalError("kafka-1 died"), ProcessLookupError(3), TimeoutError(), AssertionError("an append"), KeyError()],
)
async def test_whatever_fails_afterwards_is_a_violation(error: Exception) -> None:
    async def breaks(_: str) -> None:
        raise error

    report, left = Report("a", "b"), Report("a", "b")
    await attempt(report, made(), nothing, breaks)
    await attempt(left, made(leaving=error), nothing, fine)
    for one in (report, left):
        assert one.verdict is Verdict.VIOLATED
        assert repr(error) in one.violations[0]
        assert exit_code([one]) == 1


async def test_a_system_that_cannot_come_up_whole_is_a_violation() -> None:
    report = Report("a", "b")
    await attempt(report, made(entering=AssertionError("not whole")), nothing, fine)
    assert report.verdict is Verdict.VIOLATED


def course(*ended: float, reads: tuple[Read, ...] = (), faults: tuple[tuple[float, str], ...] = ()) -> Course:
    """Acknowledgements in one partition at these times, between 10 s and 30 s."""
    told = Appended("project/a", 0, 0, Position("t", 0, 0), b"id")
    request = Request("project/a", None, "key", [])
    attempts = [Attempt("key", request, at - 1, at, Outcome.ACKNOWLEDGED, told) for at in ended]
    return Course(attempts, reads, (), faults, 10.0, 30.0)


def test_the_longest_pause_is_measured_against_its_bound() -> None:
    (bound,) = appends(8.0)(course(15, 22, 29))
    assert (bound.limit, bound.measured, bound.met) == (8.0, 7.0, True)
    assert not appends(6.9)(course(15, 22, 29))[0].met


def test_the_wait_for_hot_rows_is_that_of_hot_reads() -> None:
    reads = (Read("project/a", 1, 0, 1, 0, 12.0, 12.5, hot=True), Read("project/a", 1, 0, 1, 0, 12.0, 19.0))
    assert hot_reads(1.0)(course(reads=reads))[0].measured == 0.5
    assert not hot_reads(1.0)(course())[0].met


def test_each_restart_has_a_bound_of_its_own() -> None:
    rule = restarts("killed", "back", 3.0)
    faults = ((12.0, "killed"), (13.5, "back"), (13.6, "other"), (20.0, "killed"), (22.0, "back"))
    first, second = rule(course(11.9, 16.0, 19.9, 26.5, 29.9, faults=faults))
    assert (first.limit, first.measured, first.met) == (4.5, 4.0, True)
    assert (second.limit, second.measured, second.met) == (5.0, 6.5, False)
    with pytest.raises(ValueError, match="zip"):
        rule(course(11.9, faults=faults[:4]))


def test_the_page_says_what_ran_and_what_came_of_it() -> None:
    text = page([GOOD, MISSED, VIOLATED, NOT_RUN])
    rows = {line.split(" | ")[0].removeprefix("| "): line for line in text.splitlines() if line.startswith("| ")}
    assert "abc1234" in rows["a thing"]
    assert "| met: 2.0 s | 0 |" in rows["a thing"]
    assert "1 of 2 missed" in rows["b thing"]
    assert "def5678 and changes" in rows["c thing"]
    assert "not run here: no root" in rows["d thing"]
    assert "- **missed: a pause: 2.1 s, and not 2.0 s**" in text
    assert "**I1: lost**" in text
