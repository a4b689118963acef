"""(i) A map of one MiB fills up and grows by itself, under the eyes of readers in other processes."""

from __future__ import annotations

import pytest

from tests.faults.conftest import Report
from tests.faults.harness import Stage, playing
from tests.faults.journal import Outcome, Request
from tests.faults.writers import at, commit, writing

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]
FIRST = 1


async def test_a_full_map_grows_by_itself(stage: Stage, report: Report) -> None:
    stage.settings = stage.settings.model_copy(update={"lmdb_map_mb": FIRST})
    async with playing(stage, 1) as (platform, checker), writing(platform.handler, checker.journal) as writers:
        await writers.progress(2, 20)
        stream = at(platform.handler, 0, "large")
        for version in range(5):
            events = [commit(f"{version}/{number} {'x' * 2000}") for number in range(500)]
            answer = await checker.journal.ask(platform.handler, Request(stream, version * 500, f"v{version}", events))
            assert answer.outcome is Outcome.ACKNOWLEDGED
        await writers.progress(2, 20)
        await writers.finish()
        output = stage.processes[0].output
        assert output.count("letting the map grow") >= 2, "it never grew"
        report(await checker.check() | {"grew": output.count("letting the map grow")})
