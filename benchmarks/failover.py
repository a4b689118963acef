"""kill -9 of one of two processors, beside kill -9 of one of two bare consumers of a group with the same settings."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from uuid import uuid4

from benchmarks.figure import Extra, Measured, NotMeasured
from benchmarks.sample import ACTOR, KNOWN, sample
from benchmarks.scene import Process, Scene, end, epochs, owned, until
from benchmarks.servers import Servers
from bridge.errors import LighthouseError
from bridge.handle import Context
from bridge.log.record import Place, partition_of
from bridge.wiring import Platform, open_platform

RUNS = 3
AGAIN = 0.02
PATIENCE = 30.0


async def failover(servers: Servers) -> Measured:
    """Seconds from the kill until an append to each of the killed one's partitions has succeeded."""
    scene, what = Scene(servers.settings("failover")), sample()
    await scene.prepare()
    found, moved = [], []
    async with scene.processor(what.category) as stays, open_platform(scene.settings) as platform:
        await until(lambda: owned(platform.spaces), "a processor that owns every partition", [stays])
        for _ in range(RUNS):
            seconds, partitions = await _kill_one(scene, platform, stays)
            found.append(seconds)
            moved.append(partitions)
    bare = [await _kill_bare(scene) for _ in range(RUNS)]
    extra: Extra = {"runs": RUNS, "slowest": round(max(found), 2), "partitions_moved": min(moved)}
    return Measured(median(found), median(bare), extra)


async def _kill_one(scene: Scene, platform: Platform, stays: Process) -> tuple[float, int]:
    """Starts a second processor, waits until it has taken its share, kills it."""
    spaces, before = list(platform.spaces.all()), await epochs(platform.spaces)
    with scene.process("streams", "--role", "processor") as victim:
        await until(lambda: _shared(platform, before), "the second processor's share", [victim, stays])
        after = await epochs(platform.spaces)
        moved = [space.place for space, old, new in zip(spaces, before, after, strict=True) if new > old]
        taken = [place for place in moved if place.category in KNOWN]  # nobody appends to the platform's own
        victim.kill()
        began = time.perf_counter()
        await asyncio.gather(*(_append(platform, place) for place in taken))
        return time.perf_counter() - began, len(taken)


async def _shared(platform: Platform, before: list[int]) -> bool:
    """Whether half of the partitions have changed their owner, and all have a living one."""
    now = await epochs(platform.spaces)
    changed = sum(new > old for new, old in zip(now, before, strict=True))
    return changed >= len(before) // 2 and await owned(platform.spaces)


def _stream_in(place: Place) -> str:
    """A new stream's name that belongs to the partition."""
    while True:
        stream = f"{place.category}/f{uuid4().hex[:12]}"
        if partition_of(stream.encode(), place.partitions) == place.partition:
            return stream


async def _append(platform: Platform, place: Place) -> None:
    """Asks again, under the same key, until it is admitted."""
    stream, events = _stream_in(place), [KNOWN[place.category][0]]
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            await platform.handler.append(stream, events, 0, Context(ACTOR, key="once"))
            return
        except LighthouseError as error:
            if time.monotonic() > deadline:
                raise NotMeasured(f"{stream} was not served again in {PATIENCE:.0f} s: {error}") from error
        await asyncio.sleep(AGAIN)


async def _kill_bare(scene: Scene) -> float:
    """Two bare members of a group; seconds from the kill until the other has every partition."""
    group, all_of_them = f"bare-{uuid4().hex[:8]}", scene.settings.partitions
    topic = f"{scene.settings.topic_prefix}.{sample().category}"
    files = [scene.settings.root / f"{group}-{number}" for number in range(2)]
    members = [scene.start("benchmarks.member", group, topic, str(file)) for file in files]
    try:
        await until(lambda: _each_has(files, all_of_them // 2), "two bare members", members)
        members[1].kill()
        began = time.perf_counter()
        await until(lambda: _each_has(files[:1], all_of_them), "the other bare member", members[:1])
        return time.perf_counter() - began
    finally:
        for member in members:
            end(member)


async def _each_has(files: Sequence[Path], partitions: int) -> bool:
    """Whether each member has said that it has so many partitions."""
    return all(file.exists() and file.read_text() == str(partitions) for file in files)
