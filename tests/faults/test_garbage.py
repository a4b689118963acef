"""(g) A foreign producer writes what is no append (dead-lettered), and appends that nobody can decode (parked)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import partial
from typing import Any

import httpx
import pytest
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from structlog.testing import capture_logs

from bridge.builtin import BUILT_IN
from bridge.errors import NotFound, Parked, Unavailable, Unknown
from bridge.events import Envelope
from bridge.handle import Context
from bridge.history.events import Range
from bridge.log import kafka
from bridge.log.avro import CategorySchema, encode
from bridge.log.compose import Schema, canonical
from bridge.log.envelope import zigzag
from bridge.log.ids import append_id
from bridge.log.record import headers_of
from bridge.wiring import Platform, open_platform
from streams.dead_letters import DeadLetters
from streams.main import place, topics
from tests.faults.conftest import Report
from tests.faults.harness import Stage, eventually, owned, playing, soon
from tests.faults.journal import Outcome, Request
from tests.faults.writers import at, commit, writing

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

Headers = list[tuple[str, str | bytes | None]]
KEY = b"project/garbage"
SOUND: Headers = headers_of(b"a" * 16, None, 1, b"r" * 16)
VALUE = b"\0\0\0\0\1body"


def but(name: str, value: bytes | None) -> Headers:
    """Sound headers with one changed, or without it."""
    others = [header for header in SOUND if header[0] != name]
    return others if value is None else [*others, (name, value)]


GARBAGE: dict[str, tuple[bytes | None, bytes | None, Headers]] = {
    "header lh_format is None": (KEY, VALUE, []),
    "header lh_format is b'2'": (KEY, VALUE, but("lh_format", b"2")),
    "header lh_append is not 16 bytes": (KEY, VALUE, but("lh_append", b"short")),
    "header lh_request is not 16 bytes": (KEY, VALUE, but("lh_request", None)),
    "header lh_expected is b'07'": (KEY, VALUE, but("lh_expected", b"07")),
    "header lh_expected is b'some'": (KEY, VALUE, but("lh_expected", b"some")),
    "header lh_expected is b'-1'": (KEY, VALUE, but("lh_expected", b"-1")),
    "header lh_count is b'0'": (KEY, VALUE, but("lh_count", b"0")),
    "header lh_count is b'1001'": (KEY, VALUE, but("lh_count", b"1001")),
    "header lh_count is b'many'": (KEY, VALUE, but("lh_count", b"many")),
    "a header of this format stands twice": (KEY, VALUE, [*SOUND, ("lh_count", b"1")]),
    "magic byte is 7": (KEY, b"\7\0\0\0\1body", SOUND),
    "too short for the Confluent wire format": (KEY, b"\0\0\0", SOUND),
    "the value is too short": (KEY, None, SOUND),
    "the value has 4194305 bytes": (KEY, bytes(4194305), SOUND),
    "the record has no key": (None, VALUE, SOUND),
    "is not a stream's name": (b"project/a b", VALUE, SOUND),
    "b'\\xff' is not a stream's name": (b"\xff", VALUE, SOUND),
    "pppppp' is not a stream's name": (b"project/" + b"p" * 248, VALUE, SOUND),
    "does not belong to category project": (b"account/one", VALUE, SOUND),
    "belongs to partition": (KEY, VALUE, SOUND),
    "a tick has no key": (KEY, b"", [("lh_tick", b"1")]),
    "a tick has no key, no value": (None, b"", [("lh_tick", b"1"), ("lh_count", b"1")]),
}
"""By a part of the reason that is to be told."""


class Foreigner:
    """A producer that knows nothing of the platform."""

    def __init__(self, stage: Stage) -> None:
        self._topic = f"{stage.settings.topic_prefix}.project"
        self._kafka = Producer({"bootstrap.servers": stage.settings.kafka_bootstrap, "message.max.bytes": 8 << 20})
        self._offsets: list[int] = []

    def write(self, partition: int, key: bytes | None, value: bytes | None, headers: Headers) -> int:
        """Writes a record; answers its offset."""
        self._kafka.produce(
            self._topic,
            value,
            key,
            partition,
            self._written,
            headers=headers,
        )
        assert self._kafka.flush(20) == 0
        return self._offsets[-1]

    def flood(self, partition: int, count: int) -> set[str]:
        """Writes so many records whose keys are numbers; answers the keys that their dead letters must have."""
        before = len(self._offsets)
        for number in range(count):
            self._kafka.produce(self._topic, b"garbage", b"%d" % number, partition, self._written)
            self._kafka.poll(0)
        assert self._kafka.flush(20) == 0
        return {f"{self._topic}/{partition}/{offset}" for offset in self._offsets[before:]}

    def _written(self, error: KafkaError | None, message: Message) -> None:
        self._offsets.append(-1 if error else message.offset() or 0)


def dead_letters(stage: Stage, wanted: int) -> Iterator[tuple[str, str]]:
    """(key, reason) of so many dead letters, as they come; fails after twenty seconds."""
    topic = f"{stage.settings.topic_prefix}.dead-letters"
    config = {"bootstrap.servers": stage.settings.kafka_bootstrap, "group.id": "test", "enable.auto.commit": False}
    with closing(Consumer(config)) as consumer:
        consumer.assign([TopicPartition(topic, 0, 0)])
        for _ in range(wanted):
            message = consumer.poll(20)
            assert message is not None, "no more dead letters"
            assert message.error() is None, message.error()
            headers: Any = dict(message.headers() or [])
            yield (message.key() or b"").decode(), headers["lh_reason"].decode()


async def test_what_is_no_append_is_dead_lettered_with_its_reason(stage: Stage, report: Report) -> None:
    stage.reactors()
    async with playing(stage, 1) as (platform, checker), writing(platform.handler, checker.journal) as writers:
        await writers.progress(2, 20)
        foreigner, written = Foreigner(stage), {}
        right = platform.spaces.of(KEY.decode()).place.partition
        for reason, (key, value, headers) in GARBAGE.items():
            partition = (right + 1) % 4 if reason == "belongs to partition" else right
            offset = foreigner.write(partition, key, value, headers)
            written[f"{stage.settings.topic_prefix}.project/{partition}/{offset}"] = reason
        await writers.progress(5, 20)
        await writers.finish()
        run = await checker.check()
        letters = dict(dead_letters(stage, len(GARBAGE)))
        assert letters.keys() == written.keys()
        wrong = {reason: letters[key] for key, reason in written.items() if reason not in letters[key]}
        assert not wrong, wrong
        assert isinstance(run["void"], dict)
        assert run["void"]["malformed"] == len(GARBAGE)
        report(run)


async def test_a_dead_letter_reactor_that_may_not_read_says_so(stage: Stage) -> None:
    """Whether it has nothing to do or is given nothing to read, nobody could tell; here Kafka refuses its assignor."""
    stop = asyncio.Event()
    async with open_platform(stage.settings) as platform:
        reactor = DeadLetters(platform.base.topics.dead_letters, partial(place, platform), platform.producer)
        settings = platform.base.settings.model_copy(update={"assignor": "nobody"})
        config = kafka.consumer(settings, f"{settings.group}.dead-letters")
        with capture_logs() as told:
            running = asyncio.create_task(reactor.run(config, topics(platform), stop))
            await eventually(
                lambda: any("assignor" in one.get("error", "") for one in told), 20, "it says what is wrong"
            )
            stop.set()
            await running


FLOOD = 20_000


async def test_a_killed_reactor_misses_no_dead_letter(stage: Stage) -> None:
    """Killed with some of them copied, it copies the others when it is back; a repeat has the same key."""
    async with playing(stage, 1):
        wanted = Foreigner(stage).flood(0, FLOOD)
        first = stage.reactors()
        await eventually(lambda: letters_written(stage) > 0, 30, "a first dead letter")
        first.kill()
        copied = letters_written(stage)
        assert 0 < copied < FLOOD, "the reactor was to be killed at work"
        stage.reactors()
        found: set[str] = set()
        for key, reason in dead_letters(stage, 2 * FLOOD):  # each is copied twice at most
            assert "is not a stream's name" in reason
            found.add(key)
            if found == wanted:
                break
        assert found == wanted


def letters_written(stage: Stage) -> int:
    """How many records the dead-letter topic has."""
    with closing(Consumer({"bootstrap.servers": stage.settings.kafka_bootstrap, "group.id": "test"})) as consumer:
        topic = TopicPartition(f"{stage.settings.topic_prefix}.dead-letters", 0)
        return int(consumer.get_watermark_offsets(topic, timeout=10)[1])


def value_of(schema: CategorySchema, texts: list[str]) -> bytes:
    """An append's value by this schema."""
    branch = schema.by_type["CommitRecorded"]
    return encode(schema, Envelope("foreigner", 1), [(branch, commit(text).data) for text in texts])


