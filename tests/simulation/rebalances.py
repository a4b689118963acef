"""Runs of the second kind: a group of processors whose partitions move, builds that are begun, and slow stores."""

from __future__ import annotations

from tests.simulation.cluster import MOST, PLACES
from tests.simulation.dice import FATES, GARBAGE, Dice, Move, Moves, always
from tests.simulation.group import Turn
from tests.simulation.process import STEPS
from tests.simulation.projected import NAMES

STREAMS = [f"account/{name}" for name in "abcde"]
ROWS = [*STREAMS, *STREAMS, "m0", "m1", "m2", "-", "c"]


def _turn(dice: Dice) -> Move:
    chance = dice.chance
    early = chance.choice([0, 0, 0, 1, 3])
    return "turn", (Turn(chance.randint(0, 12), chance.random() < 0.8, dice.rarely(), chance.randrange(3), early),)


def _query(dice: Dice) -> Move:
    name, at = dice.one(*NAMES), dice.one(None, -2_000_000, -100_000, -20_000, 0)
    known = [] if dice.rarely() else dice.play.keys(name)
    return "query", (dice.one(0, 1), name, dice.one(*(known or ROWS)), dice.one(True, False), at)


MOVES: Moves = [
    (
        lambda dice: ("ask", (dice.one(0, 1), dice.ask(*STREAMS), dice.one(*FATES), 0, dice.rarely())),
        14,
        always,
    ),
    (lambda dice: ("again", (dice.one(0, 1), dice.one(*FATES), 0)), 2, lambda play: bool(play.world.keyed())),
    (lambda dice: ("report", (dice.one(*FATES), 0)), 5, lambda play: bool(play.world.pending())),
    (lambda dice: ("arrive_late", ()), 1, lambda play: bool(play.world.late)),
    (lambda dice: ("clock", (dice.chance.randint(-1500, 2500), dice.one(True, False))), 1, always),
    (lambda dice: ("foreign", (dice.one(*STREAMS), dice.one(*GARBAGE))), 2, always),
    (lambda dice: ("learn", ()), 1, always),
    (_turn, 14, lambda play: bool(play.world.waiting())),
    (lambda dice: ("everybody", ()), 5, always),
    (lambda dice: ("join", (dice.one(True, False),)), 2, lambda play: len(play.world.alive()) < MOST),
    (lambda dice: ("leave", ()), 1, lambda play: bool(play.world.waiting())),
    (lambda dice: ("kill", ()), 1, lambda play: bool(play.world.alive())),
    (
        lambda dice: ("stop", (dice.one(None, *STEPS, "commit", "committed"),)),
        3,
        lambda play: len(play.stopped()) < len(play.world.alive()),
    ),
    (lambda dice: ("go_on", ()), 3, lambda play: bool(play.stopped())),
    (lambda dice: ("slow", (dice.one(0.0, 0.0, 0.2, 1.5, 8.0),)), 2, lambda play: bool(play.world.alive())),
    (lambda dice: ("fail", (dice.one(*STEPS, "commit", "committed"),)), 2, lambda play: bool(play.world.alive())),
    (lambda dice: ("away", (dice.one(True, False, False),)), 2, always),
    (lambda dice: ("expel", ()), 2, always),
    (lambda dice: ("move", (dice.chance.randrange(len(PLACES)),)), 4, lambda play: bool(play.world.alive())),
    (
        lambda dice: ("fail_over", (dice.chance.randint(1, 3),)),
        1,
        lambda play: any(disk.changes for disk in play.world.disks.values()),
    ),
    (lambda dice: ("lose", ()), 1, always),
    (lambda dice: ("commit_comes_again", ()), 1, lambda play: bool(play.committed())),
    (lambda dice: ("wait", (dice.one(0.3, 0.3, 1.1, 1.1, 3.5, 6.0, 40.0), dice.one(True, True, False))), 5, always),
    (lambda dice: ("hear", ()), 5, always),
    (lambda dice: ("storm", (dice.one(True, False),)), 1, always),
    (lambda dice: ("begin", (dice.one(*NAMES), dice.one(1, 1, 2))), 2, always),
    (lambda dice: ("drop", (dice.one(*NAMES),)), 1, always),
    (lambda dice: ("help", ()), 2, lambda play: bool(play.parked())),
    (_query, 9, always),
    (lambda dice: ("answer_queries", ()), 1, always),
]
