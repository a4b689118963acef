"""A TCP proxy in front of a Kafka broker that can lose acknowledgements.

It reads just enough of Kafka's protocol to know a produce request and the answer to it: both are frames of a 4-byte
size and a body; a request's body begins with its API key (0 = produce), version and correlation id, an answer's with
the correlation id.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

PRODUCE = 0
Frame = bytes
Pass = Callable[[Frame], bool]
"""Whether a frame is to be passed on; otherwise the connection is cut right there."""


class KafkaProxy:
    """Loses the answers to as many produce requests as `lose` says; `lost` counts those that it has lost."""

    def __init__(self, host: str, port: int) -> None:
        self.lose = 0
        self.lost = 0
        self.port = 0
        self._target = (host, port)
        self._connections: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def listening(self, port: int = 0) -> AsyncIterator[KafkaProxy]:
        """Listens on loopback, at a port that it picks itself if none is given."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", port)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            await self.cut()
            await server.wait_closed()

    async def cut(self) -> None:
        """Ends every connection."""
        for task in tuple(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        """A task of its own for each connection: one that asyncio's server made must not be cancelled."""
        connection = asyncio.create_task(self._serve(client, to_client))
        self._connections.add(connection)
        await asyncio.wait([connection])
        self._connections.discard(connection)

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        try:
            await self._connect(client, to_client)
        finally:
            to_client.close()

    async def _connect(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        try:
            broker, to_broker = await asyncio.open_connection(*self._target)
        except OSError:
            return
        produced: set[bytes] = set()

        def ask(frame: Frame) -> bool:
            if int.from_bytes(frame[4:6], "big") == PRODUCE:
                produced.add(frame[8:12])
            return True

        def answer(frame: Frame) -> bool:
            return not (frame[4:8] in produced and self._loses())

        ways = [asyncio.create_task(_pump(client, to_broker, ask))]
        ways.append(asyncio.create_task(_pump(broker, to_client, answer)))
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            to_broker.close()  # before anything that a second cancellation could interrupt
            await _end(ways)

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