async def is_parked(platform: Platform, stream: str) -> bool:
    """Whether the stream exists and is parked."""
    async with platform.spaces.of(stream).store.view() as view:
        return b"k" + bytes((len(stream),)) + stream.encode() in dict(await view.scan(b"k"))


async def test_what_nobody_can_decode_parks_its_stream_alone(stage: Stage, report: Report) -> None:
    async with playing(stage, 1) as (platform, checker), writing(platform.handler, checker.journal) as writers:
        await writers.progress(2, 20)
        schemas, foreigner = platform.base.schemas, Foreigner(stage)
        schema = await schemas.writer("project")
        sound = value_of(schema, ["one", "two"])
        bad = {"cut": (sound[:-9], 2), "behind": (sound + b"x", 2), "count": (sound, 3)}
        bad["branch"] = (_no_branch(schema), 1)
        for name, (value, count) in bad.items():
            stream = f"project/{name}"
            foreign(foreigner, platform, stream, value, count)
            await soon(partial(is_parked, platform, stream), 10, f"{stream} is parked")
            with pytest.raises(Parked):
                await platform.history.state(stream)
            info = await platform.history.info(stream)
            assert (info.head.next, info.head.parked) == (count, True)
        await writers.progress(5, 20)
        await writers.finish()
        lost = {f"project/{name}/{version}" for name, (_, count) in bad.items() for version in range(count)}
        for projection in BUILT_IN:
            assert await skip_all(platform, projection.name) == lost
        row = await platform.projections.row("streams", "project/w0")
        assert row.value.head == (await platform.history.info("project/w0")).head.next
        report(await checker.check())


