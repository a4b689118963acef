"""(d) Brokers that are killed and started again, one alone and one of three; (j) a broker that stays away."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from bridge.handle import Handler
from bridge.local import LocalKafka, start_kafka
from bridge.settings import Settings
from bridge.spaces import Space
from bridge.wiring import Platform
from tests.faults.conftest import Report
from tests.faults.harness import CACHE, Stage, eventually, owned, playing, spaces, staged
from tests.faults.journal import Journal, Outcome, Request
from tests.faults.writers import at, commit, writing

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]

GRACE = 2.0
"""Seconds over the deadline that two busy cores may take to say so; Kafka's own time-outs are far longer."""
FLOOD = 2000
"""Appends at once. One event loop needs half a millisecond for each, and three times that on a busy machine."""
MEMORY = 150 << 20


async def test_a_broker_is_killed_and_started_again(stage: Stage, kafka: LocalKafka, report: Report) -> None:
    async with playing(stage) as (platform, checker), writing(platform.handler, checker.journal) as writers:
        await writers.progress(5, 20)
        await checker.remember(["project/w0", "project/w1"])
        await asyncio.to_thread(kafka.kill, 1)
        checker.journal.fault("kill -9 of the broker")
        assert kafka.brokers[0].child.exit_code == -9
        await checker.journal.until(lambda journal: bool(journal.of(Outcome.UNKNOWN)), 20, "an unknown outcome")
        await asyncio.to_thread(kafka.restart, 1)
        checker.journal.fault("it is back")
        await writers.progress(5, 60)
        await writers.finish()
        report(await checker.check())


async def test_without_a_broker_answers_come_in_time_and_memory_stays(
    stage: Stage, kafka: LocalKafka, report: Report
) -> None:
    async with playing(stage, 1) as (platform, checker), writing(platform.handler, checker.journal) as writers:
        await writers.progress(5, 20)
        await asyncio.to_thread(kafka.kill, 1)
        checker.journal.fault("kill -9 of the broker")
        gone, memory = len(checker.journal.attempts), psutil.Process().memory_info().rss
        try:
            grown = await flood(checker.journal, platform.handler) - memory
            await refused(checker.journal, platform)
        finally:
            await asyncio.to_thread(kafka.restart, 1)
        checker.journal.fault("it is back")
        late = [one for one in checker.journal.attempts[gone:] if one.took > stage.settings.deadline + GRACE]
        assert not late, late[:3]
        assert grown < MEMORY, f"{grown >> 20} MiB more"
        await owned(platform, 60)
        await writers.progress(5, 60)
        await writers.finish()
        report(await checker.check() | {"memory grown, MiB": grown >> 20})


async def flood(journal: Journal, handler: Handler) -> int:
    """Asks for many appends at once; answers the process's memory when all are answered."""
    text = "x" * 2000
    requests = [Request(f"project/f{number}", 0, f"f{number}", [commit(text)]) for number in range(FLOOD)]
    most = 0

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, psutil.Process().memory_info().rss)
            await asyncio.sleep(0.1)

    watching = asyncio.create_task(watch())
    await asyncio.gather(*(journal.ask(handler, request) for request in requests))
    watching.cancel()
    return most


async def refused(journal: Journal, platform: Platform) -> None:
    """Once an append has been waiting for half the deadline, the next ones are refused at once (A4)."""
    for number, space in enumerate(spaces(platform)):
        stream = at(platform.handler, number, "refused")
        half = platform.base.settings.deadline / 2
        await eventually(partial(_waits, space, half), 20, "an append waits for too long")
        answer = await journal.ask(platform.handler, Request(stream, 0, stream, [commit("never")]))
        assert answer.outcome is Outcome.UNAVAILABLE
        assert answer.took < GRACE


def _waits(space: Space, seconds: float) -> bool:
    return space.oldest > seconds


