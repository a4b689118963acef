"""The same fold into durable state: ours with its full history, beside Quix Streams and Faust without one.

All read the same bytes from the same topic with fastavro, one process each, from empty state, and the clock runs from
the first event to the last. Ours stops it at the last commit; the peers stop it when the last event is processed, and
commit it afterwards. Our category has no decider: the projection is the one fold, as with the peers.
"""

from __future__ import annotations

from benchmarks.figure import Extra, Measured, NotMeasured, Rounds
from benchmarks.peers.environments import versions
from benchmarks.peers.meters import CATEGORY
from benchmarks.peers.running import Done, Peer
from benchmarks.peers.skewed import KEYS, Skewed, rows, skewed, wrong
from benchmarks.process import followed
from benchmarks.servers import Servers

RUNS = 3
SESSION = 6.0
PATIENCE = 60.0
FAUST_PATIENCE = 150.0

VERSIONS = f"{versions('quix', 'quixstreams')}, {versions('faust', 'faust-streaming', 'rocksdict')}"


async def peer_projection(servers: Servers) -> Measured:
    """Ours and Quix Streams in turn, Faust once, since it takes a minute."""
    topic = await skewed(servers, "peer-projection")
    ours, quix = Rounds(), Rounds()
    for number in range(RUNS):
        ours.rates.append(await _ours(topic, str(number)))
        quix.rates.append((await _theirs(topic, "quix", PATIENCE)).rate)
    faust = await _theirs(topic, "faust", FAUST_PATIENCE)
    extra: Extra = {
        "events": topic.events,
        "keys": KEYS,
        "quix_events_s": round(quix.rate, 1),
        "faust_events_s": round(faust.rate, 1),
        "versions": VERSIONS,
    }
    return Measured(ours.rate, max(quix.rate, faust.rate), ours.extra() | extra)


async def _ours(topic: Skewed, name: str) -> float:
    scene = topic.scene.anew(name)
    with scene.process("streams", "--role", "processor") as processor:
        async with scene.spaces(CATEGORY) as spaces:
            found = await followed(spaces, processor, topic.events)
            _check("ours", wrong(await rows(spaces), topic.truth))
            return found


async def _theirs(topic: Skewed, name: str, patience: float) -> Done:
    peer = Peer(name, topic, SESSION)
    with peer.running():
        await peer.begun()
        done = await peer.done(patience)
    _check(name, wrong(done.state, topic.truth))
    return done


def _check(name: str, keys: int) -> None:
    if keys:
        raise NotMeasured(f"{name} came to a wrong state in {keys} keys")
