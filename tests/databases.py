"""A real PostgreSQL for the tests: one server a test process, empty tables a test. Skipped, in words, where none is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from bridge.errors import LocalError
from bridge.local.postgres import LocalPostgres, find_programs, start_postgres
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