async def skip_all(platform: Platform, name: str) -> set[str]:
    """Skips the events at which a projection stands still, until it does not any more; answers them by their places."""
    skipped: set[str] = set()

    async def live() -> bool:
        (build,) = (await platform.projections.status(name)).builds
        for parked in [one.progress.parked for one in build.partitions if one.progress.parked is not None]:
            assert parked.unread
            with suppress(NotFound, Unavailable, Unknown):  # it has got on since it was asked; or is asked again
                await platform.steering.skip(name, parked.event, Context("ann"))
            skipped.add(f"{parked.stream}/{parked.version}")
        return build.live

    await soon(live, 30, f"{name} is live")
    return skipped


def _no_branch(schema: CategorySchema) -> bytes:
    value = value_of(schema, ["x"])
    branch = schema.by_type["CommitRecorded"]
    mark = zigzag(1) + zigzag(branch.index)
    assert value.count(mark) >= 1
    head, _, tail = value.rpartition(mark)
    return head + zigzag(1) + zigzag(60) + tail


def foreign(foreigner: Foreigner, platform: Platform, stream: str, value: bytes, count: int, key: str = "k") -> int:
    """Writes a well-formed append with this value; answers its offset."""
    headers = headers_of(append_id(stream, "foreigner", key), None, count, b"r" * 16)
    return foreigner.write(platform.spaces.of(stream).place.partition, stream.encode(), value, headers)


