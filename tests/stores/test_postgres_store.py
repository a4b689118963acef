"""The PostgreSQL adapter keeps the contract, on a real server."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import psutil
import pytest
from alembic.script import ScriptDirectory

from bridge.errors import Fenced, LighthouseError, NotReached, Unavailable
from bridge.local.postgres import LocalPostgres
from bridge.settings import Settings
from bridge.store.contract import UNOWNED, Mark, Stores, Writes
from bridge.store.factory import open_stores
from bridge.store.postgres.link import VERSION, Limits, server_settings
from bridge.store.postgres.migrate import SCRIPTS, migrate
from bridge.store.postgres.statements import GET, GET_MANY, MARK_AND_ROWS, SCANS
from bridge.store.postgres.stores import PostgresStore, PostgresStores
from tests.contract.store_contract import StoreContract, mark_of, puts, rows_of
from tests.databases import execute, fresh_url, postgres_server
from tests.faults.harness import soon
from tests.tcp_proxy import TcpProxy

pytestmark = pytest.mark.integration

FEW = Settings(postgres_pool=4)
SPACE = "lighthouse.bank-0"


class TestPostgres(StoreContract):
    """The whole contract, with few connections."""

    @pytest.fixture
    async def stores(self, tables: str) -> AsyncIterator[Stores]:
        await execute(tables, "TRUNCATE lighthouse_rows, lighthouse_marks")
        stores = PostgresStores(tables, FEW)
        yield stores
        await stores.close()

    @pytest.fixture
    async def reopen(self, tables: str) -> AsyncIterator[Callable[[Stores], Awaitable[Stores]]]:
        opened = []

        async def again(stores: Stores) -> Stores:
            await stores.close()
            opened.append(PostgresStores(tables, FEW))
            return opened[-1]

        yield again
        for stores in opened:
            await stores.close()


@pytest.fixture
async def stores(tables: str) -> AsyncIterator[PostgresStores]:
    await execute(tables, "TRUNCATE lighthouse_rows, lighthouse_marks")
    stores = PostgresStores(tables, FEW)
    yield stores
    await stores.close()


@pytest.fixture
async def others(tables: str, stores: PostgresStores) -> AsyncIterator[PostgresStores]:
    """The same spaces as another process sees them."""
    others = PostgresStores(tables, FEW)
    yield others
    await others.close()


# ownership


async def test_another_process_takes_over_and_wakes_who_waits(stores: PostgresStores, others: PostgresStores) -> None:
    here, there = stores.open(SPACE), others.open(SPACE)
    mark = await here.own()
    waiting = asyncio.create_task(there.read_at(7, 10, (b"a",)))
    mark = await here.commit(mark, 7, puts((b"a", b"1")))
    assert await waiting == [b"1"]
    assert await there.own() == Mark(2, 1, 7)
    with pytest.raises(Fenced, match=r"Mark\(epoch=2, commit=1, position=7\)"):
        await here.commit(mark, 8, puts((b"a", b"2")))
    assert await rows_of(there) == {b"a": b"1"}


async def test_a_commit_that_waited_for_the_row_of_the_mark_is_compared_again(
    stores: PostgresStores, others: PostgresStores, tables: str
) -> None:
    """The new owner's transaction holds the row when the old one's commit comes: it waits, and is refused."""
    here = stores.open(SPACE)
    mark = await here.own()
    holder = await asyncpg.connect(tables)
    transaction = holder.transaction()
    await transaction.start()
    await holder.execute("UPDATE lighthouse_marks SET epoch = epoch + 1")
    late = asyncio.create_task(here.commit(mark, 3, puts((b"a", b"late"))))
    watcher = await asyncpg.connect(tables)
    while not await watcher.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
        assert not late.done()
    await transaction.commit()
    with pytest.raises(Fenced):
        await late
    assert await rows_of(here) == {}
    await holder.close()
    await watcher.close()


async def test_an_epoch_that_is_given_out_twice_serves_one(
    stores: PostgresStores, others: PostgresStores, tables: str
) -> None:
    """A fail-over to a replica that had not heard of the first owner: both have the same mark, and only one commits."""
    first, second = stores.open(SPACE), others.open(SPACE)
    lost = await first.own()
    await execute(tables, "TRUNCATE lighthouse_rows, lighthouse_marks RESTART IDENTITY")
    mark = await second.own()
    assert mark == lost
    with pytest.raises(Fenced):
        await first.commit(lost, 0, puts((b"a", b"1")))
    with pytest.raises(Fenced):
        await first.beat(lost)
    with pytest.raises(Fenced):
        await first.wipe(lost)
    assert await second.commit(mark, 0, puts((b"a", b"2"))) == Mark(1, 1, 0)
    assert await rows_of(first) == {b"a": b"2"}


async def test_a_space_of_a_database_made_anew_is_not_taken_for_another(
    stores: PostgresStores, others: PostgresStores, tables: str
) -> None:
    """Ids are given out anew, and a reader has gone on meanwhile: no answer is another partition's."""
    writer, reader = stores.open(SPACE), others.open(SPACE)
    await writer.commit(await writer.own(), 5, puts((b"a", b"mine")))
    assert await reader.read_at(5, 0.0, (b"a",)) == [b"mine"]
    await execute(tables, "TRUNCATE lighthouse_rows, lighthouse_marks RESTART IDENTITY")
    other = stores.open("lighthouse.bank-1")
    await other.commit(await other.own(), 9, puts((b"a", b"theirs")))
    with pytest.raises(NotReached) as caught:
        await reader.read_at(5, 0.0, (b"a",))
    assert caught.value.lag == 6


