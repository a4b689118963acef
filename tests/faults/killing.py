"""A processor that is killed at a step of the protocol, wherever its histories lie."""

from __future__ import annotations

import signal

from tests.faults.conftest import Report
from tests.faults.harness import Stage, owned, playing
from tests.faults.writers import writing


async def killed_at(step: str, stage: Stage, report: Report) -> None:
    """Kills one of two under load, and lets the checker look."""
    async with playing(stage) as (platform, checker), writing(platform.handler, checker.journal) as writers:
        await writers.progress(5, 20)
        victim = await stage.strike(step, signal.SIGKILL)
        assert await victim.ended() == -signal.SIGKILL
        checker.journal.fault(f"kill -9 at {step}")
        await checker.remember(["project/w0", "project/any"])
        await writers.progress(5, 20)
        await owned(platform, 10)
        await writers.finish()
        report(await checker.check())
