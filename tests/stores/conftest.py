"""One PostgreSQL, one Redis and one Redis Cluster for all tests of their adapters."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bridge.local.postgres import LocalPostgres
from bridge.local.redis import LocalRedis
from tests.databases import fresh_url, postgres_server, redis_server


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPostgres]:
    """The server."""
    with postgres_server(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture(scope="session")
def tables(postgres: LocalPostgres) -> str:
    """The URL of the tables that the tests share."""
    return fresh_url(postgres)


@pytest.fixture(scope="session")
def redis_alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRedis]:
    """One server."""
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRedis]:
    """A cluster of three masters with two replicas each, which no test disturbs."""
    with redis_server(tmp_path_factory.mktemp("cluster"), cluster=True) as server:
        yield server
