"""The program with `eventsourcing`, run against a PostgreSQL of this machine."""

from __future__ import annotations

import asyncio
import json
import subprocess
from typing import Any
from urllib.parse import urlsplit

from benchmarks.figure import NotMeasured
from benchmarks.peers.environments import interpreter
from benchmarks.scene import Scene, end

PEER = "eventsourcing"
PATIENCE = 90.0

QUICK = {"POSTGRES_ENABLE_DB_FUNCTIONS": "y"}
"""A function in the database locks, inserts and notifies in one round trip: what its authors measure it with."""


async def ask(scene: Scene, url: str, what: str, **variables: str) -> Any:
    """What the program answers; `what` is append or load. Raises NotMeasured."""
    python = await asyncio.to_thread(interpreter, PEER, scene.settings.cache_root)
    file = scene.settings.root / f"{PEER}-{what}.json"
    file.unlink(missing_ok=True)
    command = [str(python), "-m", "benchmarks.peers.aggregates", what, str(file)]
    process = scene.launch(PEER, command, {"PYTHONPATH": "", **_settings(url), **variables})
    try:
        await asyncio.to_thread(process.wait, PATIENCE)
    except subprocess.TimeoutExpired as error:
        raise NotMeasured(f"{PEER} did not answer in {PATIENCE:.0f} s") from error
    finally:
        end(process)
    if process.returncode:
        raise NotMeasured(f"{PEER} ended with {process.returncode}: {scene.last_words(PEER)}")
    return json.loads(file.read_text())


def _settings(url: str) -> dict[str, str]:
    """The library's settings: one connection a thread at most, none of them made while the clock runs."""
    parts = urlsplit(url)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_HOST": parts.hostname or "",
        "POSTGRES_PORT": str(parts.port),
        "POSTGRES_USER": parts.username or "",
        "POSTGRES_PASSWORD": parts.password or "",
        "POSTGRES_DBNAME": parts.path.removeprefix("/"),
        "POSTGRES_POOL_SIZE": "32",
        "POSTGRES_MAX_OVERFLOW": "0",
    }
