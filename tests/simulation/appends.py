"""Runs of the first kind: one partition, its owners and zombies, and a store whose server fails over."""

from __future__ import annotations

from bridge.store.contract import Store
from tests.model.play import Play, idle, zombie
from tests.model.world import PLACE, World
from tests.simlog import Gate, GatedStore
from tests.simulation.dice import FATES, GARBAGE, Moves, always
from tests.simulation.server import Connection, Server

TAKES = [0, 0, 1, 5]
STOPS = [None, None, None, "commit", "committed"]


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


class SimPlay(Play):
    """The model's play in it."""

    world: SimWorld

    def fail_over(self, changes: int) -> None:
        """See the world."""
        self.world.fail_over(changes)


MOVES: Moves = [
    (
        lambda dice: (
            "ask",
            (dice.one(0, 1), dice.ask("account/a", "account/b"), dice.one(*FATES), dice.one(*TAKES), dice.rarely()),
        ),
        8,
        always,
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
    (lambda dice: ("clock", (dice.chance.randint(-1500, 2500), dice.one(True, False))), 1, always),
    (lambda dice: ("foreign", (dice.one("account/a", "account/b"), dice.one(*GARBAGE))), 1, always),
    (lambda dice: ("learn", ()), 1, always),
    (
        lambda dice: ("consume", (dice.chance.randint(1, 9), dice.one(*STOPS))),
        5,
        lambda play: idle(play.world.current),
    ),
    (lambda dice: ("unpark", (dice.one(*STOPS),)), 1, lambda play: idle(play.world.current)),
    (lambda dice: ("another_owner", (dice.one(None, None, None, "owned", "commit"), dice.rarely())), 2, always),
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
    (lambda dice: ("wait", (dice.one(0.5, 3.5, 6.0, 11.0), dice.one(True, True, False))), 2, always),
    (lambda dice: ("stop_behind_wait", (dice.one(0, 1),)), 1, always),
    (
        lambda dice: ("go_on_behind_wait", ()),
        2,
        lambda play: any(one.gate.stopped for one in play.world.servers),
    ),
    (
        lambda dice: ("fail_over", (dice.chance.randint(1, min(3, dice.play.world.server.changes)),)),
        1,
        lambda play: play.world.server.changes > 0,
    ),
]
