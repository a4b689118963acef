"""The same fold into durable state: ours with its full history, beside Quix Streams and Faust without one.

All read the same bytes from the same topic with fastavro, one process each, from empty state, and the clock runs from
the first event to the last. Ours stops it at the last commit; the peers stop it when the last event is processed, and
commit it afterwards. Our category has no decider: the projection is the one fold, as with the peers.
"""

from __future__ import annotations

from statistics import median

from benchmarks.figure import Extra, Measured, NotMeasured, Rounds
from benchmarks.machine import busy
from benchmarks.peers.environments import versions
from benchmarks.peers.meters import CATEGORY
from benchmarks.peers.running import Done, Peer
from benchmarks.peers.skewed import KEYS, Skewed, rows, skewed, wrong
from benchmarks.process import followed
from benchmarks.scene import until
from benchmarks.servers import Servers

RUNS = 3
SESSION = 6.0
MOST = 60.0
"""Seconds that a peer is given; what it has reached by then makes its rate."""


async def peer_projection(servers: Servers) -> Measured:
    """Ours and Quix Streams in turn, Faust once, since it takes a minute."""
    topic = await skewed(servers, "peer-projection")
    ours, quix, busy = Rounds(), Rounds(), []
    for number in range(RUNS):
        rate, micros = await _ours(topic, str(number))
        ours.rates.append(rate)
        done = await _theirs(topic, "quix")
        quix.rates.append(done.rate)
        busy.append((micros, done.busy))
    faust = await _theirs(topic, "faust")
    extra: Extra = {
        "events": topic.events,
        "keys": KEYS,
        "quix_events_s": round(quix.rate, 1),
        "faust_events_s": round(faust.rate, 1),
        "busy_us": round(median(mine for mine, _ in busy), 1),
        "quix_busy_us": round(median(theirs for _, theirs in busy), 1),
        "faust_busy_us": round(faust.busy, 1),
        "versions": peers(),
    }
    return Measured(ours.rate, max(quix.rate, faust.rate), ours.extra() | extra)


def peers() -> str:
    """Which versions of them."""
    return f"{versions('quix', 'quixstreams')}, {versions('faust', 'faust-streaming', 'rocksdict')}"


async def _ours(topic: Skewed, name: str) -> tuple[float, float]:
    """Events a second, and microseconds of processor time an event, both since the first commit."""
    scene = topic.scene.anew(name)
    with scene.process("streams", "--role", "processor") as processor:
        async with scene.spaces(CATEGORY) as spaces:

            async def begun() -> bool:
                return await topic.applied(spaces) > 0

            await until(begun, "a first commit", [processor], every=0.005)
            first, before = await topic.applied(spaces), busy(processor.pid)
            rate = await followed(lambda: topic.applied(spaces), processor, topic.events)
            micros = (busy(processor.pid) - before) / (topic.events - first) * 1e6
            _check("ours", wrong(await rows(spaces), topic.truth))
            return rate, micros


async def _theirs(topic: Skewed, name: str) -> Done:
    peer = Peer(name, topic, SESSION)
    with peer.running():
        done = await peer.rate(MOST)
    if done.state is not None:
        _check(name, wrong(done.state, topic.truth))
    return done


def _check(name: str, keys: int) -> None:
    if keys:
        raise NotMeasured(f"{name} came to a wrong state in {keys} keys")
