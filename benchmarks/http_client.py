"""The load of the HTTP rows, in a process of its own: replays prepared requests over keep-alive connections.

`python -m benchmarks.http_client PORT` reads scripts from stdin, one a connection (msgpack, a list of lists of whole
requests as bytes), and writes seconds, latencies and the number of answers a status to stdout (JSON).
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import cast

import msgspec
import uvloop

END = b"\r\n\r\n"
LENGTH = b"content-length:"


class Answers(msgspec.Struct):
    """What the client found."""

    seconds: float
    latencies: list[float]
    statuses: dict[str, int]


class Connection(asyncio.Protocol):
    """Sends each request of its script once the answer to the one before is complete."""

    def __init__(self, script: Sequence[bytes], done: asyncio.Future[None]) -> None:
        self.latencies: list[float] = []
        self.statuses: Counter[str] = Counter()
        self._script = iter(script)
        self._done = done
        self._buffer = b""
        self._needed = 0
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._next()

    def _next(self) -> None:
        request = next(self._script, None)
        if request is None:
            self._transport.close()
            self._done.set_result(None)
            return
        self._buffer, self._needed = b"", 0
        self._sent = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._needed and END in self._buffer:
            self._needed = _size(self._buffer)
        if self._needed and len(self._buffer) >= self._needed:
            self.latencies.append(time.perf_counter() - self._sent)
            self.statuses[self._buffer[9:12].decode()] += 1
            self._next()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(ConnectionError(f"the server closed a connection: {error}"))


def _size(answer: bytes) -> int:
    """The whole answer's size in bytes, from its head."""
    head = answer[: answer.index(END)].lower()
    place = head.index(LENGTH) + len(LENGTH)
    return len(head) + len(END) + int(head[place:].split(b"\r", 1)[0])


async def replay(port: int, scripts: Sequence[Sequence[bytes]]) -> Answers:
    """Replays the scripts beside each other."""
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    connections = await asyncio.gather(*(_connect(loop, port, script) for script in scripts))
    seconds = time.perf_counter() - began
    statuses = sum((each.statuses for each in connections), Counter[str]())
    return Answers(seconds, [one for each in connections for one in each.latencies], dict(statuses))


async def _connect(loop: asyncio.AbstractEventLoop, port: int, script: Sequence[bytes]) -> Connection:
    done: asyncio.Future[None] = loop.create_future()
    _, connection = await loop.create_connection(lambda: Connection(script, done), "127.0.0.1", port)
    await done
    return connection


def main(port: int) -> None:
    scripts = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=list[list[bytes]])
    sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(replay(port, scripts))))


if __name__ == "__main__":
    main(int(sys.argv[1]))
