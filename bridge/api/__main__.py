"""`python -m bridge.api`: the API in this process, until SIGINT or SIGTERM; what was acknowledged is finished."""

from __future__ import annotations

import os
import signal
import socket
import sys
from contextlib import suppress

import uvicorn

from bridge import collector
from bridge.api.app import create_app
from bridge.errors import LighthouseError, LocalError
from bridge.settings import Settings

GRACE = 2
"""Seconds beyond the deadline of a request in which open requests may end."""
BACKLOG = 2048


def run(settings: Settings) -> None:
    """Serves until a signal. Raises LighthouseError where the address is taken or the platform cannot be opened."""
    app = create_app(settings)
    collector.calm()
    with _listening(settings) as listener:
        # uvicorn hands the signal that ended it on to whoever was there before; an orderly end is no death by signal.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        with suppress(SystemExit):  # uvicorn's word for a start that failed; the reason is raised below
            uvicorn.Server(_config(settings, app)).run([listener])
    failure: LighthouseError | None = app.state.failure
    if failure is not None:
        raise failure


def _config(settings: Settings, app: object) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        access_log=False,
        log_level="critical",  # what an operator must know, structlog tells; every broken request is not among it
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=round(settings.deadline) + GRACE,
    )


def _listening(settings: Settings) -> socket.socket:
    """The socket, open before the platform is: a taken port is told at once. Raises LocalError."""
    host, port = settings.api_host, settings.api_port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        where = "LIGHTHOUSE_API_HOST or LIGHTHOUSE_API_PORT"
        raise LocalError(
            f"the API cannot listen on {host}:{port} ({os.strerror(error.errno or 0)}); set {where}"
        ) from error


def main() -> int:
    """Runs the API with the environment's settings; answers the exit code."""
    try:
        run(Settings())
    except LighthouseError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
