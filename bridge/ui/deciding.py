"""What people decide on a page: who it was is asked for, kept in a cookie, and recorded with the decision."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from bridge.errors import LighthouseError, NotFound
from bridge.events import Appended
from bridge.handle import Context

ACTOR = "lighthouse-actor"
YEAR = 31_536_000

A = TypeVar("A")

Shown = Callable[[str, str], Awaitable[Response]]
"""The part of the page as it is after a decision, for who decided; the text says what was wrong with it."""


class Decision(msgspec.Struct):
    """What every button sends along: who decides."""

    actor: str = ""


def actor_of(request: Request) -> str:
    """Who decided last in this browser."""
    return request.cookies.get(ACTOR, "")


def chosen(request: Request, actions: Mapping[str, A]) -> A:
    """The action that the path names; raises NotFound.

    Only our own script can ask: no form of another site can send its header.
    """
    action = request.path_params["action"]
    if action not in actions or "hx-request" not in request.headers:
        raise NotFound(f"there is no {action[:40]!r} to decide here; there are: {', '.join(actions)}")
    return actions[action]


async def decided(told: Decision, act: Callable[[Context], Awaitable[Appended]], shown: Shown) -> Response:
    """Decides, and answers the part of the page as it is then."""
    actor = told.actor.strip()
    if not actor:
        return await shown("", "Who decides? Fill in “Acting as”: it is recorded with the decision.")
    try:
        await act(Context(actor))
        said = ""
    except LighthouseError as error:
        said = str(error)
    response = await shown(actor, said)
    response.set_cookie(ACTOR, actor, max_age=YEAR, samesite="lax", httponly=True)
    return response
