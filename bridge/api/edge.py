"""The outermost layer of a request: its path as sent, its time and status, and what no other layer has caught."""

from __future__ import annotations

import time
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bridge.api.metrics import STREAM, Metrics
from bridge.api.problems import internal

NOBODY = 499
"""The status under which a request is counted whose client has left before it was answered."""


class Edge:
    """ASGI middleware; the metrics' route is the route's template, so that streams do not become labels."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["path"].startswith("/v1/"):
            scope["path"] = scope["raw_path"].decode("latin-1")
        answer = _Answer(scope, send, self._metrics)
        try:
            await self._app(scope, receive, answer.send)
        except ClientDisconnect:
            answer.status = NOBODY
        except Exception as error:  # whatever no handler knows is an error of ours: logged, and answered as such
            await _last_resort(scope, receive, answer, error)
        finally:
            answer.measured()


class _Answer:
    """One answer: its status, 0 until it is sent, and its time. A stream is answered once it has begun."""

    def __init__(self, scope: Scope, send: Send, metrics: Metrics) -> None:
        self._scope = scope
        self._send = send
        self._metrics = metrics
        self._started: float | None = time.perf_counter()
        self.status = 0
        metrics.flying += 1

    async def send(self, message: Message) -> None:
        """Passes a message on."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if STREAM in self._scope:
                self.measured()
        await self._send(message)

    def measured(self) -> None:
        """Counts the answer, once."""
        if self._started is None:
            return
        seconds, self._started = time.perf_counter() - self._started, None
        self._metrics.flying -= 1
        self._metrics.observe(self._scope["method"], _route(self._scope), self.status, seconds)


async def _last_resort(scope: Scope, receive: Receive, answer: _Answer, error: Exception) -> None:
    response = internal(scope, error)
    if not answer.status:
        await response(scope, receive, answer.send)


def _route(scope: Scope) -> str:
    route: Any = scope.get("route")
    return str(getattr(route, "path", "unknown"))
