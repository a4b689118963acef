"""What the writers asked and what they were told: the material of the checker."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from bridge.errors import Conflict, KeyReused, Unavailable, Unknown
from bridge.events import Appended, Event
from bridge.handle import Context


class Appends(Protocol):
    """Who takes appends: the library's handler, or the API behind a client."""

    async def append(self, stream: str, events: Sequence[Event], expected: int | None, context: Context) -> Appended:
        """See bridge.handle.Handler."""


class Outcome(Enum):
    """How an attempt ended, as the writer was told."""

    ACKNOWLEDGED = "acknowledged"
    CONFLICT = "conflict"
    UNAVAILABLE = "unavailable"
    REUSED = "key reused"
    UNKNOWN = "unknown"


REFUSED = {Outcome.CONFLICT, Outcome.UNAVAILABLE, Outcome.REUSED}
"""The definite refusals: nothing that the attempt wrote may ever be admitted (I2)."""

TOLD = {Outcome.ACKNOWLEDGED, Outcome.CONFLICT}
"""The outcomes that the log decided: they tell of earlier attempts under the same key, too."""


@dataclass(frozen=True)
class Request:
    """What is asked, under one key: the same in every attempt."""

    stream: str
    expected: int | None
    key: str
    events: Sequence[Event]
    actor: str = "writer"


@dataclass(frozen=True)
class Attempt:
    """One attempt of a request, with its answer. `began` and `ended` are monotonic seconds."""

    id: str
    request: Request
    began: float
    ended: float
    outcome: Outcome
    appended: Appended | None = None
    actual: int | None = None
    said: str = ""

    @property
    def took(self) -> float:
        """Seconds until the answer."""
        return self.ended - self.began


@dataclass
class Journal:
    """Every attempt of a run. `faults` are the run's faults with their times."""

    attempts: list[Attempt] = field(default_factory=list)
    faults: list[tuple[float, str]] = field(default_factory=list)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    async def ask(self, handler: Appends, request: Request) -> Attempt:
        """One attempt, with an id of its own in the append's metadata, by which it is known again in the log."""
        number = str(next(self._numbers))
        context = Context(request.actor, key=request.key, metadata={"attempt": number})
        began = time.monotonic()
        appended, actual, said = None, None, ""
        try:
            appended = await handler.append(request.stream, request.events, request.expected, context)
            outcome = Outcome.ACKNOWLEDGED
        except Conflict as error:
            outcome, actual = Outcome.CONFLICT, error.actual
        except (Unavailable, Unknown, KeyReused) as error:
            outcome, said = _OUTCOMES[_kind(error)], str(error)
        self.attempts.append(Attempt(number, request, began, time.monotonic(), outcome, appended, actual, said))
        return self.attempts[-1]

    def fault(self, what: str) -> None:
        """Notes a fault."""
        self.faults.append((time.monotonic(), what))

    def of(self, *outcomes: Outcome) -> list[Attempt]:
        """The attempts that ended so."""
        return [attempt for attempt in self.attempts if attempt.outcome in outcomes]

    async def until(self, met: Callable[[Journal], bool], seconds: float, what: str) -> None:
        """Returns once the condition holds; fails after that many seconds."""
        deadline = time.monotonic() + seconds
        while not met(self):
            assert time.monotonic() < deadline, f"not within {seconds} s: {what}; {self.summary()}"
            await asyncio.sleep(0.02)

    def summary(self) -> dict[str, object]:
        """Counts, faults and the windows of more than half a second in which nothing was acknowledged."""
        begun = self.attempts[0].began if self.attempts else 0.0
        return {
            "attempts": len(self.attempts),
            "outcomes": dict(Counter(attempt.outcome.value for attempt in self.attempts)),
            "duplicates": sum(attempt.appended.duplicate for attempt in self.attempts if attempt.appended),
            "longest answer": round(max((attempt.took for attempt in self.attempts), default=0.0), 2),
            "faults": [f"{at - begun:.2f} s {what}" for at, what in self.faults],
            "unavailable": [f"{start - begun:.2f} s for {end - start:.2f} s" for start, end in self.windows()],
        }

    def windows(self) -> list[tuple[float, float]]:
        """Where more than half a second lies between two acknowledgements."""
        acks = sorted(attempt.ended for attempt in self.of(Outcome.ACKNOWLEDGED))
        return [(start, end) for start, end in itertools.pairwise(acks) if end - start > 0.5]


_OUTCOMES = {Unavailable: Outcome.UNAVAILABLE, Unknown: Outcome.UNKNOWN, KeyReused: Outcome.REUSED}


def _kind(error: Exception) -> type[Exception]:
    return next(kind for kind in _OUTCOMES if isinstance(error, kind))
