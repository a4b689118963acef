"""A topic that was given more partitions: its streams would lie elsewhere, so API and processors stop and say so."""

from __future__ import annotations

import asyncio

import pytest
from confluent_kafka.admin import AdminClient, NewPartitions

from bridge.errors import LighthouseError, Unavailable
from bridge.history.events import Range
from bridge.log.kafka import admin
from tests.checker import CATEGORY
from tests.faults.harness import Stage, owned, soon

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]


async def test_more_partitions_stop_everything_with_the_reason(stage: Stage) -> None:
    processor = stage.processor()
    async with stage.platform() as platform:
        await owned(platform)
        topic = platform.base.topics.name(CATEGORY)
        client = AdminClient(admin(stage.settings))
        grown = client.create_partitions([NewPartitions(topic, 6)])
        await asyncio.to_thread(grown[topic].result, 20)
        processor.kill()
        stage.processor()

        async def stopped() -> bool:
            try:
                await platform.history.events(f"{CATEGORY}/any", Range(0, 1))
            except Unavailable as error:
                return "partitions" in str(error)
            except LighthouseError:
                return False
            return False

        await soon(stopped, 40, "the history says why it stopped")
    with pytest.raises(LighthouseError, match="6 partitions, but its history was made of 4"):
        async with stage.platform():
            pass
