"""Readers of many streams as clients are: server-sent events by httpx, WebSockets by wsproto."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from socket import SO_RCVBUF, SOL_SOCKET
from typing import Any
from urllib.parse import urlencode

import httpx
import msgspec
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Ping, Request, TextMessage

from bridge.settings import Settings

PATIENCE = 30.0


class Sent(msgspec.Struct):
    """One server-sent event, or a heartbeat, which has no event."""

    id: str = ""
    event: str = ""
    data: str = ""
    comment: str = ""

    @property
    def json(self) -> Any:
        """Its data."""
        return json.loads(self.data)


def sent(response: httpx.Response) -> Iterator[Sent]:
    """The blocks of a stream of server-sent events, each as soon as it is complete."""
    one = Sent()
    for line in response.iter_lines():
        if not line:
            yield one
            one = Sent()
            continue
        name, _, value = line.partition(":")
        if name in ("id", "event", "data"):
            setattr(one, name, value.removeprefix(" "))
        elif not name:
            one.comment = value.strip()


def events_of(blocks: Iterator[Sent]) -> Iterator[Sent]:
    """Only the events."""
    return (one for one in blocks if one.event == "event")


class Closed(Exception):
    """The server has closed; `args` are code and reason."""


class Socket:
    """A WebSocket of a reader."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._connection = WSConnection(ConnectionType.CLIENT)
        self._texts: list[str] = []
        self._text = ""
        self.headers: Mapping[str, str] = {}
        self.closed: int | None = None

    @classmethod
    async def open(cls, settings: Settings, query: Any = (), buffer: int | None = None) -> Socket:
        """Connects to `/v1/live`; `buffer` is the size of what the kernel takes in for a client that does not read."""
        reader, writer = await asyncio.open_connection("127.0.0.1", settings.api_port, limit=buffer or 2**16)
        if buffer is not None:
            writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_RCVBUF, buffer)
        socket = cls(reader, writer)
        target = f"/v1/live?{urlencode(query, doseq=True)}"
        writer.write(socket._connection.send(Request(host="127.0.0.1", target=target)))
        while not socket.headers:
            await socket._receive()
        return socket

    async def _receive(self) -> None:
        data = await asyncio.wait_for(self._reader.read(65536), PATIENCE)
        self._connection.receive_data(data or None)
        for event in self._connection.events():
            match event:
                case AcceptConnection():
                    headers = {name.decode(): value.decode() for name, value in event.extra_headers}
                    self.headers = {"accepted": "", **headers}
                case TextMessage():
                    self._text += event.data
                    if event.message_finished:
                        self._texts.append(self._text)
                        self._text = ""
                case Ping():
                    self._writer.write(self._connection.send(event.response()))
                case CloseConnection():
                    self.closed = int(event.code)

    async def next(self) -> dict[str, Any]:
        """The next message. Raises Closed with the code."""
        while not self._texts:
            if self.closed is not None:
                raise Closed(self.closed)
            await self._receive()
        found: dict[str, Any] = json.loads(self._texts.pop(0))
        return found

    async def until(self, kind: str) -> list[dict[str, Any]]:
        """All messages up to and with the next one of this kind."""
        found = [await self.next()]
        while found[-1]["kind"] != kind:
            found.append(await self.next())
        return found

    async def rest(self) -> tuple[list[dict[str, Any]], int]:
        """All messages until the server closes, and its code."""
        found = []
        while True:
            try:
                found.append(await self.next())
            except Closed as closed:
                self._writer.close()
                return found, closed.args[0]

    async def say(self, message: Any) -> None:
        """Sends a message, texts and bytes as they are."""
        if isinstance(message, bytes):
            self._writer.write(self._connection.send(BytesMessage(message)))
        else:
            text = message if isinstance(message, str) else json.dumps(message)
            self._writer.write(self._connection.send(TextMessage(text)))
        await self._writer.drain()

    def leave(self) -> None:
        """Is gone, without a word."""
        self._writer.transport.abort()
