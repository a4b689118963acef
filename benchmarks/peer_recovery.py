"""kill -9 halfway through the topic: how long until a new process goes on, and whether its state is right at the end.

The clock runs from the start of the new process, which is started at once, to its first event: with ours to the commit
of it, with the peers until it is processed. All of them wait for the group session of the killed one, which is 3 s with
ours (a broker's setting that the platform makes) and 6 s with the peers, the least that a broker lets a classic group
have by default. The peers keep their state's directory, as ours does.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, field
from statistics import median

from benchmarks.figure import Extra, Measured
from benchmarks.peer_projection import VERSIONS
from benchmarks.peers.meters import CATEGORY
from benchmarks.peers.running import Peer
from benchmarks.peers.skewed import Skewed, rows, skewed, wrong
from benchmarks.scene import Scene, applied, end, until
from benchmarks.servers import Servers
from bridge.spaces import Spaces

KILLS = 10
PEER_KILLS = {"quix": 2, "faust": 1}
"""Faust takes a minute for one."""

SESSION = 6.0
PATIENCE = 150.0


@dataclass
class Kills:
    """Of one platform: seconds until it went on, and keys with a wrong state, for each kill."""

    seconds: list[float] = field(default_factory=list)
    wrong: list[int] = field(default_factory=list)

    def add(self, seconds: float, wrong_keys: int) -> None:
        """One kill."""
        self.seconds.append(seconds)
        self.wrong.append(wrong_keys)


async def peer_recovery(servers: Servers) -> Measured:
    """The value is the slowest of ten kills; so is the baseline, of the peer whose slowest was quicker."""
    topic = await skewed(servers, "peer-recovery")
    ours, theirs = Kills(), {name: Kills() for name in PEER_KILLS}
    for name, kills in PEER_KILLS.items():
        for _ in range(kills):
            theirs[name].add(*await _theirs(topic, name))
    for number in range(KILLS):
        ours.add(*await _ours(topic, str(number)))
    extra: Extra = {
        "kills": KILLS,
        "median_s": round(median(ours.seconds), 2),
        "wrong": sum(ours.wrong),
        "session_s": topic.scene.settings.session,
        "peer_session_s": SESSION,
    }
    for name, found in theirs.items():
        seconds = " ".join(f"{each:.2f}" for each in found.seconds)
        extra |= {f"{name}_s": seconds, f"{name}_wrong": max(found.wrong)}
    return Measured(
        max(ours.seconds), min(max(found.seconds) for found in theirs.values()), extra | {"versions": VERSIONS}
    )


async def _ours(topic: Skewed, name: str) -> tuple[float, int]:
    scene = topic.scene.anew(name)
    async with scene.spaces(CATEGORY) as spaces:
        before = await _killed(scene, spaces, topic.events // 2)
        began = time.perf_counter()
        with scene.process("streams", "--role", "processor") as second:

            async def reached(count: int) -> bool:
                return await applied(spaces) >= count

            await until(lambda: reached(before + 1), "the first event after the kill", [second], every=0.005)
            seconds = time.perf_counter() - began
            await until(lambda: reached(topic.events), "the last event", [second], PATIENCE)
        found = seconds, wrong(await rows(spaces), topic.truth)
    shutil.rmtree(scene.settings.history_store.removeprefix("lmdb://"))
    return found


async def _killed(scene: Scene, spaces: Spaces, events: int) -> int:
    """Kills a processor when it has applied so many; answers how many it had at last."""
    first = scene.start_processor()
    try:

        async def enough() -> bool:
            return await applied(spaces) >= events

        await until(enough, f"{events} events", [first], PATIENCE, every=0.005)
        first.kill()
        first.wait()
    finally:
        end(first)
    return await applied(spaces)


async def _theirs(topic: Skewed, name: str) -> tuple[float, int]:
    peer = Peer(name, topic, SESSION)
    with peer.running() as first:
        await peer.seen(topic.events // 2, PATIENCE)
        first.kill()
        first.wait()
    began = time.time()
    with peer.running():
        seconds = await peer.begun() - began
        return seconds, wrong((await peer.done(PATIENCE)).state, topic.truth)
