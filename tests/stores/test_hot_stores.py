"""Every store may be the hot one, beside every other as the history's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from bridge.hot import HotRows
from bridge.local.postgres import LocalPostgres
from bridge.local.redis import LocalRedis
from bridge.settings import Settings
from bridge.store import keys
from bridge.store.contract import Stores, View, Writes
from bridge.store.lmdb_store import LmdbStores
from bridge.store.memory import MemoryStores
from bridge.store.postgres.stores import PostgresStores
from bridge.store.redis.stores import RedisStores
from tests.contract.hot_contract import ACCOUNTS, LOG, PATIENCE, SESSION, Fed, HotContract
from tests.databases import empty, execute
from tests.model.world import PLACE
from tests.tcp_proxy import TcpProxy

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


@pytest.mark.integration
async def test_a_hot_store_that_never_answers_holds_neither_owner_nor_reader(
    postgres: LocalPostgres, tables: str, tmp_path: Path
) -> None:
    """Behind a network that loses all that the server says, while every connection stays open."""
    await execute(tables, "TRUNCATE lighthouse_rows, lighthouse_marks")
    port = urlsplit(postgres.url).port
    assert port
    near = LmdbStores(tmp_path, SETTINGS)
    async with TcpProxy("127.0.0.1", port).listening() as proxy:
        far = PostgresStores(tables.replace(f":{port}/", f":{proxy.port}/"), SETTINGS)
        fed = Fed(near, far)
        await fed.own()
        await fed.take(500, 50)
        await fed.complete()
        proxy.mute = True
        async with asyncio.timeout(PATIENCE):
            await fed.take(len(LOG), 10)
        assert await read(fed, HotRows(far, SESSION)) == ([len(LOG) // len(ACCOUNTS) - 1] * 5, 0)
        proxy.mute = False
        await proxy.cut()
        await fed.complete()
        assert await read(fed, HotRows(far, SESSION)) == ([len(LOG) // len(ACCOUNTS) - 1] * 5, 5)
        await fed.stores.close()
        await far.close()
    await near.close()


async def read(fed: Fed, hot: HotRows) -> tuple[list[int], int]:
    """The versions of five states of now, and how many of them the hot store told."""
    history = fed.reader(hot)
    return [(await history.state(stream, least=len(LOG))).version for stream in ACCOUNTS[:5]], hot.answered


@pytest.mark.integration
class TestRedis(HotContract):
    """Beside a history in LMDB."""

    @pytest.fixture
    async def history(self, tmp_path: Path) -> AsyncIterator[Stores]:
        stores = LmdbStores(tmp_path, SETTINGS)
        yield stores
        await stores.close()

    @pytest.fixture
    def server(self, redis_alone: LocalRedis) -> LocalRedis:
        return redis_alone

    @pytest.fixture
    async def hot(self, server: LocalRedis) -> AsyncIterator[Stores]:
        empty(server)
        stores = RedisStores(server.url, SETTINGS)
        yield stores
        await stores.close()


class TestRedisCluster(TestRedis):
    """Beside a history in LMDB."""

    @pytest.fixture
    def server(self, redis_cluster: LocalRedis) -> LocalRedis:
        return redis_cluster


@pytest.mark.integration
async def test_a_view_that_did_not_last_keeps_nobody_from_the_hot_store(redis_alone: LocalRedis) -> None:
    """Its space was emptied or changed much between two scripts: the store answers, and whoever comes next asks it."""
    empty(redis_alone)
    stores = RedisStores(redis_alone.url, SETTINGS)
    store, hot = stores.open(keys.hot_space(PLACE.space)), HotRows(stores, SESSION)
    mark = await store.commit(await store.own(), 0, Writes({b"a": b"1"}))

    async def outlived(view: View) -> bytes | None:
        await store.wipe(mark)
        return await view.get(b"a")

    async def position(view: View) -> int:
        return view.mark.position

    assert await hot.ask(PLACE.space, outlived) is None
    assert await hot.ask(PLACE.space, position) == -1
    await stores.close()
