"""The page *Projections*: how each one stands and did, what it stands still at, and what can be decided of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from bridge import present
from bridge.errors import Invalid, LighthouseError
from bridge.events import Appended
from bridge.handle import Context
from bridge.steering import Steering
from bridge.ui.asked import asked, sent
from bridge.ui.deciding import Decision, actor_of, chosen, decided
from bridge.ui.window import Window, window


class CourseQuery(msgspec.Struct):
    """Samples after this time, in seconds since 1970."""

    after: float = 0.0


class Told(Decision):
    """Who decides, and of which build or event."""

    version: int | None = None
    generation: int = 0
    event: str | None = None

    @property
    def build(self) -> tuple[int, int]:
        """The build that is meant."""
        if self.version is None:
            raise Invalid("version", "which build is meant?")
        return self.version, self.generation


Decide = Callable[[Steering, str, Told, Context], Awaitable[Appended]]

ACTIONS: dict[str, Decide] = {
    "rebuild": lambda steering, name, told, context: steering.rebuild(name, told.version, context),
    "retry": lambda steering, name, told, context: steering.retry(name, told.version, context),
    "skip": lambda steering, name, told, context: steering.skip(name, told.event, context),
    "answer": lambda steering, name, told, context: steering.answer(name, told.build, context),
    "drop": lambda steering, name, told, context: steering.drop(name, told.build, context),
}


async def projections(request: Request) -> Response:
    """The page, or its part that is renewed."""
    here = window(request)
    here.course.visit()
    return await _page(request, here, actor_of(request))


async def course(request: Request) -> Response:
    """The samples for the plots."""
    here = window(request)
    here.course.visit()
    return JSONResponse(here.course.since(asked(request, CourseQuery).after), headers={"Cache-Control": "no-store"})


async def decide(request: Request) -> Response:
    """Decides, and answers the part of the page as it is then."""
    act, here, told = chosen(request, ACTIONS), window(request), await sent(request, Told)
    steering, name = here.platform.steering, request.path_params["name"]
    return await decided(told, lambda context: act(steering, name, told, context), partial(_page, request, here))


async def _page(request: Request, here: Window, actor: str, said: str | None = None) -> Response:
    """The projections as they stand; `said` is what came of a decision, None where none was asked for."""
    reading = here.platform.projections
    try:
        found = [present.of_projection(await reading.status(name)) for name in reading.names]
        why = ""
    except LighthouseError as error:
        found, why = [], str(error)
    return here.page(request, "projections", projections=found, why=why, said=said, actor=actor)
