"""Real faults under the Redis adapter: masters killed and stopped, a server that comes back empty, slots that move."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import redis

from bridge.errors import Fenced, Unavailable
from bridge.local.redis import LocalRedis, RedisNode
from bridge.settings import Settings
from bridge.store.contract import UNOWNED, Mark, Writes
from bridge.store.redis.link import Call
from bridge.store.redis.scripts import LOOK, keys_of
from bridge.store.redis.stores import RedisStore, RedisStores
from tests.contract.store_contract import mark_of, puts, rows_of
from tests.databases import redis_server, tell

pytestmark = pytest.mark.integration

PATIENT = Settings(redis_replicas=1, redis_timeout=30.0)
"""A fail-over takes three seconds, and more on a machine that is busy."""

PATIENCE = 40.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRedis]:
    """A cluster whose nodes the tests of this module end; each leaves all of them running."""
    with redis_server(tmp_path_factory.mktemp("broken"), cluster=True) as server:
        yield server


@pytest.fixture
async def stores(cluster: LocalRedis) -> AsyncIterator[RedisStores]:
    stores = RedisStores(cluster.url, PATIENT)
    yield stores
    await stores.close()


@pytest.fixture
async def others(cluster: LocalRedis, stores: RedisStores) -> AsyncIterator[RedisStores]:
    """The same spaces as another process sees them."""
    others = RedisStores(cluster.url, PATIENT)
    yield others
    await others.close()


async def until(met: Callable[[], bool]) -> None:
    """Asks again and again."""

    def asking() -> None:
        deadline = time.monotonic() + PATIENCE
        while not met():
            assert time.monotonic() < deadline
            time.sleep(0.05)

    await asyncio.to_thread(asking)


def master_of(cluster: LocalRedis, space: str, but: RedisNode | None = None) -> RedisNode | None:
    """The node that answers for a space: the others say that it moved."""
    for node in cluster.nodes:
        if node is not but and node.child.exit_code is None:
            with suppress(redis.RedisError):
                tell(node, "EXISTS", keys_of(space)[0])
                return node
    return None


def whole(cluster: LocalRedis) -> bool:
    """Whether all nodes are there, and every replica is linked with its master."""
    return all(node.answers(len(cluster.nodes)) for node in cluster.nodes)


class Owner:
    """One who commits position after position, as P5 says: what is not known is looked up by taking the space over."""

    def __init__(self, store: RedisStore) -> None:
        self.acknowledged = -1
        self.taken_over = 0
        self.ended = False
        self._store = store

    async def run(self) -> None:
        """Until it is told to end. Fails where an acknowledged commit is gone."""
        mark = await self._store.own()
        while not self.ended:
            after = mark.position + 1
            try:
                mark = await self._store.commit(mark, after, rows_at(after))
                self.acknowledged = after
            except (Fenced, Unavailable):
                mark = await self._store.own()
                self.taken_over += 1
                assert mark.position >= self.acknowledged, "an acknowledged commit is gone"


def rows_at(position: int) -> Writes:
    """The rows of a position, in place of those of the one before."""
    return Writes({b"p": str(position).encode(), b"q%d" % position: b""}, {b"q%d" % (position - 1)})


async def test_what_a_replica_confirmed_outlives_the_master(
    cluster: LocalRedis, stores: RedisStores, others: RedisStores
) -> None:
    """kill -9 of it while somebody commits, and others wait and read."""
    space = "lighthouse.killed-0"
    store, far = stores.open(space), others.open(space)
    owner = Owner(store)
    running = asyncio.create_task(owner.run())
    await far.wait(20, PATIENCE)
    master = await asyncio.to_thread(master_of, cluster, space)
    assert master
    await asyncio.to_thread(cluster.kill, master.number)
    reached = (await mark_of(far)).position + 20
    assert [row is not None for row in await far.read_at(reached, PATIENCE, (b"p", b"never"))] == [True, False]
    successor = await asyncio.to_thread(master_of, cluster, space)
    assert successor not in (None, master)
    owner.ended = True
    await running
    mark, rows = await mark_of(far), await rows_of(far)
    assert mark.position >= owner.acknowledged >= reached
    assert rows == rows_at(mark.position).puts
    await asyncio.to_thread(cluster.begin, master.number)
    await until(lambda: whole(cluster))
    assert await mark_of(far) == mark, "the former master came back empty, and as a replica"


async def test_what_a_stopped_master_does_late_goes_back_whole(cluster: LocalRedis, stores: RedisStores) -> None:
    """The commit lies in its socket while another node takes its place; resumed, it may even say that it is done.

    It may be confirmed too, by a replica that has not heard of the new master. Then mark and rows go back together,
    and whoever goes on from what was lost is refused.
    """
    space = "lighthouse.stopped-0"
    store = stores.open(space)
    mark = await store.commit(await store.own(), 0, puts((b"a", b"1")))
    master = await asyncio.to_thread(master_of, cluster, space)
    assert master
    os.kill(master.pid, signal.SIGSTOP)
    try:
        late = asyncio.create_task(store.commit(mark, 1, puts((b"a", b"late"))))
        await until(lambda: master_of(cluster, space, but=master) is not None)
        assert not late.done()
    finally:
        os.kill(master.pid, signal.SIGCONT)
    answered: Mark | None = None
    with suppress(Unavailable):
        answered = await late  # or it heard first that it is no master any more, and named the new one
    await until(lambda: whole(cluster))
    found = await mark_of(store)
    assert found in (mark, answered)
    assert await rows_of(store) == {b"a": b"1" if found == mark else b"late"}
    if answered not in (None, found):
        with pytest.raises(Fenced):
            await store.commit(answered, 2, puts((b"a", b"2")))
    found = await store.own()
    assert await store.commit(found, 2, puts((b"a", b"2"))) == Mark(2, found.commit + 1, 2)
    assert await rows_of(store) == {b"a": b"2"}


async def test_a_stopped_master_is_read_around_and_holds_up_no_other(
    cluster: LocalRedis, stores: RedisStores, others: RedisStores
) -> None:
    spaces = [f"lighthouse.around-{number}" for number in range(12)]
    marks = {space: await stores.open(space).commit(await stores.open(space).own(), 0, Writes()) for space in spaces}
    masters = {space: await asyncio.to_thread(master_of, cluster, space) for space in spaces}
    stopped = masters[spaces[0]]
    assert stopped
    waiting = asyncio.create_task(others.open(spaces[0]).wait(1, PATIENCE))
    os.kill(stopped.pid, signal.SIGSTOP)
    try:
        elsewhere = [space for space in spaces if masters[space] is not stopped]
        for space in elsewhere:
            marks[space] = await stores.open(space).commit(marks[space], 1, puts((b"a", b"1")))
            assert await others.open(space).read_at(1, PATIENCE, (b"a",)) == [b"1"]
        assert await asyncio.to_thread(master_of, cluster, spaces[0], stopped) is None, "no fail-over has come yet"
        assert await rows_of(others.open(spaces[0])) == {}
        again = RedisStores(cluster.url, PATIENT)
        marks[spaces[0]] = await again.open(spaces[0]).own()
        marks[spaces[0]] = await again.open(spaces[0]).commit(marks[spaces[0]], 1, Writes())
        assert await waiting == marks[spaces[0]]
        await again.close()
    finally:
        os.kill(stopped.pid, signal.SIGCONT)
    await until(lambda: whole(cluster))


async def test_an_owner_that_a_fail_over_has_not_lost_is_still_fenced(
    cluster: LocalRedis, stores: RedisStores, others: RedisStores
) -> None:
    space = "lighthouse.fenced-0"
    store, other = stores.open(space), others.open(space)
    stale = await store.commit(await store.own(), 0, puts((b"a", b"1")))
    mark = await other.own()
    master = await asyncio.to_thread(master_of, cluster, space)
    assert master
    await asyncio.to_thread(cluster.kill, master.number)
    with pytest.raises(Fenced):
        await store.commit(stale, 1, puts((b"a", b"stale")))
    with pytest.raises(Fenced):
        await store.beat(stale)
    assert await other.commit(mark, 1, puts((b"a", b"2"))) == Mark(2, 2, 1)
    assert await rows_of(store) == {b"a": b"2"}
    await asyncio.to_thread(cluster.begin, master.number)
    await until(lambda: whole(cluster))


async def test_a_slot_that_moves_is_followed(cluster: LocalRedis, stores: RedisStores, others: RedisStores) -> None:
    """What comes while its keys are moved one by one waits, for half a space is none."""
    space = "lighthouse.moved-0"
    store, far = stores.open(space), others.open(space)
    mark = await store.commit(await store.own(), 0, puts((b"a", b"1")))
    assert await rows_of(far) == {b"a": b"1"}
    slot = Call(LOOK, keys_of(space)).slot
    masters = [node for node in cluster.nodes if tell(node, "ROLE")[0] == b"master"]
    source = master_of(cluster, space)
    assert source
    target = next(node for node in masters if node is not source)
    here, there = (tell(node, "CLUSTER MYID").decode() for node in (source, target))
    tell(target, "CLUSTER SETSLOT", slot, "IMPORTING", here)
    tell(source, "CLUSTER SETSLOT", slot, "MIGRATING", there)
    keys = tell(source, "CLUSTER GETKEYSINSLOT", slot, 100)
    moving = ("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "AUTH", source.password, "KEYS")
    tell(source, *moving, *keys[:2])
    reading = asyncio.create_task(far.read_at(1, PATIENCE, (b"a",)))
    committing = asyncio.create_task(store.commit(mark, 1, puts((b"a", b"2"))))
    await asyncio.wait([committing], timeout=0.2)
    tell(source, *moving, *keys[2:])
    await asyncio.wait([committing], timeout=0.2)
    assert not committing.done()
    for node in (target, source):
        tell(node, "CLUSTER SETSLOT", slot, "NODE", there)
    mark = await committing
    assert await reading == [b"2"]
    for position in (2, 3):
        mark = await store.commit(mark, position, puts((b"a", b"%d" % position)))
        assert await rows_of(far) == {b"a": b"%d" % position}
    assert await asyncio.to_thread(master_of, cluster, space) == target


async def test_a_server_that_is_killed_is_told_and_comes_back_empty(tmp_path: Path) -> None:
    """Everything of it must be rebuilt: its mark is gone, and no owner of before commits any more."""
    with redis_server(tmp_path) as server:
        stores = RedisStores(server.url, Settings(redis_pool=4))
        store = stores.open("lighthouse.bank-0")
        mark = await store.commit(await store.own(), 0, puts((b"a", b"1")))
        waiting = asyncio.create_task(store.wait(9, 30))
        await asyncio.to_thread(server.kill)
        with pytest.raises(Unavailable):
            await waiting
        away = store.own(), store.beat(mark), store.commit(mark, 1, Writes()), rows_of(store), store.wait(9, 1)
        for attempt in away:
            with pytest.raises(Unavailable, match=r"Redis: 127\.0\.0\.1"):
                await attempt
        await asyncio.to_thread(server.begin)
        assert (await mark_of(store), await rows_of(store)) == (UNOWNED, {})
        for refused in (store.commit(mark, 1, Writes()), store.beat(mark), store.wipe(mark)):
            with pytest.raises(Fenced):
                await refused
        again = await store.own()
        assert again == Mark(1, 0, -1)
        assert await store.commit(again, 0, puts((b"a", b"2"))) == Mark(1, 1, 0)
        assert await rows_of(store) == {b"a": b"2"}
        await stores.close()
