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

from tests.campaign.bounds import Rule, appends, hot_reads, restarts
from tests.campaign.brokers import DISK
from tests.campaign.group import Group
from tests.campaign.network import NODES
from tests.campaign.system import PARTITIONS, PROCESSORS, System

Fault = Callable[[System], Awaitable[None]]
CALM = 4.0
"""Seconds of load between a fault and the next."""

POSTGRES_KILLED, POSTGRES_BACK = "kill -9 of PostgreSQL", "PostgreSQL answers again"


@dataclass(frozen=True)
class Scenario:
    """A fault by name, and the rules that its times are measured against.

    `network` and `small_disk` say that it needs a namespace a broker, or such a disk.
    """

    what: str
    fault: Fault
    rules: tuple[Rule, ...] = ()
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
        system.note(POSTGRES_KILLED)
        await asyncio.to_thread(system.postgres.kill)
        await asyncio.sleep(1.0)
        await asyncio.to_thread(system.postgres.begin)
        system.note(POSTGRES_BACK)
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
    await _from_redis(system)
    for number in (1, 2, 3):
        node = system.redis.node(number)
        os.kill(node.pid, signal.SIGSTOP)
        system.note(f"SIGSTOP of Redis node {number}")
        await asyncio.sleep(6.0)
        os.kill(node.pid, signal.SIGCONT)
        system.note("SIGCONT")
        await asyncio.sleep(CALM)
        await _from_redis(system)


async def _from_redis(system: System) -> None:
    await system.hot()
    system.note("Redis answers for every stream")


async def redis_lost(system: System) -> None:
    """All of the Redis Cluster is killed and comes back empty."""
    await _from_redis(system)
    for node in system.redis.nodes:
        system.redis.kill(node.number)
    system.note("kill -9 of every Redis node")
    await asyncio.sleep(CALM)
    for node in system.redis.nodes:
        await asyncio.to_thread(system.redis.begin, node.number)
    system.note("they are back, empty")
    await asyncio.sleep(2 * CALM)
    await _from_redis(system)


async def offsets_deleted(system: System) -> None:
    """Kafka has wrong offsets of the processors' group, and then forgets it; their stores say where they are.

    Processors commit none, so the campaign does it in their stead: each partition's end, beyond what was applied.
    """
    group = Group(system.brokers.bootstrap, system.stage.settings.group)
    await _without_processors(system)
    await asyncio.to_thread(group.commit_ends, system.topic, PARTITIONS)
    await _check_offsets(group, PARTITIONS)
    system.note("offsets committed for their group, each at the end of its partition")
    await _with_processors(system)
    await asyncio.sleep(CALM)
    await _without_processors(system)
    await _check_offsets(group, PARTITIONS)
    await asyncio.to_thread(group.delete)
    await _check_offsets(group, 0)
    system.note(f"their group deleted with its {PARTITIONS} offsets")
    await _with_processors(system)


async def _check_offsets(group: Group, count: int) -> None:
    """The fault is one only if there are offsets to be wrong, and to be deleted."""
    found = await asyncio.to_thread(group.offsets)
    assert len(found) == count, f"the group has the offsets {found}"


async def _without_processors(system: System) -> None:
    for process in system.processors:
        process.signal(signal.SIGKILL)
        await process.ended()
    system.processors.clear()
    system.note("kill -9 of all processors")


async def _with_processors(system: System) -> None:
    for _ in range(PROCESSORS):
        system.begin_processor()
    await system.ready()
    await system.applied()
    system.note("new processors own all partitions, and have applied what there is")


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
    "leader_killed": Scenario("kill -9 of the leader, four times", leader_killed, (appends(10.0),)),
    "all_killed": Scenario("kill -9 of all three brokers at once, twice", all_killed),
    "two_frozen": Scenario("SIGSTOP of two brokers for 45 s", two_frozen),
    "cut_off": Scenario("one broker cut off from the others for 20 s, twice", cut_off, network=True),
    "black_hole": Scenario("a broker's answers vanish for 20 s, twice", black_hole, network=True),
    "acknowledgements_lost": Scenario(
        "acknowledgements lost, then kill -9, three times", acknowledgements_lost, network=True
    ),
    "storm": Scenario("a processor joins or is killed every 2 s for 3 minutes", storm),
    "processor_killed": Scenario("kill -9 of a processor, five times", processor_killed, (appends(4.0),)),
    "processor_frozen": Scenario("a processor stopped for 7 s, three times", processor_frozen),
    "api_killed": Scenario("kill -9 of an API process, five times", api_killed, (appends(1.0),)),
    "postgres_killed": Scenario(
        "kill -9 of PostgreSQL, three times", postgres_killed, (restarts(POSTGRES_KILLED, POSTGRES_BACK, 3.0),)
    ),
    "replies_lost": Scenario("PostgreSQL's replies lost, connections cut, eight times", replies_lost),
    "redis_frozen": Scenario(
        "Redis masters stopped for 6 s, one after the other", redis_frozen, (appends(1.0), hot_reads(1.0))
    ),
    "redis_lost": Scenario("all of Redis killed, back empty", redis_lost, (appends(1.0), hot_reads(1.0))),
    "offsets_deleted": Scenario("the group's offsets wrong, and then deleted", offsets_deleted),
    "disk_full": Scenario("the disk of one broker is full", disk_full, small_disk=True),
    "rolling_restart": Scenario("a rolling restart of everything", rolling_restart),
}
