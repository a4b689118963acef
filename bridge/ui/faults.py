"""Errors as pages: what the API answers as a problem (RFC 9457) is shown to whoever asked for a page.

The outermost layer, so that it sees every problem there is: a rule's, a router's, and that of a bug.
"""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bridge.ui.asked import partial
from bridge.ui.render import Renderer

FOR_PROGRAMS = ("/v1/", "/health/", "/metrics", "/static/", "/openapi.json", "/docs")
PROBLEM = b"application/problem+json"
KEPT = (b"retry-after", b"allow")
"""Headers of a problem that its page has too."""


class Problem(msgspec.Struct):
    """What a page tells of a problem."""

    status: int
    title: str
    detail: str = ""


class Faults:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, renderer: Renderer) -> None:
        self._app = app
        self._renderer = renderer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request; those of programs pass untouched."""
        if scope["type"] != "http" or scope["path"].startswith(FOR_PROGRAMS) or not _reads_html(scope):
            await self._app(scope, receive, send)
            return
        held = _Held(send)
        await self._app(scope, receive, held.send)
        if held.start is not None:
            await self._show(scope, receive, send, held)

    async def _show(self, scope: Scope, receive: Receive, send: Send, held: _Held) -> None:
        problem = msgspec.json.decode(bytes(held.body), type=Problem)
        request = Request(scope, receive)
        page = self._renderer.page(request, "fault", problem.status, problem=problem, asked_part=partial(request))
        page.raw_headers.extend(pair for pair in held.headers if pair[0].lower() in KEPT)
        await page(scope, receive, send)


class _Held:
    """Passes messages on, but keeps a problem for itself."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.start: Message | None = None
        self.body = bytearray()

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The headers of the problem."""
        return list(self.start["headers"]) if self.start else []

    async def send(self, message: Message) -> None:
        """One message."""
        if message["type"] == "http.response.start" and (b"content-type", PROBLEM) in message["headers"]:
            self.start = message
        elif self.start is not None and message["type"] == "http.response.body":
            self.body += message.get("body", b"")
        else:
            await self._send(message)


def _reads_html(scope: Scope) -> bool:
    headers: dict[bytes, Any] = dict(scope["headers"])
    return b"text/html" in headers.get(b"accept", b"") or b"hx-request" in headers
