"""A replica of the history answers what is final, and nobody sees less than the first server knows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

import pytest

from bridge.cache import StateCache
from bridge.errors import LighthouseError, NotFound, Unavailable
from bridge.history.reader import At, History
from bridge.history.replica import Replicated
from bridge.history.times import ClockName
from bridge.local.postgres import LocalPostgres
from bridge.settings import Settings
from bridge.spaces import Spaces
from bridge.store.postgres.stores import PostgresStores
from bridge.ticks import Ticker
from bridge.typed import Typed
from streams.owner import Code, LogEnds, Owner
from tests.databases import execute, fresh_url, postgres_server, standby_of
from tests.faults.harness import soon
from tests.model import account
from tests.model.bench import Draft, deposit, numbered, records
from tests.model.world import COMPOSED, KNOWN, PLACE
from tests.simlog import IDENTITY, SimLog, SimProducer, SimRegistry, schemas_of
from tests.tcp_proxy import TcpProxy

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

STREAM = "account/a"
LOG = records(numbered([Draft(events=[deposit(10)]), Draft(events=[deposit(5)]), Draft(events=[deposit(1)])]))
SETTINGS = Settings(postgres_connect_timeout=1.0)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPostgres]:
    """The first server, which a test may kill if it starts it again."""
    with postgres_server(tmp_path_factory.mktemp("first")) as server:
        yield server


@pytest.fixture(scope="module")
def standby(server: LocalPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the standby's server."""
    with standby_of(server, tmp_path_factory.mktemp("standby")) as url:
        yield url


@dataclass
class Pair:
    """An owner that writes to the first server, the read side with the replica, and the replica's alone."""

    owner: Owner
    history: Replicated
    replica: History
    standby: str

    async def both(self, offset: int) -> None:
        """Returns once both servers have a position; the standby learns of the tables, too, in its time."""
        for history in (self.history, self.replica):
            await soon(partial(_reached, history, offset), 20, "both servers have the position")


async def _reached(history: History, offset: int) -> bool:
    try:
        return (await history._spaces.of(STREAM).mark()).position >= offset
    except LighthouseError:
        return False


@pytest.fixture
async def pair(server: LocalPostgres, standby: str, url: str) -> AsyncIterator[Pair]:
    far_url = standby + "?" + url.partition("?")[2]
    stores, far = PostgresStores(url, SETTINGS), PostgresStores(far_url, SETTINGS)
    registry = SimRegistry()
    registry.known[KNOWN] = COMPOSED
    typed, schemas = Typed(account.account), schemas_of(registry, "account", account.SCHEMAS / "account", {})
    ticker = Ticker(SimProducer(SimLog(), asyncio.get_running_loop()))
    counts, deciders = {"account": PLACE.partitions}, {"account": typed}
    replica = History(schemas, Spaces(far, "lighthouse", counts), deciders, ticker, 60.0)
    history = Replicated(replica, schemas, Spaces(stores, "lighthouse", counts), deciders, ticker, 60.0)
    owner = Owner(PLACE, stores.open(PLACE.space), Code(schemas, typed, StateCache(100, 100_000)))
    await owner.open(LogEnds(IDENTITY, 0, 0))
    yield Pair(owner, history, replica, standby)
    await stores.close()
    await far.close()


@pytest.fixture
def url(server: LocalPostgres, standby: str) -> str:
    """Tables of the test's own."""
    return fresh_url(server)


async def test_what_is_final_is_there_when_the_first_server_is_not(pair: Pair, server: LocalPostgres) -> None:
    await pair.owner.take(LOG)
    await pair.both(3)
    expected = [await pair.history.state(STREAM, At(version)) for version in range(3)]
    patch = await pair.history.diff(STREAM, At(0), At(2))
    server.kill()
    try:
        assert [await pair.history.state(STREAM, At(version)) for version in range(3)] == expected
        assert (await pair.history.diff(STREAM, At(0), At(2))).patch == patch.patch
        for at in (At(), At(3)):
            with pytest.raises(Unavailable):
                await pair.history.state(STREAM, at)
    finally:
        server.begin()


async def test_what_the_replica_does_not_know_yet_comes_from_the_first_server(pair: Pair) -> None:
    await pair.owner.take(LOG[:1])
    await pair.both(1)
    await execute(pair.standby, "SELECT pg_wal_replay_pause()")
    try:
        await pair.owner.take(LOG[1:])
        with pytest.raises(NotFound):
            await pair.replica.state(STREAM, At(2))
        assert (await pair.history.state(STREAM, At(2))).version == 2
        assert (await pair.history.state(STREAM)).version == 2
        assert len((await pair.history.diff(STREAM, At(0), At(2))).events) == 2
        late = At(time=LOG[-1].time + 1, clock=ClockName.EFFECTIVE)
        assert (await pair.replica.state(STREAM, late)).version == 0
        assert (await pair.history.state(STREAM, late)).version == 2
        with pytest.raises(NotFound):
            await pair.history.state(STREAM, At(3))
    finally:
        await execute(pair.standby, "SELECT pg_wal_replay_resume()")


async def test_a_replica_that_is_away_is_left_alone_for_a_while(pair: Pair) -> None:
    await pair.owner.take(LOG)
    await pair.both(3)
    nobody = PostgresStores("postgresql://lighthouse@127.0.0.1:1/lighthouse", SETTINGS)
    pair.replica._spaces = Spaces(nobody, "lighthouse", {"account": PLACE.partitions})
    assert (await pair.history.state(STREAM, At(1))).version == 1
    assert pair.history._rests_until > 0
    assert (await pair.history.state(STREAM, At(0))).version == 0
    await nobody.close()


async def test_a_server_that_has_become_a_standby_is_left(pair: Pair, standby: str, url: str) -> None:
    """The name led to it for a moment: over a connection from then nobody could take a partition over, ever."""
    await pair.both(0)
    first, second = urlsplit(url).port, urlsplit(standby).port
    assert first
    assert second
    async with TcpProxy("127.0.0.1", second).listening() as proxy:
        stores = PostgresStores(url.replace(f":{first}/", f":{proxy.port}/"), Settings(postgres_pool=1))
        store = stores.open(PLACE.space)
        with pytest.raises(Unavailable, match="read-only transaction"):
            await store.own()
        proxy.lead_to("127.0.0.1", first)
        assert (await store.own()).epoch == pair.owner.mark.epoch + 1
        await stores.close()


async def test_of_several_servers_the_one_that_is_written_to_is_found(pair: Pair, standby: str, url: str) -> None:
    await pair.both(0)
    first, second = (urlsplit(one).netloc.rpartition("@")[2] for one in (url, standby))
    stores = PostgresStores(url.replace(first, f"{second},{first}") + "&target_session_attrs=read-write", SETTINGS)
    assert (await stores.open(PLACE.space).own()).epoch == pair.owner.mark.epoch + 1
    await stores.close()
