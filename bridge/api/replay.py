"""`GET /v1/replay`: the past at a pace, and then what is new, as server-sent events."""

from __future__ import annotations

import asyncio

import structlog
from fastapi import APIRouter, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from bridge.api.answers import POSITION, encode
from bridge.api.asking import FILTERS, LAST_EVENT_ID, PACE, RANGE, replaying
from bridge.api.front import Front, front
from bridge.api.metrics import STREAM
from bridge.api.openapi import Documented, PlainRoute, documents, header
from bridge.api.problems import told
from bridge.api.streaming import first, gone, stopping
from bridge.api.tokens import AT_LEAST
from bridge.feed.messages import Asked, Beat, Ended, Events, Message, Stopping
from bridge.feed.playback import Playback

EVENT_STREAM = "text/event-stream"
RETRY = b"retry: 1000\n\n"

router = APIRouter(prefix="/v1", tags=["many streams"], route_class=PlainRoute)
HEADERS = (
    header(AT_LEAST, "A Lighthouse-Position to wait for before the stream begins."),
    header(LAST_EVENT_ID, "The last id that came, as browsers send it: goes on behind it, stronger than `cursor`."),
)
PARAMETERS = (*FILTERS, *RANGE, *PACE, *HEADERS)
EACH: Documented = {
    "type": "object",
    "description": "One server-sent event; its data are JSON: a FeedEventAnswer, nothing, or a ProblemAnswer.",
    "properties": {
        "event": {"enum": ["event", "end", "error"]},
        "id": {"type": "string"},
        "data": {"type": "string", "contentMediaType": "application/json"},
        "retry": {"type": "integer"},
    },
}

log = structlog.get_logger()


@router.get("/replay", **documents(EACH, 404, 422, 503, 504, media_type=EVENT_STREAM, parameters=PARAMETERS))
async def replay(request: Request) -> Response:
    """Server-sent events: `event: event` with one event of `/v1/events` as data, and its cursor as `id`.

    Without `follow` it ends with `event: end`, at `to` or at the present. A comment comes as a heartbeat, with an id.
    What goes wrong on the way is told as `event: error`, with problem details.
    """
    here = front(request)
    await here.at_least(request.headers.getlist(AT_LEAST))
    return EventStream(here, replaying(here.platform.feed, request.query_params, request.headers.get(LAST_EVENT_ID)))


class EventStream(Response):
    """A playback as server-sent events; it ends at once when the client leaves."""

    def __init__(self, here: Front, asked: Asked) -> None:
        self._here = here
        self._asked = asked
        self._last = ""
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises what keeps the stream from beginning; from then on everything is told in it."""
        self._send, self._path = send, scope["path"]
        feed = self._here.platform.feed
        async with Playback(feed, self._asked, self._tell) as playback:
            token = self._here.tokens.token(*await feed.positions(playback.spaces))
            scope[STREAM] = "replay"
            await send({"type": "http.response.start", "status": 200, "headers": _headers(token)})
            with self._here.metrics.reading("replay"):
                await first(self._play(playback), gone(receive))

    async def _play(self, playback: Playback) -> None:
        try:
            await self._write(RETRY)
            await playback.run()
        except TimeoutError:
            log.info("slow reader closed", path=self._path)
            return
        except Exception as error:  # the answer has begun: whatever comes is told in it, or logged
            await self._write(_frame("error", encode(told(self._path, error)), self._last))
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _tell(self, message: Message) -> None:
        await self._write(self._framed(message))

    def _framed(self, message: Message) -> bytes:
        match message:
            case Events(entries):
                self._last = entries[-1][0]
                return b"".join([b"id: %b\nevent: event\ndata: %b\n\n" % (id_.encode(), text) for id_, text in entries])
            case Beat(cursor):
                self._last = cursor
                return b": heartbeat\nid: %b\n\n" % cursor.encode()
            case Ended(cursor):
                return _frame("end", b"{}", cursor)
            case Stopping(cursor):
                return _frame("error", encode(stopping(self._path)), cursor)
        raise AssertionError(f"a replay has no {message}")

    async def _write(self, body: bytes) -> None:
        """Raises TimeoutError where the client takes nothing for too long."""
        async with asyncio.timeout(self._here.settings.reader_patience):
            await self._send({"type": "http.response.body", "body": body, "more_body": True})


def _headers(token: str) -> list[tuple[bytes, bytes]]:
    return [
        (b"content-type", EVENT_STREAM.encode()),
        (b"cache-control", b"no-store"),
        (b"x-accel-buffering", b"no"),  # nginx would hold events back
        (POSITION.lower().encode(), token.encode()),
    ]


def _frame(kind: str, data: bytes, cursor: str) -> bytes:
    place = b"id: %b\n" % cursor.encode() if cursor else b""
    return b"%bevent: %b\ndata: %b\n\n" % (place, kind.encode(), data)
