"""The reader of the replay rows, in a process of its own: counts server-sent events, as cheaply as can be.

`python -m benchmarks.sse_client PORT PATH MOST` reads until `event: end`, or until MOST events where that is not 0,
and writes what it counted to stdout (JSON).
"""

from __future__ import annotations

import socket
import sys
import time

import msgspec

EVENT = b"\nevent: event\n"
END = b"\nevent: end\n"


class Counted(msgspec.Struct):
    """Seconds from the request to the end and to the first event, events, bytes, and whether the end was told."""

    seconds: float
    first: float
    events: int
    bytes: int
    ended: bool


def read(port: int, path: str, most: int) -> Counted:
    """Reads one replay."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        began = time.perf_counter()
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        counted, rest = Counted(0.0, 0.0, 0, 0, False), b""
        while not counted.ended and (data := connection.recv(1 << 18)):
            counted.bytes += len(data)
            found = rest + data
            counted.events += found.count(EVENT)
            counted.ended = END in found
            rest = found[-len(EVENT) + 1 :]
            if counted.events and not counted.first:
                counted.first = time.perf_counter() - began
                if most and counted.events >= most:
                    break
        counted.seconds = time.perf_counter() - began
        return counted


def main(port: int, path: str, most: int) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(read(port, path, most)))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
