"""(f) A hundred writers race for one version; a thousand come at once."""

from __future__ import annotations

import asyncio

import pytest

from bridge.handle import Context
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


async def test_a_thousand_first_writers_of_a_process_are_all_served(stage: Stage) -> None:
    """Nobody has asked the registry yet: it is asked once for all."""
    async with playing(stage, 1) as (platform, _):
        texts = map(str, range(1000))
        made = await asyncio.gather(
            *(platform.handler.create("project", [commit(text)], Context("ann")) for text in texts)
        )
        assert len({one.stream for one in made}) == 1000
