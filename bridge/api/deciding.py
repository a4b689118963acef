"""What the routes share by which a person decides something of a projection or a reactor."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response

from bridge.api.appending import write
from bridge.api.bodies import JSON, convert, media_type, parse, read_body
from bridge.api.front import Front, front
from bridge.api.tokens import AT_LEAST
from bridge.api.writing import Told, caller_of, context, draw_key
from bridge.errors import NotFound
from bridge.events import Appended
from bridge.handle import Context
from bridge.log.ids import request_hash

S = TypeVar("S")

Action = tuple[type[Any], Callable[[S, str, Any, Context], Awaitable[Appended]]]
"""The type of an action's body, and how it is decided: by whom, of what name, with which body, asked by whom."""


@dataclass(frozen=True)
class Actions(Generic[S]):
    """What can be decided of one kind of thing.

    `route`, followed by the action's name, is part of each request hash, which is kept for ever: it never changes.
    """

    thing: str
    route: str
    steering: Callable[[Front], S]
    known: Mapping[str, Action[S]]

    async def decide(self, request: Request) -> Response:
        """Decides what the path names. Raises NotFound, Invalid and what an append raises."""
        here = front(request)
        name, action = (unquote(request.path_params[part]) for part in ("name", "action"))
        if action not in self.known:
            raise NotFound(f"{self.thing} has no {action[:40]!r}; there are: {', '.join(self.known)}")
        kind, decided = self.known[action]
        await here.at_least(request.headers.getlist(AT_LEAST))
        caller = caller_of(request)
        key = caller.key or draw_key(request)
        media_type(request, JSON)
        sent = parse(await read_body(request) or b"{}")
        asked = context(caller, key, Told(), request_hash("POST", self.route + action, None, sent))
        return await write(request, here, decided(self.steering(here), name, convert(sent, kind), asked))
