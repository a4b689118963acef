"""A real PostgreSQL for the tests: one server a test process, empty tables a test. Skipped, in words, where none is."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest

from bridge.errors import LocalError
from bridge.local import ports
from bridge.local.child import Child
from bridge.local.postgres import SETTINGS, LocalPostgres, as_somebody, find_programs, start_postgres
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
    values = SETTINGS | {"port": str(port), "wal_retrieve_retry_interval": "100ms"}
    options = [part for name, value in values.items() for part in ("-c", f"{name}={value}")]
    child = Child(
        "standby", [*as_somebody(), str(programs / "postgres"), "-D", str(data), *options], home / "log", data
    )
    child.start()
    url = server.url.replace(f":{urlsplit(server.url).port}/", f":{port}/")
    try:
        _await_standby(child, url)
        yield url
    finally:
        child.kill()


def _await_standby(child: Child, url: str) -> None:
    until = time.monotonic() + 30
    while True:
        child.check()
        try:
            asyncio.run(execute(url, "SELECT 1"))
        except (asyncpg.PostgresError, OSError):
            assert time.monotonic() < until, "the standby does not answer"
            time.sleep(0.05)
        else:
            return


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
