"""(f) A hundred writers race for one version."""

from __future__ import annotations

import asyncio

import pytest

from tests.faults.conftest import Report
from tests.faults.harness import Stage, playing
from tests.faults.journal import Outcome, Request
from tests.faults.writers import commit

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]
RACERS = 100


async def test_of_a_hundred_writers_of_one_version_one_wins(stage: Stage, report: Report) -> None:
    async with playing(stage, 1) as (platform, checker):
        for version in range(5):
            requests = [
                Request("project/race", version, f"{version}/{racer}", [commit(f"racer {racer}")])
                for racer in range(RACERS)
            ]
            answers = await asyncio.gather(*(checker.journal.ask(platform.handler, one) for one in requests))
            outcomes = [answer.outcome for answer in answers]
            assert outcomes.count(Outcome.ACKNOWLEDGED) == 1
            assert outcomes.count(Outcome.CONFLICT) == RACERS - 1
            assert {answer.actual for answer in answers} == {None, version + 1}
        run = await checker.check()
        report(run)
        assert isinstance(run["void"], dict)
        assert run["void"]["conflict"] >= RACERS, "the racers did not meet in the log"
