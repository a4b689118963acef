"""The memory adapter keeps the contract; the factory finds it by its URL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from bridge.errors import Fenced, LighthouseError
from bridge.settings import Settings
from bridge.store.contract import Mark, Stores, Writes
from bridge.store.factory import open_stores
from bridge.store.lmdb_store import LmdbStores
from bridge.store.memory import MemoryStores
from tests.contract.store_contract import StoreContract


class TestMemory(StoreContract):
    """The whole contract."""

    @pytest.fixture
    async def stores(self) -> AsyncIterator[Stores]:
        stores = MemoryStores()
        yield stores
        await stores.close()

    @pytest.fixture
    def reopen(self) -> Callable[[Stores], Awaitable[Stores]]:
        async def again(stores: Stores) -> Stores:
            await stores.close()
            return stores

        return again


async def test_the_age_of_a_beat_is_by_the_injected_clock() -> None:
    now = 100.0
    store = MemoryStores(lambda: now).open("a")
    mark = await store.commit(await store.own(), 0, Writes())
    now = 103.0
    async with store.view() as view:
        assert view.beat_age == 3.0
    mark = await store.own()
    async with store.view() as view:
        assert view.beat_age == 3.0
    await store.beat(mark)
    async with store.view() as view:
        assert view.beat_age == 0.0


async def test_a_closed_store_has_no_views() -> None:
    store = MemoryStores().open("a")
    await store.close()
    with pytest.raises(LighthouseError, match="closed"):
        store.view()


async def test_of_two_owners_with_the_same_mark_one_commits() -> None:
    """The store goes back to what it was before one of them owned it, and then another one does, by the same epoch."""
    store = MemoryStores().open("a")
    first, second, before = store.beside(), store.beside(), store.state
    mark = await first.own()
    store.state = before
    assert await second.own() == mark
    for late in (first.commit(mark, 0, Writes()), first.beat(mark), first.wipe(mark)):
        with pytest.raises(Fenced, match="another owner"):
            await late
    assert await second.commit(mark, 0, Writes()) == Mark(1, 1, 0)


async def test_who_waits_beside_the_owner_hears_of_its_commit() -> None:
    store = MemoryStores().open("a")
    waiting = asyncio.create_task(store.beside().wait(0, 5))
    await asyncio.sleep(0)
    mark = await store.commit(await store.own(), 0, Writes())
    assert await asyncio.wait_for(waiting, 1) == mark


@pytest.mark.parametrize("url", ["memory", "memory:"])
def test_memory_has_a_url(url: str) -> None:
    assert isinstance(open_stores(url, Settings()), MemoryStores)


@pytest.mark.parametrize("url", ["lmdb", "lmdb:", "lmdb:///var/lib/light%20house"])
def test_lmdb_has_a_url(url: str) -> None:
    assert isinstance(open_stores(url, Settings()), LmdbStores)


def test_a_url_may_name_the_directory(tmp_path: Path) -> None:
    open_stores(f"lmdb://{tmp_path}/light%20house", Settings(lmdb_map_mb=1)).open("a-0")
    assert (tmp_path / "light house" / "a-0" / "data.mdb").exists()


@pytest.mark.parametrize(
    "url", ["", "mysql://localhost", "memory:x", "lmdb:relative", "lmdb://host/path", "lmdb:///p?x"]
)
def test_any_other_url_is_refused_with_what_to_do(url: str) -> None:
    with pytest.raises(LighthouseError, match=r"names no store.*use lmdb"):
        open_stores(url, Settings())
