"""(a) Processors that are killed at each step of the protocol, and (k) all of them gone, under load."""

from __future__ import annotations

import signal

import pytest

from tests.faults.conftest import Report
from tests.faults.harness import Stage, epochs, owned, playing
from tests.faults.journal import Outcome
from tests.faults.killing import killed_at
from tests.faults.writers import writing

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]


@pytest.mark.parametrize("step", ["P2", "P5", "P6"])
async def test_a_processor_killed_at_a_step_loses_and_doubles_nothing(step: str, stage: Stage, report: Report) -> None:
    await killed_at(step, stage, report)


async def test_a_processor_killed_while_its_partitions_are_revoked(stage: Stage, report: Report) -> None:
    async with playing(stage, 1) as (platform, checker), writing(platform.handler, checker.journal) as writers:
        await writers.progress(5, 20)
        stage.processor()
        victim = await stage.strike("revoke", signal.SIGKILL)
        assert await victim.ended() == -signal.SIGKILL
        checker.journal.fault("kill -9 while revoked")
        await writers.progress(5, 20)
        await writers.finish()
        report(await checker.check())


async def test_without_processors_appends_are_refused_and_retries_double_nothing(stage: Stage, report: Report) -> None:
    async with playing(stage) as (platform, checker), writing(platform.handler, checker.journal) as writers:
        await writers.progress(5, 20)
        before = await epochs(platform)
        stage.end()
        gone = len(checker.journal.attempts)
        checker.journal.fault("kill -9 of both processors")

        def refused(number: int) -> bool:
            return len([one for one in checker.journal.attempts[gone:] if one.outcome is Outcome.UNAVAILABLE]) >= number

        await checker.journal.until(lambda _: refused(100), 30, "refusals")
        assert all("no living owner" in one.said for one in checker.journal.of(Outcome.UNAVAILABLE)[-10:])
        assert len(checker.journal.of(Outcome.UNKNOWN)) <= 18, "appends piled up"
        stage.processor()
        await owned(platform)
        assert all(now > then for now, then in zip(await epochs(platform), before, strict=True))
        await writers.progress(5, 20)
        await writers.finish()
        report(await checker.check())
