"""The page *Reactors*: how far each one is, what it stands still at, and what can be decided of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby

from starlette.requests import Request
from starlette.responses import Response

from bridge import present_reactors as present
from bridge.errors import Invalid, LighthouseError
from bridge.events import Appended
from bridge.handle import Context
from bridge.present_reactors import ReactorAnswer, ReactorPartitionAnswer
from bridge.query.reactors import Condition
from bridge.reactor import Start
from bridge.steering import ReactorSteering
from bridge.ui.asked import sent
from bridge.ui.deciding import Decision, actor_of, chosen, decided
from bridge.ui.window import Window, window

ORDER = [condition.value for condition in Condition]
"""States, the worst first."""


class Told(Decision):
    """Who decides, and of which event, or where in which partition the reactor is to go on."""

    event: str | None = None
    category: str = ""
    partition: int = -1
    at: Start | None = None

    @property
    def place(self) -> Start:
        """Where the reactor is to go on."""
        if self.at is None:
            raise Invalid("at", "where is it to go on: at the beginning, or at the end?")
        return self.at


Decide = Callable[[ReactorSteering, str, Told, Context], Awaitable[Appended]]

ACTIONS: dict[str, Decide] = {
    "retry": lambda steering, name, _, context: steering.retry(name, context),
    "skip": lambda steering, name, told, context: steering.skip(name, told.event, context),
    "place": lambda steering, name, told, context: steering.place(
        name, (told.category, told.partition), told.place, context
    ),
}


@dataclass(frozen=True, slots=True)
class CategoryRow:
    """A reactor in the partitions of one category."""

    category: str
    parts: Sequence[ReactorPartitionAnswer]

    @property
    def state(self) -> str:
        """That of the partition that is worst off."""
        return min((part.state for part in self.parts), key=ORDER.index)

    @property
    def records(self) -> int:
        """The lag of all together."""
        return sum(part.lag_records for part in self.parts)

    @property
    def seconds(self) -> float:
        """The lag where it is longest."""
        return max(part.lag_seconds for part in self.parts)


@dataclass(frozen=True, slots=True)
class Shown:
    """A reactor, its partitions by category, and those in which it stands still."""

    reactor: ReactorAnswer
    categories: Sequence[CategoryRow]
    standing: Sequence[ReactorPartitionAnswer]

    @classmethod
    def of(cls, reactor: ReactorAnswer) -> Shown:
        """From what every other reader is told."""
        groups = groupby(reactor.partitions, key=lambda part: part.category)
        standing = [part for part in reactor.partitions if part.parked is not None or part.lost is not None]
        return cls(reactor, [CategoryRow(name, list(parts)) for name, parts in groups], standing)


async def reactors(request: Request) -> Response:
    """The page, or its part that is renewed."""
    return await _page(request, window(request), actor_of(request))


async def decide(request: Request) -> Response:
    """Decides, and answers the part of the page as it is then."""
    act, here, told = chosen(request, ACTIONS), window(request), await sent(request, Told)
    steering, name = here.platform.reactor_steering, request.path_params["name"]
    return await decided(told, lambda context: act(steering, name, told, context), partial(_page, request, here))


async def _page(request: Request, here: Window, actor: str, said: str | None = None) -> Response:
    """The reactors as they stand; `said` is what came of a decision, None where none was asked for."""
    reading = here.platform.reactors
    try:
        found = [Shown.of(present.of_reactor(await reading.status(name))) for name in reading.names]
        why = ""
    except LighthouseError as error:
        found, why = [], str(error)
    return here.page(request, "reactors", reactors=found, why=why, said=said, actor=actor)
