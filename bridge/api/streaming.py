"""What replays over HTTP and readers over WebSocket have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from starlette.types import Receive

from bridge.api.problems import Told, told
from bridge.errors import Unavailable


async def first(*works: Coroutine[Any, Any, None]) -> None:
    """Runs them beside each other until one has ended, and ends the others; raises what that one raised."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


async def gone(receive: Receive) -> None:
    """Returns when the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


def stopping(path: str) -> Told:
    """What readers are told when this process is about to end."""
    return told(path, Unavailable("this server is about to stop; go on from the last cursor"))