async def test_an_append_that_waited_for_its_version_is_answered_in_time(
    stage: Stage, kafka: LocalKafka, report: Report
) -> None:
    """A2 uses most of the deadline up, and then the broker is gone: A4 has what is left, and no more."""
    deadline = 8.0
    async with playing(stage, 1, deadline=deadline) as (platform, checker):
        stream = at(platform.handler, 0)
        (processor,) = stage.processes
        warm = Request(stream, 0, "warm", [commit("warm")])
        assert (await checker.journal.ask(platform.handler, warm)).outcome is Outcome.ACKNOWLEDGED
        first = Request(stream, 1, "first", [commit("first")])
        asking = asyncio.create_task(checker.journal.ask(platform.handler, first))
        await stage.strike("P5", signal.SIGSTOP)
        await processor.stopped()
        early = Request(stream, 2, "early", [commit("early")])
        waiting = asyncio.create_task(checker.journal.ask(platform.handler, early))
        await asyncio.sleep(deadline * 0.7)  # it is time itself that must pass
        await asyncio.to_thread(kafka.kill, 1)
        checker.journal.fault("kill -9 of the broker")
        try:
            assert not waiting.done()
            processor.signal(signal.SIGCONT)
            answer = await waiting
        finally:
            await asyncio.to_thread(kafka.restart, 1)
        await asking
        assert answer.outcome is Outcome.UNKNOWN
        assert "has not told yet" in answer.said or "did not confirm" in answer.said, "it never got past A2"
        assert answer.took < deadline + GRACE
        await owned(platform, 60)
        report(await checker.check())


@pytest.fixture
def three(tmp_path: Path) -> Iterator[LocalKafka]:
    """Three brokers of this test's own."""
    started = start_kafka(Settings(home=tmp_path / "three", cache=CACHE, kafka_port=0, brokers=3, kafka_bootstrap=""))
    yield started
    started.stop()


@pytest.fixture
async def stage_of_three(three: LocalKafka, settings: Settings, tmp_path: Path) -> AsyncIterator[Stage]:
    """A stage on the three."""
    changed = settings.model_copy(update={"kafka_bootstrap": three.bootstrap, "partitions": 3})
    async with staged(changed, tmp_path) as stage:
        yield stage


async def test_one_of_three_brokers_is_killed(stage_of_three: Stage, three: LocalKafka, report: Report) -> None:
    stage = stage_of_three
    async with playing(stage) as (platform, checker), writing(platform.handler, checker.journal) as writers:
        facts = platform.facts["project"]
        assert (facts.replication, facts.config["min.insync.replicas"]) == (3, "2")
        await writers.progress(5, 30)
        for node in (1, 2):
            await asyncio.to_thread(three.kill, node)
            checker.journal.fault(f"kill -9 of broker {node}")
            begun = time.monotonic()
            await writers.progress(5, 60)
            checker.journal.fault(f"all writers went on after {time.monotonic() - begun:.1f} s without it")
            await asyncio.to_thread(three.restart, node)
            checker.journal.fault("it is back")
            await writers.progress(5, 60)
        await writers.finish()
        report(await checker.check())


async def test_nothing_is_acknowledged_below_the_minimum_of_replicas(
    stage_of_three: Stage, three: LocalKafka, report: Report
) -> None:
    """I8: with two of three brokers gone there is no second replica, and nobody is told that an append succeeded."""
    async with (
        playing(stage_of_three) as (platform, checker),
        writing(platform.handler, checker.journal) as writers,
    ):
        journal = checker.journal
        await writers.progress(5, 30)
        for node in (2, 3):
            await asyncio.to_thread(three.kill, node)
        gone = time.monotonic()
        journal.fault("kill -9 of two of three brokers")
        assert [broker.child.exit_code for broker in three.brokers] == [None, -9, -9]

        def since() -> list[Outcome]:
            return [attempt.outcome for attempt in journal.attempts if attempt.began > gone]

        await journal.until(lambda _: len(since()) > 50, 60, "fifty answers without a second replica")
        assert Outcome.ACKNOWLEDGED not in since()
        await asyncio.gather(*(asyncio.to_thread(three.restart, node) for node in (2, 3)))
        journal.fault("they are back")
        await owned(platform, 60)
        await writers.progress(5, 60)
        await writers.finish()
        report(await checker.check())
