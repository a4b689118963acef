"""The producer without a broker: what it does with records that nobody takes. The rest is tested on real Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bridge.errors import TooLarge, Unavailable, Unknown
from bridge.local import ports
from bridge.log import kafka
from bridge.log.producer import PROMPT, Outgoing, Producer
from bridge.settings import Settings

RECORD = Outgoing("lighthouse.account", 0, b"account/a", b"value", [])


@asynccontextmanager
async def nowhere(**config: object) -> AsyncIterator[Producer]:
    """A producer whose broker does not exist."""
    settings = Settings(kafka_bootstrap=f"127.0.0.1:{ports.pick(1)[0]}")
    producer = Producer(kafka.producer(settings) | config)
    try:
        yield producer
    finally:
        await producer.close(0)


async def test_a_record_that_the_client_refuses_was_never_written() -> None:
    async with nowhere() as producer:
        with pytest.raises(TooLarge, match="larger than the log takes"):
            await producer.send(Outgoing("t", 0, b"k", bytes(9 * 1024 * 1024), []))


async def test_a_full_queue_is_told_also_to_what_was_gathered() -> None:
    async with nowhere(**{"queue.buffering.max.messages": PROMPT + 1}) as producer:
        reports = [producer.send(RECORD) for _ in range(PROMPT + 3)]
        first, second = reports[-2:]
        for report in (first, second):
            with pytest.raises(Unavailable, match="queue is full"):
                await asyncio.wait_for(report, 5)
        assert not any(report.done() for report in reports[:-2])


async def test_a_gathered_record_that_nobody_waits_for_is_not_written() -> None:
    async with nowhere() as producer:
        for _ in range(PROMPT):
            producer.send(RECORD)
        left, kept = producer.send(RECORD), producer.send(RECORD)
        left.cancel()
        await producer.close(0)  # which hands over what was gathered
        assert producer.flying == PROMPT + 1
        assert not kept.done()


async def test_a_renewed_producer_tells_those_who_wait_for_the_old_one() -> None:
    async with nowhere() as producer:
        waiting = [producer.send(RECORD) for _ in range(3)]
        producer.renew()
        for report in waiting:
            with pytest.raises(Unknown, match="did not confirm"):
                await asyncio.wait_for(report, 5)
        assert producer.flying == 0
