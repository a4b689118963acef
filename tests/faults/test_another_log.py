"""(l) The topic is deleted and made again behind our back, with as many records."""

from __future__ import annotations

import asyncio

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from bridge.errors import Unavailable
from bridge.wiring import Platform
from tests.faults.conftest import Report
from tests.faults.harness import Stage, mark_of, playing, soon, spaces
from tests.faults.journal import Outcome, Request
from tests.faults.writers import at, commit, writing

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]


async def positions(platform: Platform) -> list[int]:
    """How far each partition is applied."""
    return [(await mark_of(space)).position for space in spaces(platform)]


async def make_again(stage: Stage, ends: list[int]) -> None:
    """Deletes the topic and makes one of the same name, with as many records and a few more."""
    topic = f"{stage.settings.topic_prefix}.project"
    client = AdminClient({"bootstrap.servers": stage.settings.kafka_bootstrap})
    await asyncio.to_thread(client.delete_topics([topic])[topic].result, 20)
    new = NewTopic(topic, len(ends), 1, config={"message.timestamp.type": "LogAppendTime"})

    async def made() -> bool:
        created = client.create_topics([new])[topic]
        return await asyncio.to_thread(lambda: created.exception(20)) is None

    await soon(made, 20, "the topic is made again")
    producer = Producer({"bootstrap.servers": stage.settings.kafka_bootstrap})
    for partition, end in enumerate(ends):
        for _ in range(end + 5):
            producer.produce(topic, b"another log", b"project/other", partition)
    assert await asyncio.to_thread(producer.flush, 20) == 0


async def reason(platform: Platform, number: int) -> str:
    """What a reader is told of a partition; empty if it may read."""
    space = spaces(platform)[number]
    async with space.store.view() as view:
        try:
            await space.check_readable(view)
        except Unavailable as error:
            return str(error)
    return ""


@pytest.mark.parametrize("running", [True, False], ids=["running", "restarted"])
async def test_another_log_under_the_same_name_stops_its_partitions(
    running: bool, stage: Stage, report: Report
) -> None:
    async with playing(stage, 1) as (platform, checker):
        async with writing(platform.handler, checker.journal) as writers:
            await writers.progress(3, 20)
        checked = await checker.check()
        if not running:
            stage.end()
        before = await positions(platform)
        await make_again(stage, before)
        checker.journal.fault("the topic is another one")
        if not running:
            stage.processor()
        process = stage.processes[-1]
        await process.says("partition stopped", 4)
        for number in range(len(before)):
            assert "but the log is" in await reason(platform, number)
        asked = Request(at(platform.handler, 0), None, "after", [commit("after")])
        refused = await checker.journal.ask(platform.handler, asked)
        assert refused.outcome is Outcome.UNAVAILABLE
        assert "but the log is" in refused.said
        assert await positions(platform) == before, "nothing of the other log is applied"
        assert process.popen.poll() is None, "the processor serves other partitions"
        report(checked | {"said": refused.said})
