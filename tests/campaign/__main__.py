"""`python -m tests.campaign [NAME…]`: makes the named faults, or all of them, and writes a report of each.

The reports are JSON in `build/faults`; after a run of all of them docs/faults.md is written anew. The exit code is 0
where each fault was run and is good, 1 where anything was violated or a bound was missed, and 3 where nothing was, but
this machine cannot make some of the faults.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec
import structlog

from tests.campaign.faults import SCENARIOS
from tests.campaign.pages import page
from tests.campaign.report import Report, exit_code
from tests.campaign.run import run

ROOT = Path(__file__).parents[2]


def main() -> int:
    """The exit code is that of the faults that were run now."""
    parser = argparse.ArgumentParser(prog="scripts/faults", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[[], *SCENARIOS], help="faults; none for all")
    parser.add_argument("--list", action="store_true", help="name the faults")
    parser.add_argument("--page", action="store_true", help="write docs/faults.md from the reports that there are")
    asked = parser.parse_args()
    if asked.list:
        sys.stdout.write("".join(f"{name:24} {one.what}\n" for name, one in SCENARIOS.items()))
        return 0
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    reports = [] if asked.page else [_one(name) for name in asked.names or SCENARIOS]
    if asked.page or not asked.names:
        (ROOT / "docs" / "faults.md").write_text(page([_known(name) for name in SCENARIOS]))
    sys.stdout.writelines(f"{report.name}: {report.verdict.value}\n" for report in reports)
    return exit_code(reports)


def _one(name: str) -> Report:
    sys.stdout.write(f"{name}: {SCENARIOS[name].what}\n")
    sys.stdout.flush()
    report = Report(name, SCENARIOS[name].what, *_code())
    with tempfile.TemporaryDirectory(prefix="lighthouse-faults-", ignore_cleanup_errors=True) as home:
        asyncio.run(run(report, SCENARIOS[name], Path(home)))
    file = ROOT / "build" / "faults" / f"{name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(report.plain(), indent=1) + "\n")
    sys.stdout.write(f"{_told(report)}\n")
    sys.stdout.flush()
    return report


def _code() -> tuple[str, bool]:
    """The commit, and whether there are changes besides; no commit outside of a repository."""
    told = [
        subprocess.run(["git", *asked], cwd=ROOT, check=False, capture_output=True, text=True).stdout.strip()
        for asked in (("rev-parse", "--short", "HEAD"), ("status", "--porcelain"))
    ]
    return told[0], bool(told[1])


def _known(name: str) -> Report:
    """The last report of a fault."""
    file = ROOT / "build" / "faults" / f"{name}.json"
    if not file.exists():
        return Report(name, SCENARIOS[name].what, not_run="no report is there")
    return msgspec.json.decode(file.read_bytes(), type=Report)


def _told(report: Report) -> str:
    if report.not_run:
        return f"  not run: {report.not_run}"
    done = report.operations
    lines = [
        *(report.violations or ["no violation"]),
        *(f"{'bound met' if one.met else 'BOUND MISSED'}: {one}" for one in report.bounds),
        f"{done.get('appends', 0)} appends, {done.get('reads', 0)} reads; longest without an acknowledgement "
        f"{report.longest_in_a_partition} s in a partition ({report.seconds} s in all)",
    ]
    return "\n".join(f"  {line}" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
