"""One seed is one run: what happens, in which order, and every fault is drawn from it. The same seed, the same run."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import bridge.history.state
import streams.apply
import streams.unpark
from bridge.store.contract import Store
from tests.model import account
from tests.model.play import Play, idle, zombie
from tests.model.world import PLACE, Ask, World
from tests.simlog import Gate, GatedStore
from tests.simulation.server import Connection, Server

STEPS = 40
SNAPSHOT_EVERY = 4
"""Versions between two snapshots: a run is too short for a hundred."""

FATES = [None, None, "deliver", "deliver", "deliver", "lose", "late", "twice", "drop"]
TAKES = [0, 0, 1, 5]
STOPS = [None, None, None, "commit", "committed"]
GARBAGE = ["headers", "magic", "partition", "count", "expected", "key", "id", "tick", "category", *["schema"] * 3, ""]
KEYS = [None, "k0", "k1", "k2", "k3", "k4"]

Move: TypeAlias = "tuple[str, tuple[Any, ...]]"


class Violation(AssertionError):
    """An invariant that did not hold in the run of a seed; `python -m tests.simulation SEED` plays it again."""

    def __init__(self, seed: int, moves: list[Move], why: str) -> None:
        told = "\n".join(f"  {number:3} {name}{arguments}" for number, (name, arguments) in enumerate(moves))
        super().__init__(f"seed {seed}: {why}\n{told}")
        self.seed = seed


class SimWorld(World):
    """The model's world on a server that can fail over."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.server = Server(self.stores.open(PLACE.space))

    def owned(self, gate: Gate) -> GatedStore:
        """A new owner's store."""
        connection: Store = Connection(self.server)
        return GatedStore(connection, gate)

    def fail_over(self, changes: int) -> None:
        """The server forgets changes, and another owner takes over: perhaps with an epoch that somebody has."""
        self.server.fail_over(changes)
        self.open()


@dataclass(frozen=True)
class Dice:
    """Draws moves."""

    chance: random.Random
    play: Play

    def move(self) -> Move:
        """What happens next: one of what can."""
        weights = [weight for _, weight, can in MOVES if can(self.play)]
        options = [draw for draw, _, can in MOVES if can(self.play)]
        return self.chance.choices(options, weights)[0](self)

    def one(self, *options: Any) -> Any:
        """One of these."""
        return self.chance.choice(options)

    def ask(self) -> Ask:
        """A request that nobody has made before."""
        stream, key, amount = self.one("account/a", "account/b"), self.chance.choice(KEYS), self.chance.randint(1, 9)
        match self.chance.randrange(8):
            case 0:
                return Ask("", None, (amount,), create=True)
            case 1:
                return Ask(stream, key, account.Withdraw(amount))
            case 2:
                return Ask(stream, key, account.Deposit(amount, "c", self.chance.randint(1, 3)))
            case 3:
                return Ask(stream, key, account.Look())
            case _:
                amounts = tuple(self.chance.randint(1, 9) for _ in range(self.chance.randint(1, 3)))
                return Ask(stream, key, amounts, self.one(None, -1, 0, 0, 0, 1, 2))

    def rarely(self) -> bool:
        """One in eight."""
        return self.chance.randrange(8) == 0


def _always(_: Play) -> bool:
    return True


def _world(play: Play) -> SimWorld:
    assert isinstance(play.world, SimWorld)
    return play.world


Can = Callable[[Play], bool]
Draw = Callable[[Dice], Move]
MOVES: list[tuple[Draw, int, Can]] = [
    (
        lambda dice: (
            "ask",
            (dice.one(0, 1), dice.ask(), dice.one(*FATES), dice.one(*TAKES), dice.rarely()),
        ),
        8,
        _always,
    ),
    (
        lambda dice: ("again", (dice.one(0, 1), dice.one(*FATES), dice.one(*TAKES))),
        3,
        lambda play: bool(play.world.keyed()),
    ),
    (
        lambda dice: ("another_body", (dice.one(0, 1), dice.chance.randint(1, 9), dice.one(*FATES), dice.one(*TAKES))),
        1,
        lambda play: bool(play.world.keyed()),
    ),
    (lambda dice: ("report", (dice.one(*FATES), dice.one(*TAKES))), 3, lambda play: bool(play.world.pending())),
    (lambda dice: ("arrive_late", ()), 2, lambda play: bool(play.world.late)),
    (lambda dice: ("clock", (dice.chance.randint(-1500, 2500), dice.one(True, False))), 1, _always),
    (lambda dice: ("foreign", (dice.one("account/a", "account/b"), dice.one(*GARBAGE))), 1, _always),
    (lambda dice: ("learn", ()), 1, _always),
    (
        lambda dice: ("consume", (dice.chance.randint(1, 9), dice.one(*STOPS))),
        5,
        lambda play: idle(play.world.current),
    ),
    (lambda dice: ("unpark", (dice.one(*STOPS),)), 1, lambda play: idle(play.world.current)),
    (lambda dice: ("another_owner", (dice.one(None, None, None, "owned", "commit"), dice.rarely())), 2, _always),
    (lambda dice: ("wake", ()), 2, lambda play: any(one.gate.stopped for one in play.world.processes)),
    (
        lambda dice: ("zombie_goes_on", (dice.chance.randint(0, 9),)),
        2,
        lambda play: any(zombie(one, play.world) for one in play.world.processes),
    ),
    (
        lambda dice: ("commit_comes_again", ()),
        1,
        lambda play: any(one.store.last is not None for one in play.world.processes),
    ),
    (lambda dice: ("wait", (dice.one(0.5, 3.5, 6.0, 11.0), dice.one(True, True, False))), 2, _always),
    (lambda dice: ("stop_behind_wait", (dice.one(0, 1),)), 1, _always),
    (
        lambda dice: ("go_on_behind_wait", ()),
        2,
        lambda play: any(one.gate.stopped for one in play.world.servers),
    ),
    (
        lambda dice: ("fail_over", (dice.chance.randint(1, min(3, _world(dice.play).server.changes)),)),
        1,
        lambda play: _world(play).server.changes > 0,
    ),
]
"""How each move is drawn, how often beside the others, and whether it can be made."""


def simulate(seed: int, steps: int = STEPS) -> list[Move]:
    """Plays a seed; answers what happened. Raises Violation as soon as an invariant does not hold."""
    chance, moves = random.Random(seed), list[Move]()
    with _short():
        world = SimWorld()
        play = Play(world, chance.choice)
        try:
            for _ in range(steps):
                name, arguments = Dice(chance, play).move()
                moves.append((name, arguments))
                getattr(world if name == "fail_over" else play, name)(*arguments)
                play.check()
            play.end()
        except AssertionError as error:
            raise Violation(seed, moves, str(error) or "an assertion of the model") from error
        finally:
            world.close()
    return moves


@contextmanager
def _short() -> Iterator[None]:
    """Snapshots every few versions."""
    modules = (bridge.history.state, streams.apply, streams.unpark)
    before = bridge.history.state.EVERY
    for module in modules:
        module.__dict__["EVERY"] = SNAPSHOT_EVERY
    try:
        yield
    finally:
        for module in modules:
            module.__dict__["EVERY"] = before
