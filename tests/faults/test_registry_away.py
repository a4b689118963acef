"""(h) The schema registry is away: nothing is skipped, all goes on when it is back."""

from __future__ import annotations

import asyncio

import pytest

from bridge.local import LocalRegistry
from tests.faults.conftest import Report
from tests.faults.harness import Stage, owned, playing
from tests.faults.journal import Outcome, Request
from tests.faults.writers import at, commit, writing

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]


async def test_without_the_registry_batches_are_held_and_nothing_is_skipped(
    stage: Stage, registry: LocalRegistry, report: Report
) -> None:
    async with playing(stage, 1) as (platform, checker), writing(platform.handler, checker.journal) as writers:
        await writers.progress(5, 20)
        await asyncio.to_thread(registry.kill)
        checker.journal.fault("kill -9 of the registry")
        try:
            assert registry.child.exit_code == -9
            await writers.progress(5, 20)  # schemas that are known need no registry
            stage.end()
            fresh = stage.processor()
            checker.journal.fault("the processor is killed, and a new one started, which knows no schema")
            await fresh.says("batch held")
            settled = len(checker.journal.attempts)
            await checker.journal.until(lambda journal: len(journal.attempts) > settled + 20, 20, "answers")
        finally:
            await asyncio.to_thread(registry.restart)
        checker.journal.fault("the registry is back")
        await writers.progress(5, 20)
        await writers.finish()
        assert fresh.popen.poll() is None, fresh.output
        report(await checker.check())


async def test_a_new_decider_version_waits_for_the_registry(stage: Stage, registry: LocalRegistry) -> None:
    """A state of a new decider version is folded from history, whose schemas a new process does not know yet."""
    async with playing(stage, 1) as (platform, checker):
        stream = at(platform.handler, 0)
        first = await checker.journal.ask(platform.handler, Request(stream, 0, "first", [commit("first")]))
        assert first.outcome is Outcome.ACKNOWLEDGED
        await asyncio.to_thread(registry.kill)
        try:
            stage.end()
            fresh = stage.start("tests.faults.upgraded")
            await owned(platform)
            second = asyncio.create_task(
                checker.journal.ask(platform.handler, Request(stream, 1, "second", [commit("second")]))
            )
            await fresh.says("batch held")
        finally:
            await asyncio.to_thread(registry.restart)
        await second
        again = await checker.journal.ask(platform.handler, Request(stream, 1, "second", [commit("second")]))
        assert again.appended is not None
        assert again.appended.first_version == 1
        assert fresh.popen.poll() is None, fresh.output
