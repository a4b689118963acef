"""A history that moves to another store: all of it, once, or with the reason why not."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bridge.errors import LighthouseError
from bridge.settings import Settings
from bridge.store import copying, keys
from bridge.store.contract import UNOWNED, Mark, Store, Writes
from bridge.store.copying import Copied, copy
from bridge.store.lmdb_store import LmdbStores
from bridge.store.memory import MemoryStores
from bridge.store.postgres.stores import PostgresStores
from tests.contract.store_contract import mark_of, rows_of
from tests.databases import execute
from tests.model.bench import Bench, Draft, numbered, records
from tests.model.world import now

pytestmark = pytest.mark.integration

SPACE = "lighthouse.bank-0"
ROWS = {b"k%05d" % number: b"value %d" % number for number in range(5000)}


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def source(clock: Clock) -> Store:
    """A history whose owner has gone."""
    store = MemoryStores(clock).open(SPACE)
    mark = await store.commit(await store.own(), 10, Writes(dict(ROWS)))
    await store.commit(mark, 77, Writes({keys.CLOCK: b"clock"}))
    clock.now += 60
    return store


@pytest.fixture
def target() -> Store:
    return MemoryStores().open(SPACE)


async def moved(source: Store, target: Store, replace: bool = False) -> Copied:
    return await copy(source, target, 3.0, replace, lambda _: None)


async def test_a_copy_has_every_row_and_the_position(source: Store, target: Store) -> None:
    told: list[int] = []
    done = await copy(source, target, 3.0, False, told.append)
    expected = await rows_of(source)
    assert await rows_of(target) == expected
    assert await mark_of(target) == Mark(1, 4, 77)
    assert done == Copied(5001, sum(len(key) + len(value) for key, value in expected.items()), 77, 0)
    assert sum(told) == 2 * 5001


async def test_it_goes_through_postgresql_and_lmdb_and_back(source: Store, tables: str, tmp_path: Path) -> None:
    await execute(tables, "TRUNCATE lighthouse_rows, lighthouse_marks")
    postgres = PostgresStores(tables, Settings())
    lmdb = LmdbStores(tmp_path, Settings(lmdb_map_mb=64))
    target = MemoryStores().open(SPACE)
    for here, there in (
        (source, postgres.open(SPACE)),
        (postgres.open(SPACE), lmdb.open(SPACE)),
        (lmdb.open(SPACE), target),
    ):
        assert (await copy(here, there, -1.0, False, lambda _: None)).rows == 5001
    assert await rows_of(target) == await rows_of(source)
    await postgres.close()
    await lmdb.close()


async def test_an_interrupted_copy_goes_on(source: Store, target: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "PAGE", 100)

    told: list[int] = []

    def report(rows: int) -> None:
        told.append(rows)
        if len(told) == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await copy(source, target, 3.0, False, report)
    assert (await mark_of(target)).position == UNOWNED.position, "nobody may read from it"
    told.clear()
    done = await copy(source, target, 3.0, False, told.append)
    assert done.earlier == 700
    assert sum(told) == 2 * 5001 - 700
    assert await rows_of(target) == await rows_of(source)


async def test_a_copy_that_was_finished_is_compared_and_left_as_it_is(source: Store, target: Store) -> None:
    """The first partitions of a copy that was interrupted in a later one."""
    first = await moved(source, target)
    mark = await mark_of(target)
    for replace in (False, True):
        assert await moved(source, target, replace) == Copied(first.rows, first.bytes, 77, first.rows)
        assert await mark_of(target) == mark, "nothing is written"


async def test_a_finished_copy_that_is_not_the_same_is_copied_again_with_replace(source: Store, target: Store) -> None:
    await moved(source, target)
    await behind(target, 77, Writes({b"k02500": b"another"}))
    with pytest.raises(LighthouseError, match="not the same at b'k02500': copy it again, with --replace"):
        await moved(source, target)
    assert (await moved(source, target, replace=True)).earlier == 0
    assert await rows_of(target) == await rows_of(source)


async def test_a_store_under_two_names_is_not_wiped_as_its_own_copy(source: Store) -> None:
    rows, mark = await rows_of(source), await mark_of(source)
    await moved(source, source, replace=True)
    assert (await rows_of(source), await mark_of(source)) == (rows, mark)


async def test_a_copy_of_another_moment_is_not_gone_on_with(source: Store, target: Store) -> None:
    begun = copying.encode(copying.Begun(Mark(1, 1, 3), b"old", 1))
    await target.commit(await target.own(), -1, Writes({b"old": b"1", keys.COPY: begun}))
    assert (await moved(source, target)).earlier == 0
    assert await rows_of(target) == await rows_of(source)


async def test_a_history_with_a_living_owner_is_left_alone(source: Store, target: Store, clock: Clock) -> None:
    clock.now -= 58
    with pytest.raises(LighthouseError, match=r"its owner beat 2.0 s ago: end the processors first"):
        await moved(source, target)
    assert await mark_of(target) == UNOWNED


async def test_a_source_that_moves_meanwhile_is_told(source: Store, target: Store) -> None:
    def report(_: int) -> None:
        now(behind(source, 78, Writes({b"late": b"1"})))

    with pytest.raises(LighthouseError, match="the source moved from"):
        await copy(source, target, 3.0, False, report)
    assert (await mark_of(target)).position == UNOWNED.position


async def behind(store: Store, position: int, writes: Writes) -> None:
    """Somebody else takes the space over and changes it. In memory, nothing of that waits."""
    await store.commit(await store.own(), position, writes)


async def test_a_history_is_replaced_only_when_that_is_said(source: Store, target: Store) -> None:
    await target.commit(await target.own(), 3, Writes({b"theirs": b"1"}))
    with pytest.raises(LighthouseError, match="holds a history up to 3; `--replace` forgets it"):
        await moved(source, target)
    assert await rows_of(target) == {b"theirs": b"1"}
    await moved(source, target, replace=True)
    assert await rows_of(target) == await rows_of(source)


@pytest.mark.parametrize(
    "writes",
    [
        Writes({b"k02500": b"another"}),
        Writes(deletes={b"k02500"}),
        Writes({b"k02500x": b"more"}),
        Writes({b"z": b"more"}),
    ],
    ids=["another value", "a row less", "a row more", "a row more at the end"],
)
async def test_what_is_not_the_same_is_found(source: Store, target: Store, writes: Writes) -> None:
    """Rows of the target that somebody changes before they are compared."""
    copied: list[int] = []

    def report(rows: int) -> None:
        copied.append(rows)
        if sum(copied) == len(ROWS) + 1:
            now(behind(target, -1, writes))

    with pytest.raises(LighthouseError, match=r"the copy .* copy it again, with --replace"):
        await copy(source, target, 3.0, False, report)
    assert (await mark_of(target)).position == UNOWNED.position
    assert (await moved(source, target, replace=True)).earlier == 0
    assert await rows_of(target) == await rows_of(source)


async def test_what_commits_changed_of_hot_rows_stays_behind(clock: Clock, source: Store, target: Store) -> None:
    """Those rows count the source's own commits; the last tag of all, and more of them than a page holds."""
    mark = await source.commit(await source.own(), 78, Writes({keys.change(number): b"" for number in range(2500)}))
    await source.commit(mark, 79, Writes({b"z": b"behind them"}))
    clock.now += 60
    copied = await moved(source, target)
    expected = {key: raw for key, raw in (await rows_of(source)).items() if not key.startswith(keys.CHANGES)}
    assert await rows_of(target) == expected
    assert copied.rows == len(expected) == len(ROWS) + 2


async def test_a_source_without_a_history_leaves_an_empty_target(target: Store) -> None:
    assert await moved(MemoryStores().open(SPACE), target) == Copied(0, 0, -1, 0)
    assert await mark_of(target) == UNOWNED


def test_a_processor_that_opens_a_half_copied_space_begins_it_anew() -> None:
    log = records(numbered([Draft(), Draft()]))
    clean = Bench().take_all(log).rows()
    stores = MemoryStores(lambda: 0.0)
    store = stores.open("lighthouse.account-0")

    async def leave_half() -> None:
        mark = await store.own()
        half = dict(list(clean.items())[: len(clean) // 2])
        await store.commit(mark, -1, Writes(half | {keys.COPY: b"half"}))

    asyncio.run(leave_half())
    assert Bench(stores=stores).take_all(log).rows() == clean
