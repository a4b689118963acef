"""kill -9 halfway through the topic: how long until a new process goes on, and whether its state is right at the end.

The clock runs from the start of the new process, which is started at once, to its first event: with ours to the commit
of it, with the peers until it is processed. All of them wait for the group session of the killed one, which is 3 s with
ours (a broker's setting that the platform makes) and 6 s with the peers, the least that a broker lets a classic group
have by default. The peers keep their state's directory, as ours does.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from dataclasses import dataclass, field
from statistics import median

from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from benchmarks.figure import Extra, Measured
from benchmarks.peer_projection import peers
from benchmarks.peers.meters import CATEGORY
from benchmarks.peers.running import Peer
from benchmarks.peers.skewed import Skewed, rows, skewed, wrong
from benchmarks.scene import Scene, end, until
from benchmarks.servers import Servers
from bridge.log import kafka
from bridge.spaces import Spaces

KILLS = 10
SLOW_KILLS = 2
PEER_KILLS = 2
"""Of each peer, and of ours with the peers' session."""

SESSION = 6.0
FAUST_EVENTS = 60_000
"""The beginning of the same events: Faust would take minutes for each kill with all of them."""

PATIENCE = 120.0


@dataclass
class Kills:
    """Of one platform: seconds until it went on, and keys with a wrong state, for each kill."""

    seconds: list[float] = field(default_factory=list)
    wrong: list[int] = field(default_factory=list)

    def add(self, seconds: float, wrong_keys: int) -> None:
        """One kill."""
        self.seconds.append(seconds)
        self.wrong.append(wrong_keys)

    @property
    def shown(self) -> str:
        """The seconds of each."""
        return " ".join(f"{each:.2f}" for each in self.seconds)


async def peer_recovery(servers: Servers) -> Measured:
    """The value is the slowest of ten kills; so is the baseline, of the peers whose state was right, if one's was."""
    topic = await skewed(servers, "peer-recovery")
    short = await skewed(servers, "peer-recovery-faust", FAUST_EVENTS)
    theirs = {"quix": Kills(), "faust": Kills()}
    for name, read in (("quix", topic), ("faust", short)):
        for _ in range(PEER_KILLS):
            theirs[name].add(*await _theirs(read, name))
    ours, slow = Kills(), Kills()
    for number in range(KILLS):
        ours.add(*await _ours(topic, str(number)))
    for number in range(SLOW_KILLS):
        slow.add(*await _ours(topic, f"slow-{number}", SESSION))
    extra: Extra = {
        "kills": KILLS,
        "median_s": round(median(ours.seconds), 2),
        "wrong": sum(ours.wrong + slow.wrong),
        "session_s": topic.scene.settings.session,
        "at_peers_session_s": slow.shown,
    }
    for name, found in theirs.items():
        extra |= {f"{name}_s": found.shown, f"{name}_wrong": max(found.wrong)}
    extra |= {"peers_session_s": SESSION, "faust_events": FAUST_EVENTS, "versions": peers()}
    right = [found for found in theirs.values() if not any(found.wrong)] or list(theirs.values())
    return Measured(max(ours.seconds), min(max(found.seconds) for found in right), extra)


async def _ours(topic: Skewed, name: str, session: float | None = None) -> tuple[float, int]:
    scene = topic.scene.anew(name)
    if session is not None:
        await asyncio.to_thread(_set_session, scene, session)
    async with scene.spaces(CATEGORY) as spaces:
        before = await _killed(scene, spaces, topic)
        began = time.perf_counter()
        with scene.process("streams", "--role", "processor") as second:

            async def reached(count: int) -> bool:
                return await topic.applied(spaces) >= count

            await until(lambda: reached(before + 1), "the first event after the kill", [second], every=0.005)
            seconds = time.perf_counter() - began
            await until(lambda: reached(topic.events), "the last event", [second], PATIENCE)
        found = seconds, wrong(await rows(spaces), topic.truth)
    shutil.rmtree(scene.settings.history_store.removeprefix("lmdb://"))
    return found


async def _killed(scene: Scene, spaces: Spaces, topic: Skewed) -> int:
    """Kills a processor that has applied half of the events; answers how many it had at last."""
    first = scene.start_processor()
    try:

        async def enough() -> bool:
            return await topic.applied(spaces) >= topic.events // 2

        await until(enough, "half of the events", [first], PATIENCE, every=0.005)
        first.kill()
        first.wait()
    finally:
        end(first)
    return await topic.applied(spaces)


def _set_session(scene: Scene, session: float) -> None:
    """For the scene's group alone, on the broker."""
    entry = ConfigEntry(
        "consumer.session.timeout.ms", str(round(session * 1000)), incremental_operation=AlterConfigOpType.SET
    )
    group = ConfigResource(ResourceType.GROUP, scene.settings.group, incremental_configs=[entry])
    admin = AdminClient(kafka.admin(scene.settings))  # kept until it has answered
    for done in admin.incremental_alter_configs([group]).values():
        done.result(PATIENCE)


async def _theirs(topic: Skewed, name: str) -> tuple[float, int]:
    peer = Peer(name, topic, SESSION)
    with peer.running() as first:
        await peer.seen(topic.events // 2, PATIENCE)
        first.kill()
        first.wait()
    began = time.time()
    with peer.running():
        seconds = await peer.begun() - began
        return seconds, wrong(await peer.state(PATIENCE), topic.truth)
