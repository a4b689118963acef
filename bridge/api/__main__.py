"""`python -m bridge.api`: the API in this process, until SIGINT or SIGTERM; what was acknowledged is finished."""

from __future__ import annotations

import uvicorn

from bridge.api.app import create_app
from bridge.settings import Settings

GRACE = 2
"""Seconds beyond the deadline of a request in which open requests may end."""


def server(settings: Settings) -> uvicorn.Server:
    """The server, not yet running."""
    config = uvicorn.Config(
        create_app(settings),
        host=settings.api_host,
        port=settings.api_port,
        loop="uvloop",
        http="httptools",
        ws="none",
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=round(settings.deadline) + GRACE,
    )
    return uvicorn.Server(config)


if __name__ == "__main__":
    server(Settings()).run()
