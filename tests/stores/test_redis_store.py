"""The Redis adapter keeps the contract, on a real server and on a real cluster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.cli.doctor import Finding, hot_store
from bridge.errors import Fenced, LighthouseError, NotReached, Unavailable
from bridge.local.redis import LocalRedis
from bridge.settings import Settings
from bridge.store.contract import UNOWNED, Mark, Stores, Writes
from bridge.store.factory import open_stores
from bridge.store.redis.scripts import UNDO_BYTES, UNDO_COMMITS, UNDO_MS
from bridge.store.redis.stores import MOST_ROWS, RedisStores
from bridge.store.redis.view import BYTES, ROWS
from tests.contract.store_contract import COMMITS, PROPERTY, SCANS, StoreContract, mark_of, puts, rows_of, scanned
from tests.databases import empty, redis_server, tell
from tests.tcp_proxy import TcpProxy

pytestmark = pytest.mark.integration

FEW = Settings(redis_pool=4)
SURE = Settings(redis_pool=4, redis_replicas=1)
SPACE = "lighthouse.bank-0"
_numbers = count()


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


@pytest.fixture
async def stores(redis_alone: LocalRedis) -> AsyncIterator[RedisStores]:
    empty(redis_alone)
    stores = RedisStores(redis_alone.url, FEW)
    yield stores
    await stores.close()


@pytest.fixture
async def others(redis_alone: LocalRedis, stores: RedisStores) -> AsyncIterator[RedisStores]:
    """The same spaces as another process sees them."""
    others = RedisStores(redis_alone.url, FEW)
    yield others
    await others.close()


# ownership


async def test_another_process_takes_over_and_wakes_who_waits(stores: RedisStores, others: RedisStores) -> None:
    here, there = stores.open(SPACE), others.open(SPACE)
    mark = await here.own()
    waiting = asyncio.create_task(there.read_at(7, 10, (b"a",)))
    mark = await here.commit(mark, 7, puts((b"a", b"1")))
    assert await waiting == [b"1"]
    assert await there.own() == Mark(2, 1, 7)
    with pytest.raises(Fenced, match=r"Mark\(epoch=2, commit=1, position=7\)"):
        await here.commit(mark, 8, puts((b"a", b"2")))
    assert await rows_of(there) == {b"a": b"1"}


async def test_an_epoch_that_is_given_out_twice_serves_one(
    stores: RedisStores, others: RedisStores, redis_alone: LocalRedis
) -> None:
    """What a fail-over that lost the first owner leaves: both have the same mark, and only one commits."""
    first, second = stores.open(SPACE), others.open(SPACE)
    lost = await first.own()
    empty(redis_alone)
    mark = await second.own()
    assert mark == lost
    for refused in (first.commit(lost, 0, puts((b"a", b"1"))), first.beat(lost), first.wipe(lost)):
        with pytest.raises(Fenced):
            await refused
    assert await second.commit(mark, 0, puts((b"a", b"2"))) == Mark(1, 1, 0)
    assert await rows_of(first) == {b"a": b"2"}


async def test_a_commit_whose_reply_is_lost_is_done_once(stores: RedisStores, redis_alone: LocalRedis) -> None:
    """The server did it, and the connection is gone: nobody can know, so it is an error; a repetition is refused."""
    port = redis_alone.nodes[0].port
    async with TcpProxy("127.0.0.1", port).listening() as proxy:
        far = RedisStores(redis_alone.url.replace(f":{port}", f":{proxy.port}"), FEW)
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


async def test_a_server_that_does_not_answer_is_given_up_in_time(stores: RedisStores, redis_alone: LocalRedis) -> None:
    port = redis_alone.nodes[0].port
    async with TcpProxy("127.0.0.1", port).listening() as proxy:
        url = redis_alone.url.replace(f":{port}", f":{proxy.port}")
        far = RedisStores(url, Settings(redis_timeout=0.3))
        store = far.open(SPACE)
        mark = await store.own()
        proxy.mute = True
        for attempt in (store.commit(mark, 1, Writes()), rows_of(store), store.wait(9, 5)):
            with pytest.raises(Unavailable, match=r"no answer within 0\.3 s"):
                await attempt
        proxy.mute = False
        assert (await store.own()).epoch == 2
        await far.close()


async def test_closing_ends_what_still_waits_for_an_answer(stores: RedisStores, redis_alone: LocalRedis) -> None:
    port = redis_alone.nodes[0].port
    async with TcpProxy("127.0.0.1", port).listening() as proxy:
        far = RedisStores(redis_alone.url.replace(f":{port}", f":{proxy.port}"), Settings(redis_timeout=60.0))
        store = far.open(SPACE)
        mark = await store.commit(await store.own(), 0, Writes())
        proxy.mute = True
        committing = asyncio.create_task(store.commit(mark, 1, Writes()))
        assert await stores.open(SPACE).wait(1, 10) == Mark(1, 2, 1)
        await far.close()
        with pytest.raises(Unavailable):
            await committing
        with pytest.raises(LighthouseError, match="closed"):
            await far.open(SPACE).own()


async def test_more_readers_than_connections_wait_for_each_other(redis_alone: LocalRedis) -> None:
    few = RedisStores(redis_alone.url, Settings(redis_pool=2))
    store = few.open("lighthouse.few-0")
    mark = await store.commit(await store.own(), 0, puts((b"a", b"1")))
    before = len(tell(redis_alone.nodes[0], "CLIENT LIST"))

    async def read() -> bytes | None:
        async with store.view() as view:
            return await view.get(b"a")

    assert await asyncio.gather(*(read() for _ in range(200))) == [b"1"] * 200
    for hops in range(50):
        reader = asyncio.create_task(read())
        for _ in range(hops % 5):
            await asyncio.sleep(0)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
    assert len(tell(redis_alone.nodes[0], "CLIENT LIST")) <= before + 1
    assert (await store.commit(mark, 1, Writes())).position == 1
    await few.close()


async def test_a_commit_that_replicas_do_not_confirm_is_an_error_and_the_mark_tells(redis_alone: LocalRedis) -> None:
    lonely = RedisStores(redis_alone.url, Settings(redis_replicas=1, redis_confirm_timeout=0.05))
    store = lonely.open("lighthouse.lonely-0")
    with pytest.raises(Unavailable, match="not confirmed by 1 replicas of Redis in time, but 0"):
        await store.own()
    assert (await mark_of(store)).epoch == 1
    await lonely.close()


async def test_a_commit_that_would_hold_up_everybody_is_refused_whole(stores: RedisStores) -> None:
    store = stores.open(SPACE)
    mark = await store.own()
    rows = [(b"%05d" % number, b"") for number in range(MOST_ROWS + 1)]
    with pytest.raises(LighthouseError, match=r"commit of 5001 rows .* is too large for Redis"):
        await store.commit(mark, 0, puts(*rows))
    assert (await rows_of(store), await mark_of(store)) == ({}, mark)
    await store.commit(mark, 0, puts(*rows[:-1]))
    assert await rows_of(store) == dict(rows[:-1])


async def test_scripts_that_a_server_has_forgotten_are_told_again(stores: RedisStores, redis_alone: LocalRedis) -> None:
    store = stores.open(SPACE)
    mark = await store.own()
    for number in range(3):
        tell(redis_alone.nodes[0], "SCRIPT FLUSH")
        mark = await store.commit(mark, number, puts((b"a", b"%d" % number)))
        tell(redis_alone.nodes[0], "SCRIPT FLUSH")
        assert await store.read_at(number, 5, (b"a",)) == [b"%d" % number]
        tell(redis_alone.nodes[0], "SCRIPT FLUSH")
        assert await rows_of(store) == {b"a": b"%d" % number}
        tell(redis_alone.nodes[0], "SCRIPT FLUSH")
        await store.beat(mark)


# views


@PROPERTY
@given(commits=COMMITS, scans=st.lists(SCANS, max_size=6))
async def test_a_view_of_any_commit_is_as_that_left_it(
    stores: RedisStores,
    commits: list[tuple[dict[bytes, bytes], set[bytes]]],
    scans: list[tuple[bytes, bytes | None, bytes | None, bool, int]],
) -> None:
    """Whatever was put, replaced and deleted since."""
    store = stores.open(f"views-{next(_numbers)}")
    mark = await store.own()
    async with AsyncExitStack() as stack:
        model: dict[bytes, bytes] = {}
        kept = []
        for number, (rows, deletes) in enumerate(commits):
            kept.append((await stack.enter_async_context(store.view()), model))
            mark = await store.commit(mark, number, Writes(rows, deletes - rows.keys()))
            model = {key: value for key, value in (model | rows).items() if key not in deletes - rows.keys()}
        every = sorted({key for rows, deletes in commits for key in rows.keys() | deletes})
        for view, before in kept:
            assert await view.get_many(every) == [before.get(key) for key in every]
            for scan in [(b"", None, None, False, 999), (b"", None, None, True, 999), *scans]:
                assert await view.scan(*scan) == scanned(before, *scan)
    await store.close()


@pytest.mark.parametrize("changed", [False, True])
async def test_a_scan_of_any_length_is_read_in_parts(stores: RedisStores, changed: bool) -> None:
    store = stores.open(SPACE)
    rows = {b"k%05d" % number: b"v" * (number % 7) for number in range(3 * ROWS + 1)}
    rows |= {b"l%d" % number: bytes(BYTES // 2) for number in range(6)}
    mark = await store.commit(await store.own(), 0, Writes(dict(rows)))
    async with store.view() as view:
        if changed:
            mark = await store.commit(mark, 1, Writes({b"k%05d0" % number: b"new" for number in range(0, 2000, 3)}))
            mark = await store.commit(mark, 2, Writes({}, set(list(rows)[::2])))
            await store.commit(mark, 3, Writes(dict.fromkeys(list(rows)[::3], b"again")))
        assert await view.scan(b"", limit=10_000) == list(rows.items())
        assert await view.scan(b"", reverse=True, limit=10_000) == list(rows.items())[::-1]
        assert await view.scan(b"k", limit=ROWS + 5) == list(rows.items())[: ROWS + 5]
        assert await view.scan(b"k", b"k00400", b"k01400", limit=5000) == list(rows.items())[400:1400]
        assert len(await view.scan(b"", limit=10_000, most_bytes=sum(range(7)) * 100)) == 701
        assert [key for key, _ in await view.scan(b"l", most_bytes=BYTES)] == [b"l0", b"l1"]


async def test_a_view_that_is_held_for_too_many_commits_says_so(stores: RedisStores, redis_alone: LocalRedis) -> None:
    store = stores.open(SPACE)
    mark = await store.commit(await store.own(), 0, puts((b"a", b"1")))
    async with store.view() as view:
        for _ in range(UNDO_COMMITS):
            mark = await store.commit(mark, 0, puts((b"a", b"2")))
        assert await view.get(b"a") == b"1"
        await store.commit(mark, 0, Writes())
        for read in (view.get(b"a"), view.scan(b"")):
            with pytest.raises(Unavailable, match="has changed more since this view of it began than Redis remembers"):
                await read
    pages = tell(redis_alone.nodes[0], "KEYS", f"*{SPACE}*undo:*")
    assert len(pages) == UNDO_COMMITS
    assert all(0 < tell(redis_alone.nodes[0], "PTTL", page) <= UNDO_MS for page in pages)


async def test_what_commits_replaced_is_kept_in_bounded_memory(stores: RedisStores, redis_alone: LocalRedis) -> None:
    store = stores.open(SPACE)
    large = bytes(UNDO_BYTES // 4)
    mark = await store.commit(await store.own(), 0, puts((b"a", large)))
    for _ in range(12):
        mark = await store.commit(mark, 0, puts((b"a", large)))
    assert len(tell(redis_alone.nodes[0], "KEYS", f"*{SPACE}*undo:*")) == 3
    async with store.view() as view:
        await store.commit(mark, 0, puts((b"a", b"small")))
        assert await view.get(b"a") == large


async def test_a_view_ends_with_its_space(stores: RedisStores, others: RedisStores, redis_alone: LocalRedis) -> None:
    """Wiped, lost, or lost and filled again up to the same commit: never are the rows of two pasts mixed."""
    store, other = stores.open(SPACE), others.open(SPACE)
    mark = await store.commit(await store.own(), 0, puts((b"a", b"1")))
    async with store.view() as view:
        mark = await store.wipe(mark)
        with pytest.raises(Unavailable):
            await view.get(b"a")
    async with store.view() as view:
        empty(redis_alone)
        with pytest.raises(Unavailable):
            await view.get(b"a")
        again = await other.own()
        for _ in range(mark.commit):
            again = await other.commit(again, 0, puts((b"a", b"2")))
        assert again.commit == view.mark.commit
        for read in (view.get(b"a"), view.scan(b"")):
            with pytest.raises(Unavailable):
                await read
        await other.commit(again, 0, puts((b"a", b"3")))
        with pytest.raises(Unavailable):
            await view.get(b"a")


async def test_a_commit_that_a_fail_over_lost_is_not_taken_for_the_one_in_its_place(
    stores: RedisStores, redis_alone: LocalRedis
) -> None:
    """Same owner, same number: who read the lost one, before it was confirmed, reads nothing of the other."""
    (node,) = redis_alone.nodes
    store = stores.open(SPACE)
    mark = await store.commit(await store.own(), 0, puts((b"a", b"1")))
    kept = {key: tell(node, "DUMP", key) for key in tell(node, "KEYS", "*")}
    await store.commit(mark, 1, puts((b"a", b"lost"), (b"b", b"lost")))
    async with store.view() as view:
        assert await view.get(b"a") == b"lost"
        empty(redis_alone)
        for key, dumped in kept.items():
            tell(node, "RESTORE", key, 0, dumped)
        again = await store.commit(mark, 2, puts((b"a", b"2")))
        assert again.commit == view.mark.commit
        for _ in range(2):
            for read in (view.get(b"b"), view.scan(b"")):
                with pytest.raises(Unavailable):
                    await read
            again = await store.commit(again, 3, puts((b"a", b"3")))


async def test_rows_whose_mark_is_gone_are_nobodys(stores: RedisStores, redis_alone: LocalRedis) -> None:
    store = stores.open(SPACE)
    await store.commit(await store.own(), 0, puts((b"a", b"1")))
    tell(redis_alone.nodes[0], "DEL", store.keys[0])
    assert await store.own() == Mark(1, 0, -1)
    assert await rows_of(store) == {}


async def test_a_server_that_has_become_a_replica_is_left(redis_alone: LocalRedis, tmp_path: Path) -> None:
    """The name led to it for a moment: over a connection from then nothing could be written, ever."""
    (node,) = redis_alone.nodes
    empty(redis_alone)
    with redis_server(tmp_path) as server:
        (demoted,) = server.nodes
        tell(demoted, "REPLICAOF", "127.0.0.1", 1)
        tell(demoted, "CONFIG SET", "masterauth", node.password)
        tell(demoted, "CONFIG SET", "requirepass", node.password)
        async with TcpProxy("127.0.0.1", demoted.port).listening() as proxy:
            stores = RedisStores(redis_alone.url.replace(f":{node.port}", f":{proxy.port}"), FEW)
            owning = asyncio.create_task(stores.open(SPACE).own())
            await asyncio.wait([owning], timeout=0.3)
            assert not owning.done(), "it only reads"
            proxy.lead_to("127.0.0.1", node.port)
            assert await owning == Mark(1, 0, -1)
            await stores.close()


async def test_a_cluster_s_commits_are_confirmed_though_nobody_has_set_it(redis_cluster: LocalRedis) -> None:
    def waits() -> int:
        told = [tell(node, "INFO", "commandstats").get("cmdstat_wait", {"calls": 0}) for node in redis_cluster.nodes]
        return sum(int(one["calls"]) for one in told)

    empty(redis_cluster)
    stores = RedisStores(redis_cluster.url, FEW)
    before = await asyncio.to_thread(waits)
    store = stores.open(SPACE)
    await store.commit(await store.own(), 0, Writes())
    assert await asyncio.to_thread(waits) == before + 2
    await stores.close()


async def test_the_doctor_tells_who_confirms_commits(redis_alone: LocalRedis, redis_cluster: LocalRedis) -> None:
    elsewhere = Settings(kafka_bootstrap="there:9092", registry_url="http://there")

    async def told(server: LocalRedis, replicas: int) -> list[Finding]:
        return await hot_store(elsewhere.model_copy(update={"hot_store": server.url, "redis_replicas": replicas}))

    assert await told(redis_alone, 0) == []
    assert await told(redis_cluster, 0) == [Finding("hot store: commits are confirmed by 1 of 2 replicas")]
    (finding,) = await told(redis_cluster, 3)
    assert finding.problem.startswith("no hot row can be written")


# waiting


async def test_spaces_on_many_nodes_are_waited_for_at_once(redis_cluster: LocalRedis) -> None:
    """And one that lags behind holds up no other."""
    empty(redis_cluster)
    stores, far = RedisStores(redis_cluster.url, SURE), RedisStores(redis_cluster.url, FEW)
    spaces = [f"lighthouse.bank-{number}" for number in range(24)]
    marks = {space: await stores.open(space).own() for space in spaces}
    reading = {space: asyncio.create_task(far.open(space).read_at(5, 10, (b"a",))) for space in spaces}
    waiting = {space: asyncio.create_task(far.open(space).wait(5, 10)) for space in spaces}
    for space in spaces[1:]:
        marks[space] = await stores.open(space).commit(marks[space], 5, puts((b"a", space.encode())))
    for space in spaces[1:]:
        assert (await reading[space], await waiting[space]) == ([space.encode()], marks[space])
    assert not reading[spaces[0]].done()
    await far.close()
    with pytest.raises(LighthouseError, match="closed"):
        await reading[spaces[0]]
    with pytest.raises(LighthouseError, match="closed"):
        await waiting[spaces[0]]
    await stores.close()


async def test_a_position_that_stays_away_is_told_though_the_wait_is_shorter_than_a_look(stores: RedisStores) -> None:
    with pytest.raises(NotReached):
        await stores.open(SPACE).wait(0, 0.0)
    assert await mark_of(stores.open(SPACE)) == UNOWNED


# addresses


@pytest.mark.parametrize(
    "url",
    [
        "redis:",
        "redis",
        "redis:///0",
        "redis://:6379",
        "redis://a,b",
        "redis://host:port",
        "redis://host?no_such_word=1",
        "redis+cluster://a:1,b:2/3",
    ],
)
def test_a_url_that_names_no_server_is_refused(url: str) -> None:
    with pytest.raises(LighthouseError, match=r"names no (store|Redis)"):
        open_stores(url, Settings())


async def test_a_wrong_password_is_told_and_none_is_shown(redis_alone: LocalRedis) -> None:
    password = redis_alone.nodes[0].password
    strangers = RedisStores(redis_alone.url.replace(password, "guessed"), FEW)
    with pytest.raises(Unavailable, match="invalid username-password") as caught:
        await strangers.open(SPACE).own()
    assert "guessed" not in str(caught.value)
    with pytest.raises(LighthouseError, match="names no Redis") as refused:
        RedisStores(redis_alone.url + "?no_such_word=1", FEW)
    assert password not in str(refused.value)
    await strangers.close()


async def test_a_server_is_no_cluster_and_a_node_is_no_server(
    redis_alone: LocalRedis, redis_cluster: LocalRedis
) -> None:
    alone = RedisStores(redis_alone.url.replace("redis:", "redis+cluster:", 1), FEW)
    with pytest.raises(LighthouseError, match="is no node of a Redis Cluster"):
        await alone.open(SPACE).own()
    await alone.close()
    node = redis_cluster.nodes[0]
    one = RedisStores(f"redis://:{node.password}@127.0.0.1:{node.port}", FEW)
    with pytest.raises(LighthouseError, match="begins with redis\\+cluster:"):
        await asyncio.gather(*(one.open(f"lighthouse.bank-{number}").own() for number in range(24)))
    await one.close()