async def test_a_commit_whose_reply_is_lost_is_done_once(
    stores: PostgresStores, tables: str, postgres: LocalPostgres
) -> None:
    """The server did it, and the connection is gone: nobody can know, so it is an error; a repetition is refused."""
    port = urlsplit(postgres.url).port
    assert port
    async with TcpProxy("127.0.0.1", port).listening() as proxy:
        far = PostgresStores(tables.replace(f":{port}/", f":{proxy.port}/"), FEW)
        store = far.open(SPACE)
        mark = await store.commit(await store.own(), 0, Writes())
        proxy.mute = True
        committing = asyncio.create_task(store.commit(mark, 1, puts((b"a", b"1"))))
        assert (await stores.open(SPACE).wait(1, 10)) == Mark(1, 2, 1)
        await proxy.cut()
        with pytest.raises(Unavailable):
            await committing
        proxy.mute = False
        with pytest.raises(Fenced):
            await store.commit(mark, 1, puts((b"a", b"1")))
        assert await store.own() == Mark(2, 2, 1)
        assert await rows_of(store) == {b"a": b"1"}
        await far.close()


async def test_a_wipe_holds_up_nobody_however_much_it_removes(
    stores: PostgresStores, others: PostgresStores, tables: str
) -> None:
    """Here its rows cannot even be removed yet: the wiping owner goes on, and so does the next one."""
    store, other = stores.open(SPACE), others.open(SPACE)
    mark = await store.commit(await store.own(), 0, Writes({b"k%05d" % number: b"" for number in range(20_000)}))
    holder = await asyncpg.connect(tables)
    async with holder.transaction():
        await holder.execute("SELECT FROM lighthouse_rows FOR UPDATE")
        async with asyncio.timeout(5):
            assert await store.commit(await store.wipe(mark), 0, puts((b"a", b"1"))) == Mark(1, 3, 0)
            assert await other.commit(await other.own(), 1, puts((b"b", b"2"))) == Mark(2, 4, 1)
            assert await rows_of(other) == {b"a": b"1", b"b": b"2"}
    await other.wipe(await other.commit(await other.own(), 2, Writes()))
    await soon(partial(_are_rows, holder, 0), 20, "nothing is left of both")
    await holder.close()


async def test_what_was_left_of_a_wiped_space_is_removed_by_whoever_owns_one_next(
    stores: PostgresStores, tables: str
) -> None:
    """Its process was killed before it had removed the rows."""
    number = "INSERT INTO lighthouse_rows SELECT 999999, int4send(number), '' FROM generate_series(1, 20000) AS number"
    await execute(tables, number)
    store = stores.open(SPACE)
    await store.commit(await store.own(), 0, puts((b"a", b"1")))
    watcher = await asyncpg.connect(tables)
    await soon(partial(_are_rows, watcher, 1), 20, "the other rows are gone")
    assert await rows_of(store) == {b"a": b"1"}
    await watcher.close()


async def _are_rows(connection: asyncpg.Connection, count: int) -> bool:
    return bool(await connection.fetchval("SELECT count(*) FROM lighthouse_rows") == count)


# the server


async def test_a_server_that_is_killed_has_whole_commits_and_goes_on(tmp_path: Path) -> None:
    """kill -9 of all its processes while two spaces are committed to: position and rows agree, the epoch stays."""
    with postgres_server(tmp_path) as server:
        stores = PostgresStores(await asyncio.to_thread(fresh_url, server), FEW)
        for _ in range(3):
            spaces = [stores.open(f"lighthouse.bank-{number}") for number in range(2)]
            writers = [asyncio.create_task(_write(store)) for store in spaces]
            for store in spaces:
                await store.wait((await mark_of(store)).position + 20, 30)
            await asyncio.to_thread(server.kill)
            acknowledged = await asyncio.gather(*writers)
            await asyncio.to_thread(server.begin)
            for store, (epoch, position) in zip(spaces, acknowledged, strict=True):
                mark, rows = await mark_of(store), await rows_of(store)
                assert mark.epoch == epoch
                assert mark.position <= position + 1, "at most one commit was on its way"
                assert rows == {b"p": str(mark.position).encode(), b"q%d" % mark.position: b""}
        await stores.close()


