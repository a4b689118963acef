"""The page *Projections*: how each one stands and did, what it stands still at, and what can be decided of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from bridge import present
from bridge.errors import Invalid, LighthouseError, NotFound
from bridge.events import Appended
from bridge.handle import Context
from bridge.steering import Steering
from bridge.ui.asked import asked, sent
from bridge.ui.window import Window, window

ACTOR = "lighthouse-actor"
YEAR = 31_536_000


class CourseQuery(msgspec.Struct):
    """Samples after this time, in seconds since 1970."""

    after: float = 0.0


class Decision(msgspec.Struct):
    """What a button sends along: who decides, and of which build or event."""

    actor: str = ""
    version: int | None = None
    generation: int = 0
    event: str | None = None

    @property
    def build(self) -> tuple[int, int]:
        """The build that is meant."""
        if self.version is None:
            raise Invalid("version", "which build is meant?")
        return self.version, self.generation


Decide = Callable[[Steering, str, Decision, Context], Awaitable[Appended]]

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
    return await _page(request, here, request.cookies.get(ACTOR, ""))


async def course(request: Request) -> Response:
    """The samples for the plots."""
    here = window(request)
    here.course.visit()
    return JSONResponse(here.course.since(asked(request, CourseQuery).after), headers={"Cache-Control": "no-store"})


async def decide(request: Request) -> Response:
    """Decides, and answers the part of the page as it is then.

    Only our own script can ask: no form of another site can send its header.
    """
    here, told = window(request), await sent(request, Decision)
    name, action = request.path_params["name"], request.path_params["action"]
    if action not in ACTIONS or "hx-request" not in request.headers:
        raise NotFound(f"a projection has no {action[:40]!r} here; there are: {', '.join(ACTIONS)}")
    if not told.actor.strip():
        return await _page(request, here, "", "Who decides? Fill in “Acting as”: it is recorded with the decision.")
    try:
        await ACTIONS[action](here.platform.steering, name, told, Context(told.actor.strip()))
        said = ""
    except LighthouseError as error:
        said = str(error)
    response = await _page(request, here, told.actor, said)
    response.set_cookie(ACTOR, told.actor.strip(), max_age=YEAR, samesite="lax", httponly=True)
    return response


async def _page(request: Request, here: Window, actor: str, said: str | None = None) -> Response:
    """The projections as they stand; `said` is what came of a decision, None where none was asked for."""
    reading = here.platform.projections
    try:
        found = [present.of_projection(await reading.status(name)) for name in reading.names]
        why = ""
    except LighthouseError as error:
        found, why = [], str(error)
    return here.page(request, "projections", projections=found, why=why, said=said, actor=actor)
