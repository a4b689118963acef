"""A real PostgreSQL and a real Redis for the tests, empty for each. Skipped, in words, where none is installed."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

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
from bridge.local.redis import LocalRedis, RedisNode, find_program, start_redis, start_redis_cluster
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


@contextmanager
def redis_server(home: Path, cluster: bool = False) -> Iterator[LocalRedis]:
    """A server of its own, or a cluster of three masters with two replicas each, in a home of its own."""
    settings = Settings(home=home, redis_port=0)
    try:
        find_program(settings)
    except LocalError as error:
        pytest.skip(str(error))
    server = (start_redis_cluster if cluster else start_redis)(settings)
    try:
        yield server
    finally:
        server.stop()


def tell(node: RedisNode, *command: str | bytes | int) -> Any:
    """What a node answers to a command."""
    once = Retry(NoBackoff(), 0)
    with redis.Redis("127.0.0.1", node.port, password=node.password, socket_timeout=10, retry=once) as client:
        return client.execute_command(*command)


def empty(server: LocalRedis) -> None:
    """Removes everything from every master."""
    for node in server.nodes:
        if tell(node, "ROLE")[0] == b"master":
            tell(node, "FLUSHALL")
