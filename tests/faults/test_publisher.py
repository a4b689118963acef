"""The publisher, read as an outsider reads it: what was admitted, in stream order, and nothing that lost."""

from __future__ import annotations

import asyncio
import io
import json
import signal
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary
from cloudevents.core.formats.json import JSONFormat
from confluent_kafka import Consumer, Message, TopicPartition
from fastavro import schemaless_reader

from bridge.errors import Conflict
from bridge.events import RecordedEvent
from bridge.feed.order import Most, page
from bridge.handle import Context
from bridge.log.published import topic
from bridge.log.record import PREFIX
from bridge.times import rfc3339
from bridge.wiring import Platform
from tests.faults.harness import Stage, playing, spaces
from tests.faults.writers import commit, writing

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

PATIENCE = 20.0


class Outsider:
    """Knows CloudEvents, Avro and the registry, and nothing of the platform. Keeps what it reads, repeats too."""

    def __init__(self, stage: Stage) -> None:
        self.ids: list[str] = []
        self.by_stream: dict[str, list[int]] = {}
        self.first: dict[str, tuple[Any, dict[str, Any]]] = {}
        self._values: dict[str, bytes] = {}
        self._registry = httpx.Client(base_url=stage.settings.registry_url, trust_env=False)
        self._schemas: dict[int, Any] = {}
        self._topic = topic(stage.settings.topic_prefix, "project")
        config = {"bootstrap.servers": stage.settings.kafka_bootstrap, "group.id": "o", "enable.auto.commit": False}
        self._consumer = Consumer(config)
        self._consumer.assign([TopicPartition(self._topic, number, 0) for number in range(4)])

    def close(self) -> None:
        """Closes the connections."""
        self._consumer.close()
        self._registry.close()

    def messages(self, until: int) -> Iterator[Message]:
        """What comes until so many different events are known."""
        while len(self.first) < until:
            message = self._consumer.poll(PATIENCE)
            assert message is not None, f"{len(self.first)} of {until} events within {PATIENCE} s"
            assert message.error() is None, message.error()
            yield message

    def read(self, until: int) -> Outsider:
        """Takes events until so many different ones are known. A repeat must be the same to the byte."""
        for message in self.messages(until):
            headers: Any = dict(message.headers() or ())
            id_, value = headers["ce_id"].decode(), message.value() or b""
            self.ids.append(id_)
            assert self._values.setdefault(id_, value) == value
            if id_ not in self.first:
                self._take(id_, from_binary(KafkaMessage(headers, message.key(), value), JSONFormat()), value)
        return self

    def _take(self, id_: str, event: Any, value: bytes) -> None:
        self.first[id_] = event, self._decode(value)
        self.by_stream.setdefault(event.get_subject(), []).append(int(event.get_extension("streamversion")))
        assert event.get_extension("partitionkey") == event.get_subject()

    def _decode(self, value: bytes) -> dict[str, Any]:
        _, schema_id = PREFIX.unpack_from(value)
        if schema_id not in self._schemas:
            answer = self._registry.get(f"/schemas/ids/{schema_id}").raise_for_status()
            self._schemas[schema_id] = json.loads(answer.json()["schema"])
        source = io.BytesIO(value[PREFIX.size :])
        data: Any = schemaless_reader(source, self._schemas[schema_id], None)
        assert source.tell() == len(value) - PREFIX.size
        return dict(data)


async def admitted(platform: Platform) -> dict[str, RecordedEvent]:
    """Every admitted event, by its id."""
    found: dict[str, RecordedEvent] = {}
    for space in spaces(platform):
        async with space.store.view() as view:
            all_ = await page(view, platform.base.schemas, space.place.partition, most=Most(100_000, 1 << 30))
        found |= {event.id: event for event in all_.events if isinstance(event, RecordedEvent)}
    return found


def compare(outsider: Outsider, expected: dict[str, RecordedEvent]) -> None:
    """What was published is what was admitted, attribute for attribute, and each stream in its order."""
    assert outsider.first.keys() == expected.keys()
    for stream, versions in outsider.by_stream.items():
        assert versions == list(range(len(versions))), stream
    for id_, (event, data) in outsider.first.items():
        wanted = expected[id_]
        assert data == wanted.data
        assert event.get_type() == f"lighthouse.project.{wanted.type}"
        assert event.get_source() == f"/v1/streams/{wanted.stream}"
        assert event.get_subject() == wanted.stream
        assert event.get_datacontenttype() == "application/avro"
        assert event.get_time().timestamp() == pytest.approx(wanted.envelope.time / 1e6, abs=1e-3)
        assert event.get_extension("effectivetime") == rfc3339(wanted.effective)
        assert event.get_extension("streamversion") == str(wanted.version)
        assert event.get_extension("actor") == wanted.envelope.actor


async def test_what_was_admitted_is_published_and_nothing_that_lost(stage: Stage) -> None:
    """What was admitted before the publisher ran, too. Killed at work, it repeats some and misses none."""
    async with playing(stage) as (platform, checker):
        handler = platform.handler
        for number in range(20):
            events = [commit(f"{number}/{index}") for index in range(1 + number % 3)]
            await handler.append(f"project/{number % 5}", events, None, Context("ann", key=str(number)))
            with pytest.raises(Conflict):
                await handler.append(f"project/{number % 5}", events, 0, Context("bob", key=f"lost {number}"))
        expected = await admitted(platform)
        reactors = stage.reactors()
        with closing(Outsider(stage)) as outsider:
            await asyncio.to_thread(outsider.read, len(expected))
            compare(outsider, expected)
            assert len(outsider.ids) == len(expected), "nothing is repeated without need"
            async with writing(handler, checker.journal) as writers:
                for _ in range(2):
                    await writers.progress(3, 20)
                    await asyncio.to_thread(outsider.read, len(outsider.first) + 20)
                    reactors.signal(signal.SIGKILL)
                    assert await reactors.ended() == -signal.SIGKILL
                    reactors = stage.reactors()
                await writers.progress(3, 20)
                await writers.finish()
            expected = await admitted(platform)
            await asyncio.to_thread(outsider.read, len(expected))
            compare(outsider, expected)
