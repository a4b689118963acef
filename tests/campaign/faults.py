"""The faults, each as a function of the system under load: what is done, and what must be waited for before its end.

All of them leave the system whole again. `calm` is what the load needs to show that it goes on.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.campaign.brokers import DISK
from tests.campaign.network import NODES
from tests.campaign.system import System

Fault = Callable[[System], Awaitable[None]]
CALM = 4.0
"""Seconds of load between a fault and the next."""


@dataclass(frozen=True)
class Scenario:
    """A fault by name. `limit` is the longest time in seconds without an acknowledgement in any partition, if bounded.

    `needs` is a namespace of the network, or a small disk, where the fault needs one.
    """

    what: str
    fault: Fault
    limit: float | None = None
    network: bool = False
    small_disk: bool = False


async def leader_killed(system: System) -> None:
    """kill -9 of the broker that leads a partition, four times, each time started again."""
    for number in range(4):
        node = await asyncio.to_thread(system.brokers.leader, system.topic, number)
        await asyncio.to_thread(system.brokers.kill, node)
        system.note(f"kill -9 of broker {node}, the leader of partition {number}")
        await asyncio.sleep(CALM)
        await _back(system, node)
        await asyncio.sleep(CALM)


async def _back(system: System, *nodes: int) -> None:
    await asyncio.to_thread(system.brokers.begin, *nodes)
    await system.brokers.whole()
    system.note(f"broker {', '.join(map(str, nodes))} is back and in sync")


async def all_killed(system: System) -> None:
    """kill -9 of all three brokers at once, twice."""
    for _ in range(2):
        await asyncio.to_thread(system.brokers.kill, *NODES)
        system.note("kill -9 of all brokers")
        await asyncio.sleep(2.0)
        await _back(system, *NODES)
        await system.ready()
        await asyncio.sleep(CALM)


async def two_frozen(system: System) -> None:
    """SIGSTOP of two brokers for 45 s: no second replica, no quorum of controllers."""
    system.brokers.freeze(1, 2)
    system.note("SIGSTOP of brokers 1 and 2")
    await asyncio.sleep(45.0)
    system.brokers.thaw(1, 2)
    system.note("SIGCONT")
    await system.brokers.whole()
    system.note("all replicas are in sync")
    await system.ready()


async def cut_off(system: System) -> None:
    """One broker cannot send to the others, and its clients still reach it: what it acknowledges it must not."""
    assert system.brokers.network is not None
    for node in (1, 3):
        system.brokers.network.cut(node, *system.brokers.network.others(node))
        system.note(f"broker {node} is cut off from the others")
        await asyncio.sleep(20.0)
        system.brokers.network.heal(node)
        system.note("healed")
        await system.brokers.whole()
        await system.ready()
        await asyncio.sleep(CALM)


async def black_hole(system: System) -> None:
    """A broker whose answers to its clients vanish, without any connection being closed."""
    network = system.brokers.network
    assert network is not None
    for node in (2, 3):
        network.cut(node, network.host)
        system.note(f"what broker {node} sends to its clients vanishes")
        await asyncio.sleep(20.0)
        network.heal(node)
        system.note("healed")
        await system.ready()
        await asyncio.sleep(CALM)


async def acknowledgements_lost(system: System) -> None:
    """Answers of brokers vanish for a second, and then the broker is killed: what was written was not told."""
    network = system.brokers.network
    assert network is not None
    for number in range(3):
        node = await asyncio.to_thread(system.brokers.leader, system.topic, number)
        network.cut(node, network.host)
        await asyncio.sleep(0.7)
        await asyncio.to_thread(system.brokers.kill, node)
        network.heal(node)
        system.note(f"answers of broker {node} lost for 0.7 s, then kill -9")
        await _back(system, node)
        await asyncio.sleep(CALM)


async def storm(system: System) -> None:
    """Every two seconds a processor joins or is killed, for three minutes."""
    until = time.monotonic() + 180.0
    while time.monotonic() < until:
        await asyncio.sleep(2.0)
        if len(system.processors) > 2:
            gone = system.processors.pop(0)
            gone.signal(signal.SIGKILL)
            await gone.ended()
        else:
            system.begin_processor()
    system.note("the storm is over")
    while len(system.processors) < 3:
        system.begin_processor()
    await system.ready()


async def processor_killed(system: System) -> None:
    """kill -9 of a processor, five times, each time another is started."""
    for _ in range(5):
        await system.replace(system.processors, signal.SIGKILL, system.begin_processor)
        system.note("kill -9 of a processor, and another started")
        await system.ready()
        await asyncio.sleep(CALM)


async def processor_frozen(system: System) -> None:
    """A processor is stopped for longer than its session and goes on as a zombie."""
    for number in range(3):
        zombie = system.processors[number]
        zombie.signal(signal.SIGSTOP)
        system.note("SIGSTOP of a processor")
        await asyncio.sleep(7.0)
        zombie.signal(signal.SIGCONT)
        system.note("SIGCONT")
        await asyncio.sleep(CALM)
    await system.ready()


async def api_killed(system: System) -> None:
    """kill -9 of one of the two API processes, five times, each time another is started."""
    for _ in range(5):
        await system.listening(await system.replace(system.apis, signal.SIGKILL, system.begin_api))
        system.note("kill -9 of an API, and another listens")
        await asyncio.sleep(CALM)


async def postgres_killed(system: System) -> None:
    """kill -9 of PostgreSQL and all of its processes during commits, three times."""
    for _ in range(3):
        await asyncio.to_thread(system.postgres.kill)
        system.note("kill -9 of PostgreSQL")
        await asyncio.sleep(1.0)
        await asyncio.to_thread(system.postgres.begin)
        system.note("PostgreSQL answers again")
        await system.ready()
        await asyncio.sleep(CALM)


async def replies_lost(system: System) -> None:
    """PostgreSQL's replies are lost and then its connections are cut: commits were done and nobody was told."""
    for _ in range(8):
        system.proxy.mute = True
        await asyncio.sleep(0.2)
        await system.proxy.cut()
        system.proxy.mute = False
        system.note("replies of PostgreSQL lost for 0.2 s, then all connections cut")
        await asyncio.sleep(CALM)
    await system.ready()


