"""`python -m bridge.api`: the API in this process, until SIGINT or SIGTERM; what was acknowledged is finished.

With `--shared` several of these processes listen on one address, and the kernel gives each connection to one of them.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
from contextlib import suppress

import uvicorn

from bridge import collector
from bridge.api.app import create_app
from bridge.api.front import Front
from bridge.errors import LighthouseError, LocalError
from bridge.settings import Settings

GRACE = 2
"""Seconds beyond the deadline of a request in which open requests may end."""
FAREWELL = 1.0
"""Seconds in which the readers of streams leave when they are told."""
BACKLOG = 2048
UNSENT = 128 * 1024
"""Bytes of an answer that the kernel takes beyond what the reader's window has room for (Linux, tcp(7))."""
LONGEST_MESSAGE = 64 * 1024
"""Bytes of a message from a reader."""


def run(settings: Settings, shared: bool = False) -> None:
    """Serves until a signal. Raises LighthouseError where the address is taken or the platform cannot be opened."""
    app = create_app(settings)
    collector.calm()
    with _listening(settings, shared) as listener:
        # uvicorn hands the signal that ended it on to whoever was there before; an orderly end is no death by signal.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        with suppress(SystemExit):  # uvicorn's word for a start that failed; the reason is raised below
            _Server(_config(settings, app)).run([listener])
    failure: LighthouseError | None = app.state.failure
    if failure is not None:
        raise failure


class _Server(uvicorn.Server):
    """Tells the readers of streams before it waits for every answer to end: theirs would never."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Ends the server."""
        front: Front | None = getattr(self.config.app.state, "front", None)  # type: ignore[union-attr]
        if front is not None:
            await front.platform.feed.stop(FAREWELL)
        await super().shutdown(sockets)


def _config(settings: Settings, app: object) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        loop="uvloop",
        http="httptools",
        ws="wsproto",
        ws_max_size=LONGEST_MESSAGE,
        ws_per_message_deflate=False,  # its tables would cost each reader more memory than everything else
        lifespan="on",
        access_log=False,
        log_level="critical",  # what an operator must know, structlog tells; every broken request is not among it
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=round(settings.deadline) + GRACE,
    )


def _listening(settings: Settings, shared: bool) -> socket.socket:
    """The socket, open before the platform is: a taken port is told at once. Raises LocalError."""
    host, port = settings.api_host, settings.api_port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG, reuse_port=shared)
        # What each connection inherits, where the system has it: one that takes nothing for so long is ended, buffers
        # and all; and little that was not sent is kept, for behind megabytes a slow reader looks like a silent one.
        inherited = {"TCP_USER_TIMEOUT": round(settings.reader_patience * 1000), "TCP_NOTSENT_LOWAT": UNSENT}
        for name, value in inherited.items():
            if (option := getattr(socket, name, None)) is not None:
                listener.setsockopt(socket.IPPROTO_TCP, option, value)
        return listener
    except OSError as error:
        where = "LIGHTHOUSE_API_HOST or LIGHTHOUSE_API_PORT"
        raise LocalError(
            f"the API cannot listen on {host}:{port} ({os.strerror(error.errno or 0)}); set {where}"
        ) from error


def main() -> int:
    """Runs the API with the environment's settings; answers the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bridge.api", description=__doc__)
    parser.add_argument("--shared", action="store_true", help="share the address with other API processes")
    asked = parser.parse_args()
    try:
        run(Settings(), asked.shared)
    except LighthouseError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
