"""A real PostgreSQL for the tests: one server a test process, empty tables a test. Skipped, in words, where none is."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest

from bridge.errors import LocalError
from bridge.local import ports
from bridge.local.postgres import (
    LocalPostgres,
    as_somebody,
    await_ready,
    find_programs,
    serving_child,
    start_postgres,
)
from bridge.settings import Settings
from bridge.store.postgres.link import Limits
from bridge.store.postgres.migrate import migrate


@contextmanager
def postgres_server(home: Path) -> Iterator[LocalPostgres]:
    """A server of its own, in an empty home."""
    settings = Settings(home=home, postgres_port=0)
    try:
        find_programs(settings)
    except LocalError as error:
        pytest.skip(str(error))
    server = start_postgres(settings)
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def standby_of(server: LocalPostgres, home: Path) -> Iterator[str]:
    """A hot standby that streams from the server; its URL. It ends with the test."""
    programs, data, (port,) = find_programs(Settings()), home / "standby", ports.pick(1)
    origin = server.url.rpartition("/")[0]
    copied = [*as_somebody(), str(programs / "pg_basebackup"), "-D", str(data), "-R", "-X", "stream", "-d", origin]
    done = subprocess.run(copied, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    data.chmod(0o700)
    more = {"port": str(port), "wal_retrieve_retry_interval": "100ms"}
    child = serving_child("standby", programs, data, home, **more)
    child.start()
    url = server.url.replace(f":{urlsplit(server.url).port}/", f":{port}/")
    try:
        await_ready(child, url, 30.0)
        yield url
    finally:
        child.kill()


def fresh_url(server: LocalPostgres) -> str:
    """The URL of empty tables in the server: a schema of their own, made and migrated."""
    name = f"test_{uuid4().hex}"
    asyncio.run(execute(server.url, f"CREATE SCHEMA {name}"))
    url = f"{server.url}?search_path={name}"
    asyncio.run(migrate(url, Limits.of(Settings())))
    return url


async def execute(url: str, statement: str) -> None:
    """Runs a statement on a connection of its own."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
