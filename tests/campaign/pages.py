"""The reports of all faults as a page of the documentation."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime

from tests.campaign.report import Report

HEAD = """# Faults, and what came of them

Written by `scripts/faults`, on {day}. Each line is the last run of its fault, on a system of its own: three brokers,
PostgreSQL for the histories, a Redis Cluster of three masters for hot rows, three processors and two APIs behind one
address, all of them real processes on one machine. Ten guarded writers have a stream each, and six share two streams,
three rivals in each; two more append to any version, and fourteen readers ask the history, and rows that Redis has.
All of them go on over HTTP all the time. What is checked afterwards is in [guarantees](guarantees.md).

| fault | commit | appends | acknowledged | unknown, then told | reads | longest pause | bounds | violations |
|---|---|---|---|---|---|---|---|---|
"""

TAIL = """
*Commit* is the code that ran. *Unknown, then told* are attempts whose connection broke or that took too long; each was
asked again under its key, after the load's end for some seconds more, and one whose writer was never told is a
violation. *Longest pause* is the longest time without an acknowledgement in any one partition, from the first fault
until a few seconds after the last. A bound that is missed is no violation of an invariant; neither passes. Times are of
a machine with {cores} cores that runs all of it.
"""


def page(reports: Sequence[Report]) -> str:
    """The page's text."""
    head = HEAD.format(day=datetime.now(UTC).date().isoformat())
    return head + "".join(map(_line, reports)) + TAIL.format(cores=os.cpu_count()) + "".join(map(_course, reports))


def _line(report: Report) -> str:
    if report.not_run:
        return f"| {report.what} | {report.code} | not run here: {report.not_run} | | | | | | |\n"
    done = report.operations
    cells = (
        report.what,
        report.code,
        f"{done.get('appends', 0):,}",
        f"{done.get('acknowledged', 0):,}",
        f"{done.get('unknown', 0):,}",
        f"{done.get('reads', 0):,}",
        f"{report.longest_in_a_partition:.1f} s",
        _bounds(report),
        len(report.violations),
    )
    return f"| {' | '.join(map(str, cells))} |\n"


def _bounds(report: Report) -> str:
    if report.missed:
        return f"**{len(report.missed)} of {len(report.bounds)} missed**"
    return f"met: {', '.join(f'{one.limit:.1f}' for one in report.bounds)} s" if report.bounds else ""


def _course(report: Report) -> str:
    """What was done, and when; then what was measured against a bound, and what was wrong."""
    if report.not_run:
        return ""
    done = "".join(f"- {one}\n" for one in report.faults)
    bounds = "".join(f"- {one}\n" if one.met else f"- **missed: {one}**\n" for one in report.bounds)
    wrong = "".join(f"\n**{one}**\n" for one in report.violations)
    return f"\n## {report.what}\n\n{done}" + (f"\nBounds:\n\n{bounds}" if bounds else "") + wrong