async def redis_frozen(system: System) -> None:
    """Masters of the Redis Cluster are stopped until a replica has taken over, and go on."""
    for number in (1, 2, 3):
        node = system.redis.node(number)
        os.kill(node.pid, signal.SIGSTOP)
        system.note(f"SIGSTOP of Redis node {number}")
        await asyncio.sleep(6.0)
        os.kill(node.pid, signal.SIGCONT)
        system.note("SIGCONT")
        await asyncio.sleep(CALM)


async def redis_lost(system: System) -> None:
    """All of the Redis Cluster is killed and comes back empty."""
    for node in system.redis.nodes:
        system.redis.kill(node.number)
    system.note("kill -9 of every Redis node")
    await asyncio.sleep(CALM)
    for node in system.redis.nodes:
        await asyncio.to_thread(system.redis.begin, node.number)
    system.note("they are back, empty")
    await asyncio.sleep(2 * CALM)


async def offsets_deleted(system: System) -> None:
    """The processors' group is forgotten by Kafka; their stores say where they are."""
    group = system.stage.settings.group
    for process in system.processors:
        process.signal(signal.SIGKILL)
        await process.ended()
    system.processors.clear()
    system.note("kill -9 of all processors")
    await asyncio.sleep(4.0)
    admin = AdminClient({"bootstrap.servers": system.brokers.bootstrap, "log_level": 0})
    with suppress(KafkaException):
        await asyncio.to_thread(admin.delete_consumer_groups([group])[group].result, 20.0)
    found = await asyncio.to_thread(_offsets, admin, group)
    assert not found, f"the group still has offsets: {found}"
    system.note("their group and its offsets deleted")
    for _ in range(3):
        system.begin_processor()
    await system.ready()


