"""What a request can use: the open platform, its position tokens, the metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import unquote

from fastapi import Depends, Header, Request

from bridge.api.metrics import Metrics
from bridge.api.tokens import AT_LEAST, Tokens
from bridge.decisions import CATEGORY as SYSTEM
from bridge.errors import Invalid
from bridge.events import Position, StreamId
from bridge.settings import Settings
from bridge.wiring import Platform


@dataclass(frozen=True)
class Front:
    """The platform as the front sees it, from the start of the process to its end."""

    platform: Platform
    tokens: Tokens
    metrics: Metrics

    @property
    def settings(self) -> Settings:
        """The settings with the addresses that were found."""
        return self.platform.base.settings

    async def at_least(self, tokens: Sequence[str]) -> None:
        """Waits for positions within the deadline. Raises Invalid, NotReached."""
        if tokens:
            await self.tokens.reach(tokens, self.settings.deadline)

    def token(self, position: Position) -> str:
        """The token of one position."""
        return self.tokens.token(position)


def front(request: Request) -> Front:
    """The front of the application that a request came to."""
    found: Front = request.app.state.front
    return found


def stream_of(request: Request) -> str:
    """The stream that the path names; raises Invalid. Paths below /v1 are matched as sent, and unquoted here."""
    parameters = request.path_params
    return str(StreamId.parse(f"{unquote(parameters['category'])}/{unquote(parameters['id'])}"))


def written_stream(request: Request) -> str:
    """The same for a call that writes; raises Invalid for one of the platform's own."""
    stream = stream_of(request)
    if stream.partition("/")[0] == SYSTEM:
        raise Invalid("category", f"what category {SYSTEM} holds is decided by POST /v1/projections/<name>/<action>")
    return stream


async def _reading(
    request: Request,
    category: str,
    id: str,
    at_least: Annotated[list[str] | None, Header(alias=AT_LEAST, description=_AT_LEAST)] = None,
) -> Reading:
    here = front(request)
    stream = stream_of(request)
    await here.at_least(at_least or ())
    return Reading(here, stream, at_least or ())


_AT_LEAST = "A Lighthouse-Position of an earlier answer, once or several times: what was seen then is seen now."


@dataclass(frozen=True)
class Reading:
    """A call that reads one stream, after the positions it asked to wait for."""

    front: Front
    stream: str
    at_least: Sequence[str] = ()

    @property
    def least(self) -> int:
        """The position that the caller must be shown, in the stream's partition."""
        if not self.at_least:
            return 0
        place = self.front.platform.spaces.of(self.stream).place
        return self.front.tokens.wanted(self.at_least).get((place.category, place.partition), 0)


ReadingOf = Annotated[Reading, Depends(_reading)]
