"""The Redis adapter keeps the contract, on a real server and on a real cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from bridge.local.redis import LocalRedis
from bridge.settings import Settings
from bridge.store.contract import Stores
from bridge.store.redis.stores import RedisStores
from tests.contract.store_contract import StoreContract
from tests.databases import empty

pytestmark = pytest.mark.integration

FEW = Settings(redis_pool=4)
SURE = Settings(redis_pool=4, redis_replicas=1)


class TestRedis(StoreContract):
    """The whole contract, with few connections."""

    settings = FEW

    @pytest.fixture
    def server(self, redis_alone: LocalRedis) -> LocalRedis:
        return redis_alone

    @pytest.fixture
    async def stores(self, server: LocalRedis) -> AsyncIterator[Stores]:
        empty(server)
        stores = RedisStores(server.url, self.settings)
        yield stores
        await stores.close()

    @pytest.fixture
    async def reopen(self, server: LocalRedis) -> AsyncIterator[Callable[[Stores], Awaitable[Stores]]]:
        opened = []

        async def again(stores: Stores) -> Stores:
            await stores.close()
            opened.append(RedisStores(server.url, self.settings))
            return opened[-1]

        yield again
        for stores in opened:
            await stores.close()


class TestRedisCluster(TestRedis):
    """The same with three masters, each of whose commits a replica confirms."""

    settings = SURE

    @pytest.fixture
    def server(self, redis_cluster: LocalRedis) -> LocalRedis:
        return redis_cluster
