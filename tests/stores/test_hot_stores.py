"""Every store may be the hot one, beside every other as the history's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge.settings import Settings
from bridge.store.contract import Stores
from bridge.store.lmdb_store import LmdbStores
from bridge.store.memory import MemoryStores
from bridge.store.postgres.stores import PostgresStores
from tests.contract.hot_contract import HotContract
from tests.databases import execute

SETTINGS = Settings(lmdb_map_mb=64, postgres_pool=4)


class TestMemory(HotContract):
    """Beside a history in memory."""

    @pytest.fixture
    def history(self) -> Stores:
        return MemoryStores()

    @pytest.fixture
    def hot(self) -> Stores:
        return MemoryStores()


class TestLmdb(HotContract):
    """Both in one directory."""

    @pytest.fixture
    async def history(self, tmp_path: Path) -> AsyncIterator[Stores]:
        stores = LmdbStores(tmp_path, SETTINGS)
        yield stores
        await stores.close()

    @pytest.fixture
    def hot(self, history: Stores) -> Stores:
        return history


@pytest.mark.integration
class TestPostgres(HotContract):
    """Both in one database, with few connections."""

    @pytest.fixture
    async def history(self, tables: str) -> AsyncIterator[Stores]:
        await execute(tables, "TRUNCATE lighthouse_rows, lighthouse_marks")
        stores = PostgresStores(tables, SETTINGS)
        yield stores
        await stores.close()

    @pytest.fixture
    def hot(self, history: Stores) -> Stores:
        return history
