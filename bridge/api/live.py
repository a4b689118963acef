"""`WS /v1/live`: what is new as it comes, after a replay where one is asked for; the reader may pause it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
import structlog
from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect

from bridge.api.answers import POSITION
from bridge.api.asking import FASTEST, living
from bridge.api.front import Front
from bridge.api.problems import told
from bridge.api.streaming import first, stopping
from bridge.errors import BadInput, Invalid, LighthouseError, TooSlow
from bridge.feed.messages import Asked, Beat, Ended, Events, Message, Paused, Resumed, Stopping
from bridge.feed.playback import Playback

WRONG = 1008
"""Close code: the reader asked for something that cannot be."""
STOPS = 1012
LATER = 1013

router = APIRouter()
log = structlog.get_logger()


class Pause(msgspec.Struct, tag_field="do", tag="pause", forbid_unknown_fields=True):
    """Nothing more comes after the answer `paused`."""


class Resume(msgspec.Struct, tag_field="do", tag="resume", forbid_unknown_fields=True):
    """Goes on, after the answer `resumed`."""


class Speed(msgspec.Struct, tag_field="do", tag="speed", forbid_unknown_fields=True):
    """Another speed of the replay."""

    speed: Annotated[float, msgspec.Meta(ge=0, le=FASTEST)]


_said: msgspec.json.Decoder[Pause | Resume | Speed] = msgspec.json.Decoder(Pause | Resume | Speed)


@router.websocket("/v1/live")
async def live(socket: WebSocket) -> None:
    """Messages are JSON texts; `docs/http.md` lists them."""
    here: Front = socket.app.state.front
    try:
        await here.at_least(socket.query_params.getlist("at_least"))
        await _Reader(here, socket, living(here.platform.feed, socket.query_params)).run()
    except LighthouseError as error:
        await _refuse(socket, error)


async def _refuse(socket: WebSocket, error: LighthouseError) -> None:
    """Says what is wrong in a message, for a browser shows its page nothing of a handshake that fails."""
    await socket.accept()
    await socket.send_text(_text("problem", told(socket.url.path, error)))
    await socket.close(WRONG if isinstance(error, BadInput) else LATER)


class _Reader:
    """One WebSocket."""

    def __init__(self, here: Front, socket: WebSocket, asked: Asked) -> None:
        self._here = here
        self._socket = socket
        self._asked = asked

    async def run(self) -> None:
        """Until the reader leaves, or has been told everything. Raises what keeps it from beginning."""
        feed = self._here.platform.feed
        async with Playback(feed, self._asked, self._tell) as playback:
            token = self._here.tokens.token(*await feed.positions(playback.spaces))
            await self._socket.accept(headers=[(POSITION.lower().encode(), token.encode())])
            with self._here.metrics.reading("live"):
                await first(self._play(playback), self._listen(playback))

    async def _play(self, playback: Playback) -> None:
        """To the end; a reader that takes nothing cannot be told of it, nor that it was too slow before."""
        try:
            code = await self._played(playback)
        except (TimeoutError, WebSocketDisconnect):
            log.info("slow reader closed", path=self._socket.url.path)
        else:
            await self._socket.close(code)

    async def _played(self, playback: Playback) -> int:
        """The code to close with. Raises TimeoutError, WebSocketDisconnect where nothing can be sent any more."""
        try:
            await playback.run()
        except TooSlow as error:
            await self._say(_text("slow", {"detail": str(error)}))
            return LATER
        except (TimeoutError, WebSocketDisconnect):
            raise
        except Exception as error:  # the reader has begun: whatever comes is told, or logged
            await self._say(_text("problem", told(self._socket.url.path, error)))
            return LATER
        return STOPS if self._here.platform.feed.stopping else 1000

    async def _listen(self, playback: Playback) -> None:
        while (message := await self._socket.receive())["type"] != "websocket.disconnect":
            try:
                self._do(playback, message.get("text") or "")
            except Invalid as error:
                await self._say(_text("problem", told(self._socket.url.path, error)))

    def _do(self, playback: Playback, text: str) -> None:
        match _parsed(text):
            case Pause():
                playback.pause()
            case Resume():
                playback.resume()
            case Speed(speed):
                playback.speed(speed)

    async def _tell(self, message: Message) -> None:
        match message:
            case Events(entries):
                for cursor, text in entries:
                    await self._say(f'{{"kind":"event","cursor":"{cursor}","event":{text.decode()}}}')
            case Beat(cursor):
                await self._say(_text("heartbeat", {"cursor": cursor}))
            case Paused():
                await self._say(_text("paused"))
            case Resumed():
                await self._say(_text("resumed"))
            case Ended(cursor):
                await self._say(_text("end", {"cursor": cursor}))
            case Stopping(cursor):
                await self._say(_text("problem", {**stopping(self._socket.url.path), "cursor": cursor}))

    async def _say(self, text: str) -> None:
        """Raises TimeoutError where the reader takes nothing for too long."""
        async with asyncio.timeout(self._here.settings.reader_patience):
            await self._socket.send_text(text)


def _parsed(text: str) -> Pause | Resume | Speed:
    try:
        return _said.decode(text)
    except msgspec.DecodeError as error:
        raise Invalid("", f"{text[:80]!r} is no message of a reader: {error}") from None


def _text(kind: str, members: Mapping[str, Any] | None = None) -> str:
    return msgspec.json.encode({"kind": kind, **(members or {})}).decode()
