"""The Decider: the write side of one category as three pure functions, and the kit that tests it.

`given(account, Opened()).when(Withdraw(11)).then_refused("B2")` reads as the rule it checks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from bridge.errors import Refused

__all__ = ["Decider", "Given", "Outcome", "Refused", "fold", "given"]

C = TypeVar("C")
S = TypeVar("S")
E = TypeVar("E")


@dataclass(frozen=True)
class Decider(Generic[C, S, E]):
    """How a category decides. `commands` and `events` are dataclasses; an event's class name is its Avro type.

    `version` must be raised when `evolve` or the shape of the state changes: states and snapshots of the old
    version are then not read any more. `state` is the state's type, which msgspec must be able to encode.
    """

    category: str
    version: int
    initial: S
    state: type[S]
    decide: Callable[[C, S], Sequence[E]]
    evolve: Callable[[S, E], S]
    commands: tuple[type[Any], ...]
    events: tuple[type[Any], ...]


def fold(decider: Decider[C, S, E], state: S, events: Iterable[E]) -> S:
    """The one fold: write side, warm states, time travel and replay are this, stopped earlier or later."""
    evolve = decider.evolve
    for event in events:
        state = evolve(state, event)
    return state


@dataclass(frozen=True)
class Outcome(Generic[C, S, E]):
    """What a command led to: events, or the refusal."""

    decider: Decider[C, S, E]
    before: S
    events: tuple[E, ...]
    refused: Refused | None

    def then(self, *expected: E) -> None:
        """Asserts that exactly these events were decided, in this order."""
        assert self.refused is None, f"refused by {self.refused.rule}: {self.refused}"
        assert self.events == expected, f"decided {self.events}, not {expected}"

    def then_refused(self, rule: str) -> None:
        """Asserts that the rule of this name refused."""
        assert self.refused is not None, f"not refused: decided {self.events}"
        assert self.refused.rule == rule, f"refused by {self.refused.rule} ({self.refused}), not by {rule}"

    def then_state(self, expected: S) -> None:
        """Asserts the state after the decided events."""
        assert self.refused is None, f"refused by {self.refused.rule}: {self.refused}"
        after = fold(self.decider, self.before, self.events)
        assert after == expected, f"state is {after}, not {expected}"


@dataclass(frozen=True)
class Given(Generic[C, S, E]):
    """A decider with a past."""

    decider: Decider[C, S, E]
    state: S

    def when(self, command: C) -> Outcome[C, S, E]:
        """Decides the command on the given past."""
        try:
            events = tuple(self.decider.decide(command, self.state))
        except Refused as refused:
            return Outcome(self.decider, self.state, (), refused)
        return Outcome(self.decider, self.state, events, None)


def given(decider: Decider[C, S, E], *events: E) -> Given[C, S, E]:
    """A decider whose stream holds these events."""
    return Given(decider, fold(decider, decider.initial, events))
