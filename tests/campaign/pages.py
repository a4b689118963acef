"""The reports of all faults as a page of the documentation."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime

from tests.campaign.run import Report

HEAD = """# Faults, and what came of them

Written by `scripts/faults`, on {day}. Each line is the last run of its fault, on a system of its own: three brokers,
PostgreSQL for the histories, a Redis Cluster of three masters for hot rows, three processors and two APIs behind one
address, all of them real processes on one machine. Sixteen guarded writers, two that append to any version and fourteen
readers go on over HTTP all the time; the readers ask the history, and rows that Redis has. What is checked afterwards
is in [guarantees](guarantees.md).

| fault | appends | acknowledged | unknown, then told | reads | longest pause of a partition | bound | violations |
|---|---|---|---|---|---|---|---|
"""

TAIL = """
*Longest pause* is the longest time without an acknowledgement in any one partition, from the first fault until a few
seconds after the last; *unknown, then told* are attempts whose connection broke or that took too long, of which each
was asked again under its key. Times are of a machine with {cores} cores that runs all of it.
"""


def page(reports: Sequence[Report]) -> str:
    """The page's text."""
    head = HEAD.format(day=datetime.now(UTC).date().isoformat())
    return head + "".join(map(_line, reports)) + TAIL.format(cores=os.cpu_count()) + "".join(map(_course, reports))


def _line(report: Report) -> str:
    if report.not_run:
        return f"| {report.what} | not run here: {report.not_run} | | | | | | |\n"
    done = report.operations
    bound = f"{report.limit:g} s" if report.limit else ""
    cells = (
        report.what,
        f"{done['appends']:,}",
        f"{done.get('acknowledged', 0):,}",
        f"{done.get('unknown', 0):,}",
        f"{done['reads']:,}",
        f"{report.longest_in_a_partition:.1f} s",
        bound,
        len(report.violations),
    )
    return f"| {' | '.join(map(str, cells))} |\n"


def _course(report: Report) -> str:
    """What was done, and when."""
    if report.not_run:
        return ""
    wrong = "".join(f"\n**{one}**\n" for one in report.violations)
    return f"\n## {report.what}\n\n" + "".join(f"- {one}\n" for one in report.faults) + wrong
