"""One run: the system, its load, a fault, and what a sceptic may ask afterwards; answered as a report."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bridge.errors import LocalError
from tests.campaign.faults import CALM, Scenario
from tests.campaign.reads import Prefixes, gaps, out_of_order, unexplained
from tests.campaign.remote import reading
from tests.campaign.system import System, system
from tests.checker import Checker
from tests.faults.journal import Outcome
from tests.faults.writers import ANY, GUARDED, writing

READERS = 32 - GUARDED - ANY
PAUSE = 0.04
"""Seconds between two calls of a client: two cores carry three brokers, two databases and five processes, too."""

AGAIN = 120.0
"""Seconds in which every writer must go on after the fault."""


class NotRun(Exception):
    """A fault that cannot be made here; the text says why."""


@dataclass
class Report:
    """What happened. Times are seconds; `longest` and `longest_in_a_partition` are without any acknowledgement."""

    name: str
    what: str
    seconds: float = 0.0
    operations: dict[str, Any] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    longest: float = 0.0
    longest_in_a_partition: float = 0.0
    limit: float | None = None
    violations: list[str] = field(default_factory=list)
    not_run: str = ""

    @property
    def good(self) -> bool:
        """Whether nothing was violated."""
        return not self.violations

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


async def run(name: str, scenario: Scenario, home: Path) -> Report:
    """Runs a scenario in an empty directory. A fault that this machine cannot have is told in the report."""
    began, report = time.monotonic(), Report(name, scenario.what, limit=scenario.limit)
    try:
        async with system(home, scenario.small_disk) as built:
            if scenario.network and built.brokers.network is None:
                raise NotRun("a network namespace a broker needs Linux, root and iproute2")
            await _play(built, scenario, report)
    except (NotRun, OSError, LocalError) as error:
        report.not_run = str(error)
    report.seconds = round(time.monotonic() - began, 1)
    return report


async def _play(built: System, scenario: Scenario, report: Report) -> None:
    checker, journal = Checker(built.platform, built.journal), built.journal
    streams = [f"project/w{number}" for number in range(GUARDED)] + ["project/any"]
    async with (
        reading(built.remote, streams, READERS, PAUSE),
        writing(built.remote, journal, PAUSE) as writers,
    ):
        await writers.progress(10, AGAIN)
        since = time.monotonic()
        await scenario.fault(built)
        await asyncio.sleep(CALM)
        until = time.monotonic()
        await _goes_on(writers.progress(5, AGAIN), report)
        await writers.finish()
    report.faults = [f"{at - since:.1f} s: {what}" for at, what in journal.faults]
    found = gaps(journal.attempts, since, until)
    report.longest_in_a_partition = round(max(found.values(), default=0.0), 2)
    windows = [end - start for start, end in journal.windows() if start < until and end > since]
    report.longest = round(max(windows, default=0.0), 2)
    report.violations += await violations(built, checker)
    report.operations = _operations(built) | {"hot_reads_of_one_api": await built.remote.hot_reads()}


async def _goes_on(progress: Any, report: Report) -> None:
    try:
        await progress
    except AssertionError as error:
        report.violations.append(f"not every writer went on after the fault: {error}")


async def violations(built: System, checker: Checker) -> list[str]:
    """Everything that does not hold: I1-I7 by the checker, then what was read and in which order it was answered."""
    try:
        await checker.check()
    except AssertionError as error:
        return [str(error)]
    read: Sequence[str] = unexplained(built.remote.reads, Prefixes(checker.references))
    return [*read[:10], *out_of_order(built.journal.attempts)[:10], *built.remote.unstable[:10]]


def _operations(built: System) -> dict[str, Any]:
    attempts = built.journal.attempts
    counts = {one.value: len(built.journal.of(one)) for one in Outcome}
    return {
        "appends": len(attempts),
        **{name: count for name, count in counts.items() if count},
        "answered_as_duplicate": sum(one.appended.duplicate for one in attempts if one.appended),
        "slowest_answer_s": round(max((one.took for one in attempts), default=0.0), 2),
        "reads": len(built.remote.reads),
        "reads_of_own_writes": sum(one.least > 0 for one in built.remote.reads),
        "past_states_asked_again": len(built.remote.finals),
        "reads_unanswered": built.remote.failed_reads,
    }
