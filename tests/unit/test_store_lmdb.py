"""The LMDB adapter keeps the contract, and what only it can meet: other processes, a full map, reboots, damage."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from uuid import uuid4

import pytest

from bridge.errors import Fenced, LighthouseError, Unknown
from bridge.settings import Settings
from bridge.store.contract import UNOWNED, Mark, Stores, Writes
from bridge.store.lmdb_env import READERS
from bridge.store.lmdb_store import LmdbStore, LmdbStores
from bridge.store.machine import boot_id
from tests.contract.store_contract import StoreContract, mark_of, puts, rows_of

SMALL = Settings(lmdb_map_mb=1, lmdb_lock_patience=0.3)
SPACE = "lighthouse.bank-0"
Use = Callable[[], Awaitable[Mark]]
spawn = get_context("spawn")


class TestLmdb(StoreContract):
    """The whole contract, with a map that must grow on the way."""

    @pytest.fixture
    async def stores(self, tmp_path: Path) -> AsyncIterator[Stores]:
        stores = LmdbStores(tmp_path, SMALL)
        yield stores
        await stores.close()

    @pytest.fixture
    async def reopen(self, tmp_path: Path) -> AsyncIterator[Callable[[Stores], Awaitable[Stores]]]:
        opened = []

        async def again(stores: Stores) -> Stores:
            await stores.close()
            opened.append(LmdbStores(tmp_path, SMALL))
            return opened[-1]

        yield again
        for stores in opened:
            await stores.close()


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[LmdbStores]:
    stores = LmdbStores(tmp_path, SMALL)
    yield stores
    await stores.close()


@pytest.fixture
def store(stores: LmdbStores) -> LmdbStore:
    return stores.open(SPACE)


class Child:
    """A reading process that answers `wait <position>` with the mark and the row `a` as it sees them."""

    def __init__(self, directory: Path) -> None:
        self.pipe, inside = spawn.Pipe()
        self.process = spawn.Process(target=_read_along, args=(directory, inside), daemon=True)
        self.process.start()

    def sees(self, position: int) -> tuple[Mark, bytes | None]:
        """What the process sees once the position is reached; blocks."""
        self.pipe.send(position)
        return self.hears()

    def hears(self) -> tuple[Mark, bytes | None]:
        """The next answer; blocks."""
        assert self.pipe.poll(20), "the reading process did not answer"
        answer: tuple[Mark, bytes | None] = self.pipe.recv()
        return answer


def _read_along(directory: Path, pipe: Connection) -> None:
    asyncio.run(_answer(directory, pipe))


async def _answer(directory: Path, pipe: Connection) -> None:
    store = LmdbStores(directory, SMALL).open(SPACE)
    while True:
        position = await asyncio.to_thread(pipe.recv)
        mark = await store.wait(position, 20)
        async with store.view() as view:
            row = await view.get(b"a")
            pipe.send((mark, row))
            if position == STAY:
                pipe.recv()  # with the view open, for ever


STAY = 1000


@pytest.fixture
async def child(store: LmdbStore, tmp_path: Path) -> AsyncIterator[Child]:
    child = Child(tmp_path)
    yield child
    child.process.kill()
    child.process.join()


async def test_another_process_reads_and_waits(store: LmdbStore, child: Child) -> None:
    mark = await store.commit(await store.own(), 0, puts((b"a", b"1")))
    assert child.sees(0) == (mark, b"1")
    child.pipe.send(1)
    assert not child.pipe.poll(0.05)
    mark = await store.commit(mark, 1, puts((b"a", b"2")))
    assert child.hears() == (mark, b"2")


async def test_a_full_map_grows_and_readers_adopt_it(store: LmdbStore, child: Child) -> None:
    mark = await store.commit(await store.own(), 0, puts((b"a", b"0")))
    assert child.sees(0) == (mark, b"0")
    for position in range(1, 9):
        row = os.urandom(1 << 20)
        mark = await store.commit(mark, position, puts((b"a", row), (b"%d" % position, row)))
        assert child.sees(position) == (mark, row)
    assert len(await rows_of(store)) == 9


async def test_a_view_left_open_while_the_map_grows_is_ended(store: LmdbStore) -> None:
    mark = await store.commit(await store.own(), 0, puts((b"a", b"0")))
    async with store.view() as view:
        assert await view.get(b"a") == b"0"
        mark = await store.commit(mark, 1, puts((b"b", os.urandom(3 << 20))))
        with pytest.raises(Unknown, match="left open"):
            await view.get(b"a")
        with pytest.raises(Unknown):
            await view.scan(b"")
    assert (await mark_of(store)).position == 1


async def test_growing_waits_for_the_views_that_are_open(store: LmdbStore) -> None:
    mark = await store.commit(await store.own(), 0, puts((b"a", b"0")))
    async with store.view() as view:
        growing = asyncio.create_task(store.commit(mark, 1, puts((b"b", os.urandom(3 << 20)))))
        await asyncio.sleep(0)
        entering = asyncio.create_task(mark_of(store))
        await asyncio.sleep(0)
        assert not growing.done()
        assert not entering.done()
        assert await view.get(b"a") == b"0"
    assert await asyncio.wait_for(growing, 0.9) == Mark(1, 2, 1)
    assert (await entering).epoch == 1


async def test_dead_readers_are_cleaned_up(store: LmdbStore, child: Child) -> None:
    mark = await store.commit(await store.own(), STAY, puts((b"a", b"1")))
    child.sees(STAY)
    readers = store._environment._lmdb.readers
    assert f"{child.process.pid} " in readers()
    child.process.kill()
    child.process.join()
    for _ in range(30):
        await store.beat(mark)
    assert f"{child.process.pid} " not in readers()


async def test_nobody_polls_when_nobody_waits(stores: LmdbStores, store: LmdbStore) -> None:
    await store.commit(await store.own(), 0, Writes())
    with pytest.raises(LighthouseError):
        await store.wait(5, 0.01)
    task = stores._poller._task
    assert task is not None
    await asyncio.wait_for(task, 1)


async def test_a_path_is_open_once_in_a_process(store: LmdbStore, tmp_path: Path) -> None:
    with pytest.raises(LighthouseError, match="already open"):
        LmdbStores(tmp_path, SMALL).open(SPACE)
    assert await mark_of(store) == UNOWNED


async def test_a_forked_child_is_refused(store: LmdbStore, tmp_path: Path) -> None:
    child = os.fork()
    if not child:
        os._exit(await _refusals(store, tmp_path))
    _, status = await asyncio.to_thread(os.waitpid, child, 0)
    assert os.waitstatus_to_exitcode(status) == 3
    assert await store.own() == Mark(1, 0, -1)


async def _refusals(store: LmdbStore, directory: Path) -> int:
    """How many of three uses in a forked child are refused."""
    refused = 0
    uses: list[Use] = [
        lambda: mark_of(store),
        lambda: store.own(),
        lambda: mark_of(LmdbStores(directory, SMALL).open(SPACE)),
    ]
    for use in uses:
        try:
            await use()
        except LighthouseError as error:
            refused += "fork" in str(error)
    return refused


async def test_a_closed_store_says_so(store: LmdbStore) -> None:
    mark = await store.own()
    await store.close()
    await store.close()
    uses: list[Use] = [
        lambda: mark_of(store),
        lambda: store.own(),
        lambda: store.commit(mark, 0, Writes()),
        lambda: store.wait(1, 1),
    ]
    for use in uses:
        with pytest.raises(LighthouseError, match="closed"):
            await use()


@pytest.mark.parametrize("space", ["", ".", "..", "a/b", ".hidden", "a b", "x" * 201, "a\n"])
def test_a_space_is_a_safe_file_name(tmp_path: Path, space: str) -> None:
    with pytest.raises(LighthouseError, match="cannot name a space"):
        LmdbStores(tmp_path, SMALL).open(space)
    assert list(tmp_path.iterdir()) == []


async def test_a_beat_of_another_boot_is_infinitely_old(store: LmdbStore) -> None:
    await store.beat(await store.own())
    with store._environment.begin_writing() as txn:
        txn.put(b"\0beat", uuid4().bytes + bytes(8))
    async with store.view() as view:
        assert view.beat_age == math.inf


async def _written(directory: Path, close: bool) -> None:
    """A space with one row, in an environment that was closed or not."""
    stores = LmdbStores(directory, SMALL)
    store = stores.open(SPACE)
    await store.commit(await store.own(), 5, puts((b"a", b"1")))
    await stores.close()
    if not close:
        (directory / SPACE / "boot").write_text(str(boot_id()))


def _reboot(directory: Path) -> None:
    """Makes the record of the last boot one of another boot."""
    record = directory / SPACE / "boot"
    record.write_text(record.read_text().replace(str(boot_id()), str(uuid4())))


@pytest.mark.parametrize(("closed", "rebooted", "kept"), [(1, 0, 1), (1, 1, 1), (0, 0, 1), (0, 1, 0)])
async def test_only_a_reboot_without_a_close_starts_anew(tmp_path: Path, closed: int, rebooted: int, kept: int) -> None:
    await _written(tmp_path, bool(closed))
    if rebooted:
        _reboot(tmp_path)
    stores = LmdbStores(tmp_path, SMALL)
    store = stores.open(SPACE)
    assert (await mark_of(store)).position == (5 if kept else -1)
    assert await rows_of(store) == ({b"a": b"1"} if kept else {})
    await store.commit(await store.own(), 6, Writes())
    await stores.close()


async def test_only_the_owner_says_that_it_closed_cleanly(tmp_path: Path, store: LmdbStore) -> None:
    record = tmp_path / SPACE / "boot"
    await store.own()
    assert record.read_text() == str(boot_id())
    with store._environment.begin_writing() as txn:  # as another process's own() does
        txn.put(b"\0mark", (2).to_bytes(8, "big") + bytes(16))
    await store.close()
    assert record.read_text() == str(boot_id())


@pytest.mark.parametrize("content", [b"x" * 100, b"x" * (1 << 20), b"\xff" * 8192])
async def test_a_damaged_file_is_moved_away(tmp_path: Path, content: bytes) -> None:
    await _written(tmp_path, close=True)
    (tmp_path / SPACE / "data.mdb").write_bytes(content)
    stores = LmdbStores(tmp_path, SMALL)
    store = stores.open(SPACE)
    assert await mark_of(store) == UNOWNED
    (aside,) = (tmp_path / SPACE).glob("damaged-*.mdb")
    assert aside.read_bytes() == content
    await store.commit(await store.own(), 0, puts((b"a", b"1")))
    await stores.close()


async def test_damage_met_on_the_way_fences_the_owner_and_the_next_one_starts_anew(
    tmp_path: Path, store: LmdbStore, child: Child
) -> None:
    mark = await store.commit(await store.own(), 5, puts((b"a", b"1")))
    assert child.sees(5) == (mark, b"1")
    store._environment.boot.damaged()
    with pytest.raises(Fenced, match="damaged"):
        await store.beat(mark)
    mark = await store.own()
    assert mark == Mark(1, 0, -1)
    assert len(list((tmp_path / SPACE).glob("damaged-*.mdb"))) == 1
    child.pipe.send(6)
    mark = await store.commit(mark, 6, puts((b"a", b"2")))
    assert child.hears() == (mark, b"2")
    await store.beat(mark)


async def test_more_views_than_readers_is_an_error_with_a_reason(store: LmdbStore) -> None:
    async with AsyncExitStack() as views:
        for _ in range(READERS):
            await views.enter_async_context(store.view())
        with pytest.raises(LighthouseError, match="open views"):
            await mark_of(store)


async def test_a_beat_syncs_what_was_committed_and_an_idle_one_does_not(store: LmdbStore) -> None:
    mark = await store.own()
    await store.beat(mark)
    first = store._syncing
    assert first is not None
    await first
    await store.beat(mark)
    assert store._syncing is first
    mark = await store.commit(mark, 0, Writes())
    await store.beat(mark)
    assert store._syncing is not first
