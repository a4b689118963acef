"""What the simulation has found, told again in a few moves each, so that it stays found."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest

from bridge import decisions
from bridge.store import keys
from streams.owner import Owner
from streams.processor import Processor
from tests.model.world import Ask
from tests.simulation.cluster import PLACES, Cluster
from tests.simulation.cluster_play import ClusterPlay
from tests.simulation.group import Turn
from tests.simulation.mutations import Mutation
from tests.simulation.process import Member
from tests.simulation.settings import SETTINGS

A = "account/a"


OWN_THEN_ASK = """await owner.take_over()
    await owner.open(LogEnds(identity, *await self._source.ends(part)))"""
ASK_THEN_OWN = """ends = LogEnds(identity, *await self._source.ends(part))
    await owner.open(ends)"""
ADOPT = "self._adopt(source)"
WAIT_THEN_ADOPT = f"await self._openings.wait([*self._openings._tasks], P1_TIMEOUT); {ADOPT}"


def stood_still(play: ClusterPlay) -> None:
    """A process asks where the log ends, stands still, and finds that its predecessor has applied more than that."""
    world, place = play.world, play.world.place_of(A)
    part = place.topic, place.partition
    (before,) = (one for one in world.members if part in one.processor.owners)
    (after,) = (one for one in world.members if one is not before)
    world.expel(before)
    world.group.target[part] = after.source
    after.pace.stop_at = "own"
    world.turn(after, Turn(0))
    assert after.pace.stopped
    play.ask(0, Ask(A, None, (1,)), "deliver", 0, refuse=False)
    world.turn(before, Turn(9, told=False))
    assert world.state(place).mark.position == 1
    after.pace.go_on()
    world.loop.settle()
    assert part in after.processor.owners
    assert keys.STOPPED not in world.state(place).rows
    play.check()
    play.end()


def knew_less(play: ClusterPlay) -> None:
    """A process of today's code stands still while tomorrow's is deployed, and goes on before it is told so."""
    world = play.world
    (old,) = (one for one in world.members if ("lighthouse.system", 0) in one.processor.owners)
    old.pace.stop()
    world.expel(old)
    deploy(play, [one for one in world.members if one is not old])
    assert world.decided().of("total").answering == (2, 0)
    old.pace.go_on()
    for _ in range(4):
        world.loop.advance(0.5)
        for producer, flight in world.pending():
            producer.deliver(flight)
        world.turn(world.members[-1], Turn(50))
    assert world.decided().of("total").answering == (2, 0)
    play.check()
    play.end()


def deploy(play: ClusterPlay, leaving: Sequence[Member]) -> None:
    """A process of tomorrow's code takes the place of these."""
    leaving = list(leaving)
    play.join(newer=True)
    for one in leaving:
        one.leave()
        play.world.turn(one, Turn(0, told=False))
    for _ in range(8):
        play.get_well()


def fell_back(play: ClusterPlay) -> None:
    """A store fails over and forgets an event and the tick behind it; nobody writes to that partition any more."""
    world, place = play.world, play.world.place_of(A)
    deploy(play, world.members)
    play.ask(0, Ask(A, None, (1,)), "deliver", 0, refuse=False)
    play.everybody()
    play.clock(0, tick=True)
    play.everybody()
    assert world.state(place).mark.position == 2
    for _ in range(3):  # so that the owner has nothing more to tell of its time
        world.loop.advance(1.0)
        play.everybody()
    while world.state(place).mark.position:
        world.disks[place.space].fail_over(1)
    assert world.state(place).mark.position == 0
    play.end()


def was_silent(play: ClusterPlay) -> None:
    """A process is given a partition whose leader does not answer it; all others are as alive as before."""
    world, place = play.world, play.world.place_of(A)
    part = place.topic, place.partition
    (before,) = (one for one in world.members if part in one.processor.owners)
    (after,) = (one for one in world.members if one is not before)
    assert after.source is not None
    after.source.silent = {part}
    world.group.target[part] = after.source
    others = [one for one in PLACES if one != place]
    for _ in range(80):
        world.everybody()
        world.loop.advance(0.5)
        ages = {one.space: world.stores.open(one.space).beat_age() for one in others}
        assert max(ages.values()) < SETTINGS.session, ages
    assert world.group.holder[part] is after.source
    assert part not in after.processor.owners
    after.source.silent.clear()
    for _ in range(80):
        play.get_well()
    assert part in after.processor.owners
    play.end()


FOUND = [
    (
        stood_still,
        Mutation(
            "the log is asked where it ends before the space is taken over: it may seem to be another log",
            ((Processor, "_opened", ((OWN_THEN_ASK, ASK_THEN_OWN),)),),
        ),
    ),
    (
        was_silent,
        Mutation(
            "the group waits as long as a partition's leader does not answer, and every other partition with it",
            ((Processor, "_assigned", (("wait(partitions, AT_ONCE)", "wait(partitions, P1_TIMEOUT)"),)),),
        ),
    ),
    (
        was_silent,
        Mutation(
            "the round waits as long as a partition's leader does not answer, and every other partition with it",
            ((Processor, "_upkeep", ((ADOPT, WAIT_THEN_ADOPT),)),),
        ),
    ),
    (
        fell_back,
        Mutation(
            "an owner that has nothing to commit does not see that its store has gone back",
            ((Owner, "beat", (("view.mark != self._mark", "False"),)),),
        ),
    ),
    (
        knew_less,
        Mutation(
            "a switch that knows less goes back to an older build, and no switch ever goes forward again",
            ((decisions, "decide", (("(version, generation) > state", "(version, generation) != state"),)),),
        ),
    ),
]


@pytest.mark.parametrize(("story", "mutation"), FOUND, ids=lambda one: getattr(one, "what", ""))
def test_what_was_found_stays_found(story: Callable[[ClusterPlay], None], mutation: Mutation) -> None:
    with mutation.planted(), pytest.raises(AssertionError):
        told(story)
    told(story)


def told(story: Callable[[ClusterPlay], None]) -> None:
    """Plays it with two processes that share the partitions."""
    play = ClusterPlay(Cluster(), random.Random(0).choice)
    try:
        story(play)
    finally:
        play.world.close()