async def _write(store: PostgresStore) -> tuple[int, int]:
    """Commits one position after the other, the last one's row in place of the one before, until it fails."""
    mark = await store.own()
    try:
        while True:
            after = mark.position + 1
            writes = Writes({b"p": str(after).encode(), b"q%d" % after: b""}, {b"q%d" % mark.position})
            mark = await store.commit(mark, after, writes)
    except Unavailable:
        return mark.epoch, mark.position


async def test_a_server_that_is_away_is_told_in_time_and_used_again(tmp_path: Path) -> None:
    with postgres_server(tmp_path) as server:
        stores = PostgresStores(await asyncio.to_thread(fresh_url, server), FEW)
        store = stores.open(SPACE)
        mark = await store.commit(await store.own(), 0, puts((b"a", b"1")))
        waiting = asyncio.create_task(store.wait(9, 30))
        await asyncio.to_thread(server.kill)
        with pytest.raises(Unavailable):
            await waiting
        for attempt in (
            store.own(),
            store.beat(mark),
            store.commit(mark, 1, Writes()),
            rows_of(store),
            store.wait(9, 1),
        ):
            with pytest.raises(Unavailable, match="PostgreSQL: "):
                await attempt
        await asyncio.to_thread(server.begin)
        assert (await store.own()).epoch == 2
        await stores.close()


async def test_a_server_that_hangs_is_told_within_a_request_s_deadline(tmp_path: Path) -> None:
    """Stopped with its sessions: connections stay open, and nothing comes over them. Then all is as before."""
    hurried = Settings(postgres_pool=3, deadline=3.0, postgres_connect_timeout=1.0)
    with postgres_server(tmp_path) as server:
        stores = PostgresStores(await asyncio.to_thread(fresh_url, server), hurried)
        store = stores.open(SPACE)
        mark = await store.commit(await store.own(), 0, puts((b"a", b"1")))
        await asyncio.gather(*(rows_of(store) for _ in range(3)), store.wait(0, 1))
        async with store.view() as open_view, stopped(server):
            asked = (open_view.get(b"a"), *(rows_of(store) for _ in range(9)), store.read_at(1, 1.5, (b"a",)))
            seconds = await asyncio.gather(*map(until_told, asked))
            assert max(seconds) < hurried.deadline
        async with asyncio.timeout(hurried.deadline):
            assert await asyncio.gather(*(rows_of(store) for _ in range(9))) == [{b"a": b"1"}] * 9
            assert await store.commit(mark, 1, Writes()) == Mark(1, 2, 1)
        await stores.close()


async def test_who_gives_up_on_a_server_that_hangs_waits_no_longer(tmp_path: Path) -> None:
    with postgres_server(tmp_path) as server:
        stores = PostgresStores(await asyncio.to_thread(fresh_url, server), FEW)
        store = stores.open(SPACE)
        await rows_of(store)
        async with stopped(server):
            began = time.monotonic()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await rows_of(store)
            assert time.monotonic() - began < 1.0
        await stores.close()


@asynccontextmanager
async def stopped(server: LocalPostgres) -> AsyncIterator[None]:
    """None of its processes does anything meanwhile."""
    every = [psutil.Process(server.child.pid), *psutil.Process(server.child.pid).children(recursive=True)]
    for one in every:
        one.suspend()
    try:
        yield
    finally:
        for one in every:
            one.resume()


async def until_told(asked: Awaitable[object]) -> float:
    """Seconds until somebody is told that there is no answer."""
    began = time.monotonic()
    with pytest.raises(Unavailable):
        await asked
    return time.monotonic() - began


async def test_more_views_than_connections_wait_for_each_other(stores: PostgresStores) -> None:
    store = stores.open(SPACE)
    await store.commit(await store.own(), 0, puts((b"a", b"1")))
    assert await asyncio.gather(*(rows_of(store) for _ in range(50))) == [{b"a": b"1"}] * 50


async def test_a_view_that_finds_no_connection_says_so(tables: str, stores: PostgresStores) -> None:
    single = PostgresStores(tables, Settings(postgres_pool=1, postgres_connect_timeout=0.2))
    store = single.open(SPACE)
    async with store.view():
        with pytest.raises(Unavailable, match="PostgreSQL: "):
            await rows_of(store)
    assert await rows_of(store) == {}
    await single.close()


