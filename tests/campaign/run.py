"""One run: the system, its load, a fault, and what a sceptic may ask afterwards; answered as a report."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest

from bridge.errors import LocalError
from tests.campaign.bounds import Course
from tests.campaign.faults import CALM, Scenario
from tests.campaign.reads import Prefixes, gaps, misplaced, out_of_order, pauses, unexplained, untold
from tests.campaign.remote import reading
from tests.campaign.report import Report
from tests.campaign.system import System, system
from tests.checker import Checker
from tests.faults.journal import Outcome
from tests.faults.writers import ANY, GUARDED, STREAMS, writing

READERS = 32 - GUARDED - ANY
PAUSE = 0.04
"""Seconds between two calls of a client: two cores carry three brokers, two databases and five processes, too."""

AGAIN = 120.0
"""Seconds in which every writer must go on after the fault, and everything final be answered again."""

T = TypeVar("T")


class NotRun(Exception):
    """A fault that cannot be made here; the text says why."""


async def run(report: Report, scenario: Scenario, home: Path) -> None:
    """Runs a scenario in an empty directory, and writes into the report what came of it."""
    began = time.monotonic()
    await attempt(
        report, system(home, scenario.small_disk), partial(_lacks, scenario), partial(_play, scenario, report)
    )
    report.seconds = round(time.monotonic() - began, 1)


async def attempt(
    report: Report,
    made: AbstractAsyncContextManager[T],
    lacks: Callable[[T], str],
    play: Callable[[T], Awaitable[None]],
) -> None:
    """Plays on what is made. Only where it cannot be made, or lacks something, was nothing run.

    Whatever else fails, from then on to the end, is a violation: a system that breaks off keeps no promise.
    """
    try:
        async with AsyncExitStack() as stack:
            built = await _entered(stack, made)
            if why := lacks(built):
                raise NotRun(why)
            await play(built)
    except NotRun as error:
        report.not_run = str(error)
    except Exception as error:  # whatever it is, it must be told
        report.violations.append(f"the run broke off: {error!r}")


async def _entered(stack: AsyncExitStack, made: AbstractAsyncContextManager[T]) -> T:
    try:
        return await stack.enter_async_context(made)
    except (OSError, LocalError, pytest.skip.Exception) as error:
        raise NotRun(str(error)) from error


def _lacks(scenario: Scenario, built: System) -> str:
    lacking = scenario.network and built.brokers.network is None
    return "a network namespace a broker needs Linux, root and iproute2" if lacking else ""


async def _play(scenario: Scenario, report: Report, built: System) -> None:
    checker, journal = Checker(built.platform, built.journal), built.journal
    async with (
        reading(built.remote, STREAMS, READERS, PAUSE),
        writing(built.remote, journal, PAUSE) as writers,
    ):
        await writers.progress(10, AGAIN)
        since = time.monotonic()
        try:
            await scenario.fault(built)
        finally:
            report.faults = [f"{at - since:.1f} s: {what}" for at, what in journal.faults]
        await asyncio.sleep(CALM)
        until = time.monotonic()
        await _holds(writers.progress(5, AGAIN), report, "not every writer went on after the fault")
        await writers.finish()
    await _holds(built.remote.recall_all(AGAIN), report, "not everything that was final is answered again")
    _measure(built, scenario, report, (since, until))
    report.violations += await violations(built, checker)
    report.operations = _operations(built)


async def _holds(promise: Awaitable[None], report: Report, otherwise: str) -> None:
    try:
        await promise
    except AssertionError as error:
        report.violations.append(f"{otherwise}: {error}")


def _measure(built: System, scenario: Scenario, report: Report, span: tuple[float, float]) -> None:
    """Fills in the times between two moments, and what is promised of them."""
    journal, remote = built.journal, built.remote
    course = Course(journal.attempts, remote.reads, remote.misses, journal.faults, *span)
    windows = [end - start for start, end in journal.windows() if start < course.until and end > course.since]
    report.longest = round(max(windows, default=0.0), 2)
    report.longest_in_a_partition = round(max(gaps(journal.attempts, *span).values()), 2)
    report.pauses = pauses(journal.attempts, *span)
    report.bounds = [bound for rule in scenario.rules for bound in rule(course)]


async def violations(built: System, checker: Checker) -> list[str]:
    """Everything that does not hold: I1-I7 by the checker, then what was read and in which order it was answered."""
    try:
        await checker.check()
    except AssertionError as error:
        return [str(error), *built.remote.unstable[:10]]
    prefixes, attempts = Prefixes(checker.references), built.journal.attempts
    versions = misplaced(built.remote.finals, prefixes)
    found: Sequence[Sequence[str]] = (
        unexplained(built.remote.reads, prefixes),
        out_of_order(attempts),
        untold(attempts),
        built.remote.unstable,
        versions,
    )
    return [wrong for kind in found for wrong in kind[:10]]


def _operations(built: System) -> dict[str, Any]:
    attempts, reads = built.journal.attempts, built.remote.reads
    counts = {one.value: len(built.journal.of(one)) for one in Outcome}
    return {
        "appends": len(attempts),
        **{name: count for name, count in counts.items() if count},
        "answered_as_duplicate": sum(one.appended.duplicate for one in attempts if one.appended),
        "slowest_answer_s": round(max((one.took for one in attempts), default=0.0), 2),
        "reads": len(reads),
        "reads_of_hot_rows": sum(one.hot for one in reads),
        "reads_of_own_writes": sum(one.least > 0 for one in reads),
        "reads_unanswered": len(built.remote.misses),
        "past_states": len(built.remote.finals),
        "past_states_asked_again": built.remote.asked_again,
    }
