"""The topic that ours and the peers fold: single-event appends over keys of which few get most, and the truth of it."""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from benchmarks.bare import send_all
from benchmarks.peers.meters import CATEGORY, TYPE, totals
from benchmarks.peers.told import NOTHING, Totals, fold
from benchmarks.sample import Ready, Writer
from benchmarks.scene import Scene
from benchmarks.servers import Servers
from bridge import states
from bridge.events import Event
from bridge.spaces import Spaces
from bridge.store import keys
from bridge.wiring import Base, open_base
from tests.installed import install

EVENTS = 300_000
KEYS = 10_000
PARTITIONS = 8
SEED = 5
MOST = 1_000
"""The largest amount."""

PAGE = 1_000

State = dict[str, Totals]


@dataclass(frozen=True)
class Skewed:
    """The scene of our processors, and what the peers must be told of the topic: its ends, and the schema as text."""

    scene: Scene
    topic: str
    schema: str
    ends: list[int]
    truth: State

    @property
    def events(self) -> int:
        """All of them."""
        return sum(self.ends)

    async def applied(self, spaces: Spaces) -> int:
        """How many of them our processors have applied; ticks, which they write behind the events, do not count."""
        total = 0
        for space, end in zip(spaces.all(), self.ends, strict=True):
            async with space.store.view() as view:
                total += max(0, min(view.mark.position, end))
        return total


async def skewed(servers: Servers, name: str, events: int = EVENTS) -> Skewed:
    """Makes the topic and fills it."""
    settings = servers.settings(name, partitions=PARTITIONS, projections="applications")
    site = settings.root / "site"
    install(site, "meters", "benchmarks.peers.meters:application")
    scene = Scene(settings, {"PYTHONPATH": os.pathsep.join((str(site), os.environ.get("PYTHONPATH", "")))})
    with _visible(site):
        await scene.prepare()
        async with open_base(settings) as base:
            return await _filled(scene, base, events)


async def _filled(scene: Scene, base: Base, events: int) -> Skewed:
    schema, topic = await base.schemas.writer(CATEGORY), base.topics.name(CATEGORY)
    writer = Writer(schema, topic, PARTITIONS)
    ends, truth = [0] * PARTITIONS, State()
    send_all(scene.settings, _records(writer, events, ends, truth))
    return Skewed(scene, topic, json.dumps(schema.schema), ends, truth)


def _records(writer: Writer, events: int, ends: list[int], truth: State) -> Iterator[Ready]:
    now = time.time_ns() // 1000
    for stream, amount in readings(events):
        before = truth.get(stream, NOTHING)
        truth[stream] = fold(before, amount)
        value = writer.value([Event(TYPE, {"amount": amount})], now)
        record = writer.record(stream, value, before[0], 1)
        ends[record.partition] += 1
        yield record


def readings(events: int, streams: int = KEYS) -> Iterator[tuple[str, int]]:
    """Streams and amounts, the same in every run: each stream once, then by Zipf's law, the n-th one 1/n as often."""
    names = [f"{CATEGORY}/m-{number}" for number in range(streams)]
    weights = list(accumulate(1 / (number + 1) for number in range(streams)))
    drawn = random.Random(SEED).choices(names, cum_weights=weights, k=max(0, events - streams))
    amounts = random.Random(SEED + 1)  # of their own, so that fewer events are the beginning of more
    for stream in (names + drawn)[:events]:
        yield stream, amounts.randint(1, MOST)


def wrong(found: State, truth: State) -> int:
    """How many keys are not as they must be: another state, none, or one that nothing led to."""
    return sum(found.get(key) != truth.get(key) for key in found.keys() | truth.keys())


async def rows(spaces: Spaces) -> State:
    """The rows of our projection, in all partitions."""
    prefix = keys.projection(totals.name, keys.build(totals.version, 0))
    begin, found = keys.row(prefix, ""), State()
    for space in spaces.all():
        async with space.store.view() as view:
            after = b""
            while page := await view.scan(begin, start=after, limit=PAGE):
                for key, raw in page:
                    row = states.decode(raw, totals.row)
                    found[key.removeprefix(begin).decode()] = row.count, row.sum, row.last
                after = page[-1][0] + b"\0"
    return found


@contextmanager
def _visible(site: Path) -> Iterator[None]:
    """The same for this process, for a while: other rows have no meters."""
    sys.path.insert(0, str(site))
    try:
        yield
    finally:
        sys.path.remove(str(site))