def _offsets(admin: AdminClient, group: str) -> list[TopicPartition]:
    asked = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])
    try:
        return list(asked[group].result(20.0).topic_partitions or [])
    except KafkaException:
        return []


async def disk_full(system: System) -> None:
    """The disk of one broker fills up until it ends itself; room is made, and it is started again."""
    directory = system.brokers.broker(1).directory
    ballast = directory / "ballast"
    await asyncio.to_thread(_fill, str(ballast))
    system.note(f"the disk of broker 1 ({DISK >> 20} MiB) is full")
    ended = await asyncio.to_thread(system.brokers.broker(1).child.wait, 60.0)
    system.note("broker 1 has ended itself" if ended else "broker 1 runs on after a minute without room; ended")
    if not ended:
        await asyncio.to_thread(system.brokers.kill, 1)
    await asyncio.sleep(CALM)
    ballast.unlink()
    await _back(system, 1)


def _fill(path: str) -> None:
    with open(path, "wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(1 << 20))


async def rolling_restart(system: System) -> None:
    """Everything is restarted in order, one after the other, as an upgrade does it."""
    for _ in range(3):
        await system.replace(system.processors, signal.SIGTERM, system.begin_processor)
        await system.ready()
        system.note("a processor restarted")
        await asyncio.sleep(2.0)
    for _ in range(2):
        await system.listening(await system.replace(system.apis, signal.SIGTERM, system.begin_api))
        system.note("an API restarted")
        await asyncio.sleep(1.0)
    for node in NODES:
        await asyncio.to_thread(system.brokers.stop, node)
        system.note(f"broker {node} ended in order")
        await _back(system, node)
        await asyncio.sleep(2.0)
    for one in system.redis.nodes:
        await asyncio.to_thread(one.child.stop, 10.0)
        await asyncio.to_thread(system.redis.begin, one.number)
    system.note("each Redis node restarted, empty")
    await asyncio.to_thread(system.postgres.restart)
    system.note("PostgreSQL restarted in order")
    await system.ready()


SCENARIOS: dict[str, Scenario] = {
    "leader_killed": Scenario("kill -9 of the leader, four times", leader_killed, limit=10.0),
    "all_killed": Scenario("kill -9 of all three brokers at once, twice", all_killed),
    "two_frozen": Scenario("SIGSTOP of two brokers for 45 s", two_frozen),
    "cut_off": Scenario("one broker cut off from the others for 20 s, twice", cut_off, network=True),
    "black_hole": Scenario("a broker's answers vanish for 20 s, twice", black_hole, network=True),
    "acknowledgements_lost": Scenario(
        "acknowledgements lost, then kill -9, three times", acknowledgements_lost, network=True
    ),
    "storm": Scenario("a processor joins or is killed every 2 s for 3 minutes", storm),
    "processor_killed": Scenario("kill -9 of a processor, five times", processor_killed, limit=4.0),
    "processor_frozen": Scenario("a processor stopped for 7 s, three times", processor_frozen),
    "api_killed": Scenario("kill -9 of an API process, five times", api_killed, limit=1.0),
    "postgres_killed": Scenario("kill -9 of PostgreSQL, three times", postgres_killed),
    "replies_lost": Scenario("PostgreSQL's replies lost, connections cut, eight times", replies_lost),
    "redis_frozen": Scenario("Redis masters stopped for 6 s, one after the other", redis_frozen, limit=1.0),
    "redis_lost": Scenario("all of Redis killed, back empty", redis_lost, limit=1.0),
    "offsets_deleted": Scenario("the group's offsets deleted", offsets_deleted),
    "disk_full": Scenario("the disk of one broker is full", disk_full, small_disk=True),
    "rolling_restart": Scenario("a rolling restart of everything", rolling_restart),
}
