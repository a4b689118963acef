"""The publisher, from the start of a topic whose history is there: events to CloudEvents, as fast as it can."""

from __future__ import annotations

import asyncio
import time

from confluent_kafka import Consumer, TopicPartition

from benchmarks.figure import Measured, Rounds
from benchmarks.process import fill
from benchmarks.sample import sample
from benchmarks.scene import Scene, applied, until
from benchmarks.servers import Servers
from bridge.log import kafka
from bridge.log.published import topic
from bridge.settings import Settings

STREAMS = 1_000
EACH = 200


async def publish(servers: Servers) -> Measured:
    """One run, for a publisher keeps its place. The baseline is a bare producer of the raw records."""
    scene = Scene(servers.settings("publish", projections="none"))
    await scene.prepare()
    ours, bare = Rounds(), Rounds()
    bare.rates.append(STREAMS * EACH / (await fill(scene, STREAMS, EACH)).seconds)
    with scene.process("streams", "--role", "processor") as processor:
        async with scene.spaces(sample().category) as spaces:

            async def done() -> bool:
                return await applied(spaces) >= STREAMS * EACH

            await until(done, "a history", [processor], 120)
        ours.rates.append(await _rate(scene))
    return Measured(ours.rate, bare.rate, {"events": STREAMS * EACH, "streams": STREAMS})


async def _rate(scene: Scene) -> float:
    """Events a second between the first that was seen and the last one, by the topic's ends."""
    settings, total = scene.settings, STREAMS * EACH
    with scene.process("streams", "--role", "reactors") as reactors:

        async def reached(count: int) -> bool:
            return await asyncio.to_thread(_published, settings) >= count

        await until(lambda: reached(1), "a first event", [reactors], every=0.01)
        began, first = time.perf_counter(), await asyncio.to_thread(_published, settings)
        await until(lambda: reached(total), f"{total} events", [reactors], 120, every=0.1)
        return (total - first) / (time.perf_counter() - began)


def _published(settings: Settings) -> int:
    """The events in the topic, as the broker says now."""
    name = topic(settings.topic_prefix, sample().category)
    consumer = Consumer(kafka.consumer(settings, "bench-ends"))
    try:
        parts = [TopicPartition(name, number) for number in range(settings.partitions)]
        return sum(consumer.get_watermark_offsets(part, timeout=10)[1] for part in parts)
    finally:
        consumer.close()
