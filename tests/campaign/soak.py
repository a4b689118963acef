"""`python -m tests.campaign.soak [--minutes N]`: everything under a steady load for an hour, and what it grows by.

Every few seconds each process of the platform is measured: memory, open files, threads; the lag, and the latency of the
appends of that time. The report is JSON in `build/soak`, with a picture beside it. At the end the checker of the faults
looks at all that was asked and answered.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import mean

import psutil
import structlog

from bridge.errors import LighthouseError
from bridge.survey import survey
from tests.campaign.picture import draw
from tests.campaign.remote import reading
from tests.campaign.run import AGAIN, PAUSE, READERS, violations
from tests.campaign.system import System, system
from tests.checker import Checker
from tests.faults.harness import Process
from tests.faults.journal import Outcome
from tests.faults.writers import STREAMS, writing

ROOT = Path(__file__).parents[2]
EVERY = 5.0
"""Seconds between two samples."""

WARM = 0.25
"""The part of the run in which caches fill: growth is counted from there on."""


@dataclass(frozen=True)
class Sample:
    """One look. Memory is resident, in MiB, by process; `p50` and `p99` are of appends since the last look, in ms."""

    seconds: float
    memory: dict[str, float]
    handles: dict[str, int]
    threads: dict[str, int]
    lag: int
    appended: int
    p50: float
    p99: float


@dataclass
class Soak:
    """The report."""

    minutes: float
    samples: list[Sample] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    outcomes: dict[str, int] = field(default_factory=dict)

    def growth(self) -> dict[str, float]:
        """By process, MiB an hour from the end of the warm-up on, by least squares."""
        used = [one for one in self.samples if one.seconds >= WARM * self.samples[-1].seconds]
        names = set.intersection(*(set(one.memory) for one in used))
        return {name: round(_slope([(one.seconds, one.memory[name]) for one in used]) * 3600, 1) for name in names}


def _slope(points: Sequence[tuple[float, float]]) -> float:
    """Of the line that lies nearest to the points."""
    across, up = mean(x for x, _ in points), mean(y for _, y in points)
    spread = sum((x - across) ** 2 for x, _ in points)
    return sum((x - across) * (y - up) for x, y in points) / spread if spread else 0.0


async def soak(minutes: float, home: Path, told: bool) -> Soak:
    """Runs it in an empty directory."""
    report = Soak(minutes)
    async with system(home) as built:
        checker = Checker(built.platform, built.journal)
        async with (
            reading(built.remote, STREAMS, READERS, PAUSE),
            writing(built.remote, built.journal, PAUSE) as writers,
        ):
            await writers.progress(5, 120.0)
            await _sample(built, report, time.monotonic() + 60 * minutes, told)
            await writers.finish()
        await built.remote.recall_all(AGAIN)
        report.violations = await violations(built, checker)
        report.outcomes = {one.value: len(built.journal.of(one)) for one in Outcome}
    return report


async def _sample(built: System, report: Soak, until: float, told: bool) -> None:
    began, seen = time.monotonic(), len(built.journal.attempts)
    while time.monotonic() < until:
        await asyncio.sleep(EVERY)
        report.samples.append(await _look(built, time.monotonic() - began, seen))
        seen = len(built.journal.attempts)
        if told:
            last = report.samples[-1]
            left = max(0.0, until - time.monotonic())
            line = (
                f"\r{left:5.0f} s left, lag {last.lag}, {last.appended / EVERY:.0f} appends/s, p99 {last.p99:.0f} ms "
            )
            sys.stderr.write(line)


async def _look(built: System, seconds: float, seen: int) -> Sample:
    named = _named(built.processors, "processor") | _named(built.apis, "api")
    try:
        lag = sum(one.lag for one in await survey(built.platform.spaces, built.platform.reader))
    except LighthouseError:
        lag = -1
    took = sorted(one.took * 1000 for one in built.journal.attempts[seen:] if one.appended is not None)
    return Sample(
        round(seconds, 1),
        {name: round(one.memory_info().rss / (1 << 20), 1) for name, one in named.items()},
        {name: one.num_fds() for name, one in named.items()},
        {name: one.num_threads() for name, one in named.items()},
        lag,
        len(took),
        round(took[len(took) // 2], 1) if took else 0.0,
        round(took[len(took) * 99 // 100], 1) if took else 0.0,
    )


def _named(processes: Sequence[Process], kind: str) -> dict[str, psutil.Process]:
    return {f"{kind} {number}": psutil.Process(one.pid) for number, one in enumerate(processes, 1)}


def main() -> int:
    """The exit code is 1 where anything was violated."""
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    asked = parser.parse_args()
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    with tempfile.TemporaryDirectory(prefix="lighthouse-soak-", ignore_cleanup_errors=True) as home:
        report = asyncio.run(soak(asked.minutes, Path(home), sys.stderr.isatty()))
    target = ROOT / "build" / "soak"
    target.mkdir(parents=True, exist_ok=True)
    (target / "soak.json").write_text(json.dumps(asdict(report) | {"growth_mib_an_hour": report.growth()}, indent=1))
    draw(report.samples, target / "soak.svg")
    sys.stdout.write(f"{'; '.join(report.violations) or 'no violation'}; {report.outcomes}\n")
    sys.stdout.write(f"MiB an hour: {report.growth()}\nreport and picture: {target.relative_to(ROOT)}\n")
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main())