async def test_a_view_that_is_cancelled_gives_its_connection_back(tables: str, stores: PostgresStores) -> None:
    single = PostgresStores(tables, Settings(postgres_pool=1))
    store = single.open(SPACE)
    for wait in range(40):
        reading = asyncio.create_task(rows_of(store))
        await asyncio.sleep(wait / 10_000)  # any moment of it
        reading.cancel()
        await asyncio.wait([reading])
    assert await rows_of(store) == {}
    await single.close()


# the schema


async def test_tables_that_are_missing_are_told(postgres: LocalPostgres) -> None:
    stores = PostgresStores(postgres.url, FEW)
    with pytest.raises(LighthouseError, match="run `lighthouse store migrate`"):
        await stores.open(SPACE).own()
    await stores.close()


async def test_a_schema_of_another_version_is_told_and_left_alone(postgres: LocalPostgres) -> None:
    url = await asyncio.to_thread(fresh_url, postgres)
    await execute(url, "UPDATE lighthouse_version SET version_num = '9999'")
    stores = PostgresStores(url, FEW)
    with pytest.raises(LighthouseError, match="version 9999 of the schema, not 0001"):
        await stores.open(SPACE).own()
    with pytest.raises(LighthouseError, match="not one that this release knows"):
        await migrate(url, Limits.of(FEW))
    await stores.close()


async def test_two_may_migrate_at_once(postgres: LocalPostgres) -> None:
    name = f"at_once_{uuid4().hex}"
    await execute(postgres.url, f"CREATE SCHEMA {name}")
    url = f"{postgres.url}?search_path={name}"
    assert await asyncio.gather(*(migrate(url, Limits.of(FEW)) for _ in range(3))) == [VERSION] * 3


def test_the_version_is_the_newest_migration() -> None:
    assert ScriptDirectory(str(SCRIPTS)).get_current_head() == VERSION


@pytest.mark.parametrize("url", ["postgres:", "postgresql:///database", "postgres"])
def test_a_url_without_a_host_is_refused(url: str) -> None:
    with pytest.raises(LighthouseError, match="names no store"):
        open_stores(url, Settings())


async def test_the_password_need_not_stand_in_the_url(
    tables: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = urlsplit(tables)
    file = tmp_path / "passwords"
    file.touch(mode=0o600)
    file.write_text(f"{whole.hostname}:{whole.port}:*:{whole.username}:{whole.password}\n")
    bare = tables.replace(f":{whole.password}@", "@")
    assert bare != tables
    for name, value in (("PGPASSFILE", str(file)), ("PGPASSWORD", str(whole.password))):
        with monkeypatch.context() as environment:
            environment.setenv(name, value)
            assert await migrate(bare, Limits.of(FEW)) == VERSION
            stores = PostgresStores(bare, FEW)
            assert await mark_of(stores.open("lighthouse.unknown-0")) == UNOWNED
            await stores.close()


KEYS = [b"k%06d" % number for number in range(100, 20_000, 1_999)]
READS = {
    "get": (GET, "int, bytea", ["ID", r"'k010000'"]),
    "get_many": (GET_MANY, "int, bytea[]", ["ID", "$1"]),
    "mark and rows": (MARK_AND_ROWS, "text, bytea[]", ["'lighthouse.bank-32'", "$1"]),
    **{
        f"scan {bounded} {reverse}": (
            SCANS[bounded, reverse],
            "int, bytea, bytea, bigint, bigint",
            ["ID", r"'k010000'", r"'k019000'" if bounded else "NULL", "10", "NULL"],
        )
        for bounded, reverse in SCANS
    },
}


@pytest.mark.parametrize("name", list(READS))
async def test_a_read_touches_no_more_than_it_must(stores: PostgresStores, tables: str, name: str) -> None:
    """Planned when the table had a few rows, and never analysed: still it follows the index to its rows, and stops."""
    statement, types, arguments = READS[name]
    for number in range(33):  # as processors leave it that have just begun
        store = stores.open(f"lighthouse.bank-{number}")
        mark = await store.commit(await store.own(), 0, Writes({key: bytes(60) for key in (b"a", b"b", b"c")}))
    connection = await asyncpg.connect(tables, server_settings=server_settings(Limits.of(FEW)))
    await connection.execute(f"PREPARE reading({types}) AS {statement}")
    wanted = ", ".join(f"'{key.decode()}'" for key in KEYS)
    values = ", ".join(arguments).replace("$1", f"ARRAY[{wanted}]::bytea[]").replace("ID", str(store._id))
    await connection.execute(f"EXECUTE reading({values})")
    for start in range(0, 20_000, 2_000):
        rows = {b"k%06d" % number: b"v" * 50 for number in range(start, start + 2_000)}
        mark = await store.commit(mark, start, Writes(rows))
    (told,) = await connection.fetch(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE reading({values})")
    plan = json.loads(told[0])[0]["Plan"]
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 20 + 5 * len(KEYS) * ("$1" in arguments)
    await connection.close()
