"""(d) A broker that does not answer a processor: the partitions that it leads wait, and no other one does."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from bridge.errors import Unavailable
from bridge.local import LocalKafka, start_kafka
from bridge.local.ports import HOST, pick
from bridge.settings import Settings
from bridge.spaces import Space
from bridge.wiring import Platform, open_base
from tests.checker import CATEGORY, Checker
from tests.faults.conftest import Report
from tests.faults.harness import CACHE, Stage, eventually, owned, soon, spaces, staged
from tests.faults.journal import Journal, Outcome, Request
from tests.faults.test_lost_acknowledgements import advertise
from tests.faults.test_stopped_processors import partitions_of
from tests.faults.writers import at, commit
from tests.tcp_proxy import TcpProxy

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]

LED = [1, 1, 2, 2]
"""Who leads each partition of the category; all other partitions are led by the first broker."""

OFFSETS = "__consumer_offsets"

LONG = 15.0
"""Seconds without an answer: longer than any one request waits for one."""


@dataclass(frozen=True)
class Two:
    """Two brokers; processors that ask at `through` reach the second one by the proxy."""

    kafka: LocalKafka
    proxy: TcpProxy
    through: str


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[Two]:
    """Two brokers of this test's own."""
    first, second, outside = pick(3)
    home = Settings(home=tmp_path / "two", cache=CACHE, kafka_port=0, brokers=2, kafka_bootstrap="")
    kafka = await asyncio.to_thread(start_kafka, home)
    try:
        await asyncio.to_thread(advertise, kafka, first, first, 1)
        await asyncio.to_thread(advertise, kafka, second, outside, 2)
        async with TcpProxy(HOST, second).listening(outside) as proxy:
            yield Two(kafka, proxy, f"{HOST}:{first}")
    finally:
        await asyncio.to_thread(kafka.stop)


@pytest.fixture
async def stage_of_two(two: Two, settings: Settings, tmp_path: Path) -> AsyncIterator[Stage]:
    """A stage on them, with a group whose coordinator is the first broker."""
    group = await coordinated(two.kafka.bootstrap, settings.group)
    changes = {"kafka_bootstrap": two.kafka.bootstrap, "group": group, "partitions": len(LED), "replication": 1}
    changed = settings.model_copy(update=changes)
    await make_topics(changed)
    async with staged(changed, tmp_path) as stage:
        yield stage


async def coordinated(bootstrap: str, name: str) -> str:
    """A group's name that begins with this one, and whose place among the offsets the first broker leads."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": name})
    await soon(partial(asyncio.to_thread, are_there, consumer), 60, "both brokers are there")
    # the first who asks lets Kafka make their topic
    await soon(partial(asyncio.to_thread, knows_groups, consumer), 60, "the brokers know who coordinates groups")
    known = (await asyncio.to_thread(consumer.list_topics, OFFSETS, 10)).topics[OFFSETS].partitions
    await asyncio.to_thread(consumer.close)
    assert {one.leader for one in known.values()} == {1, 2}
    names = (f"{name}-{number}" for number in count())
    return next(one for one in names if known[java_hash(one) % len(known)].leader == 1)


def are_there(consumer: Consumer) -> bool:
    return len(consumer.list_topics(timeout=10).brokers) == 2


def knows_groups(consumer: Consumer) -> bool:
    try:
        consumer.committed([TopicPartition("none", 0)], timeout=10)
    except KafkaException as error:
        if error.args[0].code() in (KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_NOT_AVAILABLE):
            return False
        raise
    return True


def java_hash(text: str) -> int:
    """As a broker finds a group's place."""
    found = 0
    for letter in text.encode():
        found = (31 * found + letter) & 0xFFFFFFFF
    return found if found < 1 << 31 else (1 << 32) - found


