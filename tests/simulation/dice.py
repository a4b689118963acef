"""Draws what happens next in a play: one of what can, and its arguments. All chance comes from one seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from tests.model import account
from tests.model.play import Play
from tests.model.world import Ask

FATES = [None, None, "deliver", "deliver", "deliver", "lose", "late", "twice", "drop"]
GARBAGE = ["headers", "magic", "partition", "count", "expected", "key", "id", "tick", "category", *["schema"] * 3, ""]
KEYS = [None, "k0", "k1", "k2", "k3", "k4"]


Move: TypeAlias = "tuple[str, tuple[Any, ...]]"


@dataclass(frozen=True)
class Dice:
    """Draws moves."""

    chance: random.Random
    play: Any
    moves: Sequence[tuple[Draw, int, Can]]

    def move(self) -> Move:
        """What happens next: one of what can."""
        options = [(draw, weight) for draw, weight, can in self.moves if can(self.play)]
        draws, weights = zip(*options, strict=True)
        return self.chance.choices(draws, weights)[0](self)  # type: ignore[no-any-return]

    def one(self, *options: Any) -> Any:
        """One of these."""
        return self.chance.choice(options)

    def ask(self, *streams: str) -> Ask:
        """A request that nobody has made before, of one of these streams."""
        stream, key, amount = self.one(*streams), self.chance.choice(KEYS), self.chance.randint(1, 9)
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


Can: TypeAlias = "Callable[[Any], bool]"
Draw: TypeAlias = "Callable[[Dice], Move]"
Moves: TypeAlias = "list[tuple[Draw, int, Can]]"
"""How each move is drawn, how often beside the others, and whether it can be made."""


def always(_: Play) -> bool:
    """For a move that can always be made."""
    return True