def with_another_type(schema: Schema, name: str) -> Schema:
    """The category's schema with one event type more, which no other test registers."""
    coming: Schema = json.loads(canonical(schema))
    field = {"name": "text", "type": "string", "doc": f"Comes late in {name}."}
    added = {"type": "record", "name": "CameLate", "namespace": "lighthouse.project", "version": 1, "fields": [field]}
    coming["fields"][-1]["type"]["items"].append(added)
    return coming


def register(url: str, subject: str, schema: object) -> int:
    """Registers a schema as any tool does; answers its id."""
    answer = httpx.post(f"{url}/subjects/{subject}/versions", json={"schema": json.dumps(schema)}, trust_env=False)
    answer.raise_for_status()
    return int(answer.json()["id"])


async def test_a_stream_parked_for_its_schema_goes_on_when_the_schema_arrives(stage: Stage, report: Report) -> None:
    """The id that a schema will get is found out by registering another one right before: ids are given in order."""
    async with playing(stage, 1) as (platform, checker), writing(platform.handler, checker.journal) as writers:
        await writers.progress(2, 20)
        url, name = stage.settings.registry_url, stage.settings.topic_prefix
        coming = with_another_type(platform.base.schemas.local("project"), name)
        last = register(url, f"{name}-other", {"type": "record", "name": name.replace("-", "_"), "fields": []})
        late = last + 1
        stream, foreigner = at(platform.handler, 0, "late"), Foreigner(stage)
        value = value_of(CategorySchema(late, coming), ["first", "second"])
        foreign(foreigner, platform, stream, value, 2)
        await soon(lambda: is_parked(platform, stream), 10, "the stream is parked")
        checker.journal.fault("an unknown schema parks a stream")
        foreign(foreigner, platform, stream, value_of(await platform.base.schemas.writer("project"), ["third"]), 1, "l")
        await writers.progress(5, 20)
        assert (await platform.history.info(stream)).head.parked
        assert register(url, f"{name}.project-value", json.loads(canonical(coming))) == late
        checker.journal.fault("the schema arrives")
        await soon(lambda: _free(platform, stream), 10, "the stream is unparked")
        page = await platform.history.events(stream, Range(0, 10))
        assert [event.data["message"] for event in page.events] == ["first", "second", "third"]
        assert (await platform.history.state(stream)).state.commit == commit("third").data["sha"]
        await writers.finish()
        report(await checker.check())


async def _free(platform: Platform, stream: str) -> bool:
    return not (await platform.history.info(stream)).head.parked


def transact(stage: Stage, partition: int) -> None:
    """Writes garbage in a transaction that commits, and in one that aborts; their markers occupy offsets."""
    config = {"bootstrap.servers": stage.settings.kafka_bootstrap, "transactional.id": "foreigner"}
    producer = Producer(config)
    producer.init_transactions(20)
    for end in (producer.commit_transaction, producer.abort_transaction):
        producer.begin_transaction()
        producer.produce(f"{stage.settings.topic_prefix}.project", b"garbage", b"garbage", partition)
        producer.flush(20)
        end(20)


async def test_a_foreign_transaction_stops_nobody(stage: Stage, report: Report) -> None:
    async with playing(stage, 1) as (platform, checker):
        async with writing(platform.handler, checker.journal) as writers:
            await writers.progress(2, 20)
            for partition in range(4):
                await asyncio.to_thread(transact, stage, partition)
                checker.journal.fault("a foreign transaction")
            await writers.progress(5, 20)
        for partition in range(4):
            await asyncio.to_thread(transact, stage, partition)
        early = Request(at(platform.handler, 0, "early"), 7, "early", [commit("early")])
        answer = await checker.journal.ask(platform.handler, early)
        assert answer.outcome is Outcome.CONFLICT, answer
        stage.end()
        fresh = stage.processor()
        await owned(platform)
        async with writing(platform.handler, checker.journal) as writers:
            await writers.progress(2, 20)
        assert "partition stopped" not in fresh.output
        report(await checker.check())