async def make_topics(settings: Settings) -> None:
    """The categories' topics, each partition on the broker that is to lead it."""
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap})
    async with open_base(settings) as base:
        specs = await base.topics.specs(base.catalog.categories)
        raw = base.topics.name(CATEGORY)
    places = {spec.name: LED if spec.name == raw else [1] * spec.partitions for spec in specs}
    topics = [
        NewTopic(
            spec.name,
            spec.partitions,
            replica_assignment=[[one] for one in places[spec.name]],
            config=dict(spec.config),
        )
        for spec in specs
    ]
    for made in admin.create_topics(topics).values():
        await asyncio.wrap_future(made)


async def test_a_broker_that_does_not_answer_holds_up_no_other_partition(
    stage_of_two: Stage, two: Two, report: Report
) -> None:
    """Of two processors one leaves while the broker is silent: the other is given all, and can open half of them."""
    stage = stage_of_two
    both = [stage.processor(kafka_bootstrap=two.through) for _ in range(2)]
    async with stage.platform() as platform:
        checker = Checker(platform, Journal())
        await owned(platform)
        for number in range(len(LED)):
            assert await written(platform, checker.journal, number, "before")
        await eventually(lambda: shared(*map(partitions_of, both)), 30, "both have partitions")
        leaving, staying = sorted(both, key=lambda one: max(partitions_of(one)), reverse=True)
        two.proxy.mute = True
        checker.journal.fault("broker 2 does not answer processors")
        leaving.signal(signal.SIGTERM)
        await leaving.ended()
        well = [space for space in spaces(platform) if LED[space.place.partition] == 1]
        for number in range(len(well)):
            await soon(partial(written, platform, checker.journal, number), 60, "broker 1's partitions have an owner")
        oldest = await goes_on(platform, checker.journal, well, lambda: "partition not opened" in staying.output)
        assert oldest < stage.settings.session
        two.proxy.mute = False
        await two.proxy.cut()
        checker.journal.fault("it answers again")
        await owned(platform, 60)
        for number in range(len(LED)):
            assert await written(platform, checker.journal, number, "behind")
        report(await checker.check() | {"oldest beat": oldest})


async def test_a_leader_that_does_not_answer_tells_no_end(stage_of_two: Stage, two: Two) -> None:
    """The client's answer is then an offset that is none, and no error; asked anew, it may be one."""
    settings = stage_of_two.settings.model_copy(update={"kafka_bootstrap": two.through})
    async with open_base(settings) as base:
        topic = base.topics.name(CATEGORY)
        assert [await base.topics.ends(topic, number) for number in range(len(LED))] == [(0, 0)] * len(LED)
        two.proxy.mute = True
        for _ in range(3):
            assert await base.topics.ends(topic, 0) == (0, 0)
            with pytest.raises(Unavailable):
                await base.topics.ends(topic, 3)


def shared(some: list[int], others: list[int]) -> bool:
    return bool(some) and bool(others) and sorted(some + others) == list(range(len(LED)))


async def age(space: Space) -> float:
    async with space.store.view() as view:
        return view.beat_age


async def written(platform: Platform, journal: Journal, number: int, what: str = "early") -> bool:
    """Whether an append in this partition is acknowledged, now or when it was asked for before."""
    stream = at(platform.handler, number, what)
    answer = await journal.ask(platform.handler, Request(stream, None, f"{stream} {what}", [commit(what)]))
    return answer.outcome is Outcome.ACKNOWLEDGED


async def goes_on(platform: Platform, journal: Journal, found: list[Space], failed: Callable[[], bool]) -> float:
    """Appends to them, all acknowledged, for a long time and until others have `failed`; answers the oldest beat's age.

    When the silent broker's partitions are given away is the group's matter.
    """
    oldest, began = 0.0, time.monotonic()
    for number in count():
        for partition in range(len(found)):
            assert await written(platform, journal, partition, f"meanwhile-{number}")
        oldest = max([oldest, *[await age(space) for space in found]])
        lasted = time.monotonic() - began
        if lasted > LONG and failed():
            return oldest
        assert lasted < 60, "the silent broker's partitions were never tried"
        await asyncio.sleep(0.05)
    raise AssertionError
