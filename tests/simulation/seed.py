"""One seed is one run: its kind, what happens, in which order, and every fault. The same seed, the same run."""

from __future__ import annotations

import random
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import bridge.history.state
import bridge.log.schemas
import streams.apply
import streams.processor
import streams.unpark
from tests.model.play import Pick, Play
from tests.simulation import appends, rebalances
from tests.simulation.cluster import Cluster
from tests.simulation.cluster_play import ClusterPlay
from tests.simulation.dice import Dice, Move, Moves

SNAPSHOT_EVERY = 4
"""Versions between two snapshots: a run is too short for a hundred."""

SEEDS = 2_000
"""Runs in which each planted bug must be found."""

SLICE = 3
"""Events in one slice of a rebuild, for the same reason."""


@dataclass(frozen=True)
class Kind:
    """A kind of run: its name, its play, what can happen, and how many times something does."""

    name: str
    play: Callable[[Pick], Play]
    moves: Moves
    steps: int


APPENDS = Kind("appends", lambda pick: appends.SimPlay(appends.SimWorld(), pick), appends.MOVES, 40)
REBALANCES = Kind("rebalances", lambda pick: ClusterPlay(Cluster(), pick), rebalances.MOVES, 60)


def kind_of(seed: int) -> Kind:
    """Even seeds are of one kind, odd ones of the other."""
    return REBALANCES if seed % 2 else APPENDS


class Violation(AssertionError):
    """An invariant that did not hold in the run of a seed; `python -m tests.simulation SEED` plays it again."""

    def __init__(self, seed: int, moves: list[Move], why: str) -> None:
        told = "\n".join(f"  {number:3} {name}{arguments}" for number, (name, arguments) in enumerate(moves))
        super().__init__(f"seed {seed} ({kind_of(seed).name}): {why}\n{told}")
        self.seed = seed


def simulate(seed: int) -> list[Move]:
    """Plays a seed; answers what happened. Raises Violation as soon as an invariant does not hold."""
    return played(seed)[0]


def played(seed: int) -> tuple[list[Move], Play]:
    """The same, and the play as it ended."""
    chance, moves, kind = random.Random(seed), list[Move](), kind_of(seed)
    with _short():
        play = kind.play(chance.choice)
        try:
            for _ in range(kind.steps):
                name, arguments = Dice(chance, play, kind.moves).move()
                moves.append((name, arguments))
                getattr(play, name)(*arguments)
                play.check()
            play.end()
        except AssertionError as error:
            raise Violation(seed, moves, str(error) or _asserted(error)) from error
        finally:
            play.world.close()
    return moves, play


def _asserted(error: AssertionError) -> str:
    """What an assertion without a message says."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{last.name}: {last.line}"


def first(seeds: int) -> Violation | None:
    """What the first of so many seeds has found that finds anything."""
    for seed in range(seeds):
        try:
            simulate(seed)
        except Violation as found:
            return found
    return None


CONSTANTS = [
    (bridge.history.state, "EVERY", SNAPSHOT_EVERY),
    (streams.apply, "EVERY", SNAPSHOT_EVERY),
    (streams.unpark, "EVERY", SNAPSHOT_EVERY),
    (streams.processor, "SLICE", SLICE),
    (bridge.log.schemas, "AWAY", 0.0),
]
"""What is smaller in a run than in life; and a registry that was away is asked at once, for the wall's time is none."""


@contextmanager
def _short() -> Iterator[None]:
    """Snapshots every few versions, and rebuilds in many slices."""
    before = [(module, name, module.__dict__[name]) for module, name, _ in CONSTANTS]
    for module, name, value in CONSTANTS:
        module.__dict__[name] = value
    try:
        yield
    finally:
        for module, name, value in before:
            module.__dict__[name] = value
