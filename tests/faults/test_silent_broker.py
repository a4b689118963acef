"""(d) A broker that does not answer a processor: the partitions that it leads wait, and no other one does."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

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
    group = await asyncio.to_thread(coordinated, two.kafka.bootstrap, settings.group)
    changes = {"kafka_bootstrap": two.kafka.bootstrap, "group": group, "partitions": len(LED), "replication": 1}
    changed = settings.model_copy(update=changes)
    await make_topics(changed)
    async with staged(changed, tmp_path) as stage:
        yield stage


def coordinated(bootstrap: str, name: str) -> str:
    """A group's name that begins with this one, and whose place among the offsets the first broker leads."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": name})
    consumer.committed([TopicPartition("none", 0)], timeout=30)  # the first who asks lets Kafka make their topic
    known = consumer.list_topics("__consumer_offsets", timeout=10).topics["__consumer_offsets"].partitions
    consumer.close()
    assert {one.leader for one in known.values()} == {1, 2}
    names = (f"{name}-{number}" for number in count())
    return next(one for one in names if known[java_hash(one) % len(known)].leader == 1)


def java_hash(text: str) -> int:
    """As a broker finds a group's place."""
    found = 0
    for letter in text.encode():
        found = (31 * found + letter) & 0xFFFFFFFF
    return found & 0x7FFFFFFF


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
        await eventually(lambda: sorted(partitions_of(both[0]) + partitions_of(both[1])) == [0, 1, 2, 3], 30, "shared")
        leaving, staying = sorted(both, key=lambda one: max(partitions_of(one)), reverse=True)
        two.proxy.mute = True
        checker.journal.fault("broker 2 does not answer processors")
        leaving.signal(signal.SIGTERM)
        await leaving.ended()
        well = [space for space in spaces(platform) if LED[space.place.partition] == 1]
        for number in range(len(well)):
            await soon(partial(written, platform, checker.journal, number), 60, "broker 1's partitions have an owner")
        oldest = await goes_on(platform, checker.journal, well)
        assert oldest < stage.settings.session
        assert "partition not opened" in staying.output
        two.proxy.mute = False
        await two.proxy.cut()
        checker.journal.fault("it answers again")
        await owned(platform, 60)
        for number in range(len(LED)):
            assert await written(platform, checker.journal, number, "behind")
        report(await checker.check() | {"oldest beat": oldest})


async def age(space: Space) -> float:
    async with space.store.view() as view:
        return view.beat_age


async def written(platform: Platform, journal: Journal, number: int, what: str = "early") -> bool:
    """Whether an append in this partition is acknowledged, now or when it was asked for before."""
    stream = at(platform.handler, number, what)
    answer = await journal.ask(platform.handler, Request(stream, None, f"{stream} {what}", [commit(what)]))
    return answer.outcome is Outcome.ACKNOWLEDGED


async def goes_on(platform: Platform, journal: Journal, found: list[Space]) -> float:
    """Appends to them for a long time, all acknowledged; answers the age of the oldest beat."""
    oldest, until = 0.0, time.monotonic() + LONG
    for number in count():
        for partition in range(len(found)):
            assert await written(platform, journal, partition, f"meanwhile-{number}")
        oldest = max([oldest, *[await age(space) for space in found]])
        if time.monotonic() > until:
            return oldest
        await asyncio.sleep(0.05)
    raise AssertionError
