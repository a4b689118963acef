"""One PostgreSQL for all tests of its adapter."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bridge.local.postgres import LocalPostgres
from tests.databases import fresh_url, postgres_server


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPostgres]:
    """The server."""
    with postgres_server(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture(scope="session")
def tables(postgres: LocalPostgres) -> str:
    """The URL of the tables that the tests share."""
    return fresh_url(postgres)
