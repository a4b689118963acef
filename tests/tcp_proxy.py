"""TCP proxies on loopback: one that can lose what a server says, and one that knows Kafka and loses acknowledgements.

The latter reads just enough of Kafka's protocol to know a produce request and the answer to it: both are frames of a
4-byte size and a body; a request's body begins with its API key (0 = produce), version and correlation id, an answer's
with the correlation id.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Self

PRODUCE = 0
CHUNK = 1 << 16
Frame = bytes
Pass = Callable[[Frame], bool]
"""Whether a frame is to be passed on; otherwise the connection is cut right there."""
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class TcpProxy:
    """Passes bytes on, both ways. While `mute`, what the server says is lost, and the connection stays open."""

    def __init__(self, host: str, port: int) -> None:
        self.mute = False
        self.port = 0
        self._target = (host, port)
        self._connections: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def listening(self, port: int = 0) -> AsyncIterator[Self]:
        """Listens on loopback, at a port that it picks itself if none is given."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", port)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            await self.cut()
            await server.wait_closed()

    def lead_to(self, host: str, port: int) -> None:
        """Where new connections lead; those that are there stay."""
        self._target = (host, port)

    async def cut(self) -> None:
        """Ends every connection."""
        for task in tuple(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        """A task of its own for each connection: one that asyncio's server made must not be cancelled."""
        connection = asyncio.create_task(self._serve((client, to_client)))
        self._connections.add(connection)
        await asyncio.wait([connection])
        self._connections.discard(connection)

    async def _serve(self, client: Streams) -> None:
        try:
            await self._connect(client)
        finally:
            client[1].close()

    async def _connect(self, client: Streams) -> None:
        try:
            server = await asyncio.open_connection(*self._target)
        except OSError:
            return
        ways = [asyncio.create_task(way) for way in self._ways(client, server)]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            server[1].close()  # before anything that a second cancellation could interrupt
            await _end(ways)

    def _ways(self, client: Streams, server: Streams) -> list[Coroutine[None, None, None]]:
        """What carries the bytes there and back."""
        return [_carry(client[0], server[1], lambda: True), _carry(server[0], client[1], lambda: not self.mute)]


class KafkaProxy(TcpProxy):
    """Loses the answers to as many produce requests as `lose` says; `lost` counts those that it has lost."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(host, port)
        self.lose = 0
        self.lost = 0

    def _ways(self, client: Streams, server: Streams) -> list[Coroutine[None, None, None]]:
        produced: set[bytes] = set()

        def ask(frame: Frame) -> bool:
            if int.from_bytes(frame[4:6], "big") == PRODUCE:
                produced.add(frame[8:12])
            return True

        def answer(frame: Frame) -> bool:
            return not (frame[4:8] in produced and self._loses())

        return [_pump(client[0], server[1], ask), _pump(server[0], client[1], answer)]

    def _loses(self) -> bool:
        if self.lose <= 0:
            return False
        self.lose -= 1
        self.lost += 1
        return True


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter, passes: Pass) -> None:
    with suppress(OSError, asyncio.IncompleteReadError):
        while True:
            size = await source.readexactly(4)
            frame = size + await source.readexactly(int.from_bytes(size, "big"))
            if not passes(frame):
                return
            target.write(frame)
            await target.drain()


async def _carry(source: asyncio.StreamReader, target: asyncio.StreamWriter, passes: Callable[[], bool]) -> None:
    with suppress(OSError):
        while data := await source.read(CHUNK):
            if passes():
                target.write(data)
                await target.drain()
