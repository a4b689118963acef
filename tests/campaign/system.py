"""The whole system as real processes: three brokers, registry, PostgreSQL, Redis Cluster, processors and APIs."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import psutil

from bridge.local import ports, start_registry
from bridge.local.postgres import LocalPostgres
from bridge.local.redis import LocalRedis
from bridge.settings import Settings
from bridge.wiring import Platform, open_base
from tests.campaign.brokers import Brokers, brokers
from tests.campaign.remote import Remote
from tests.databases import fresh_url, postgres_server, redis_server
from tests.faults.harness import CACHE, Process, Stage, eventually, owned, prepare, soon, spaces
from tests.faults.journal import Journal
from tests.faults.writers import STREAMS
from tests.tcp_proxy import TcpProxy

PROCESSORS = 3
APIS = 2
PARTITIONS = 6
DEADLINE = 8.0
START = 120.0
"""Seconds in which everything must be ready on a busy machine."""

FROM_REDIS = 20
"""Questions of clients that Redis must have answered for it to be there again."""


@dataclass
class System:
    """Everything, and what has been done to it (`journal`). The faults are methods of its parts."""

    stage: Stage
    brokers: Brokers
    postgres: LocalPostgres
    redis: LocalRedis
    proxy: TcpProxy
    platform: Platform
    remote: Remote
    journal: Journal
    processors: list[Process] = field(default_factory=list)
    apis: list[Process] = field(default_factory=list)

    @property
    def topic(self) -> str:
        """The streams' topic."""
        return f"{self.stage.settings.topic_prefix}.project"

    def begin_processor(self) -> Process:
        """One more."""
        self.processors.append(self.stage.start("streams", "--role", "processor"))
        return self.processors[-1]

    def begin_api(self) -> Process:
        """One more behind the address."""
        self.apis.append(self.stage.start("bridge.api", "--shared"))
        return self.apis[-1]

    async def listening(self, api: Process) -> None:
        """Returns once an API takes connections."""
        port = self.stage.settings.api_port

        def there() -> bool:
            found = psutil.Process(api.pid).net_connections("tcp")
            return any(one.laddr.port == port and one.status == psutil.CONN_LISTEN for one in found)

        await eventually(there, START, f"{api.name} listens; {api.output[-500:]}")

    async def replace(self, processes: list[Process], number: signal.Signals, begin: Callable[[], Process]) -> Process:
        """Ends the first of them by a signal and starts another; answers the one that is new."""
        gone = processes.pop(0)
        gone.signal(number)
        await gone.ended()
        return begin()

    async def ready(self) -> None:
        """Returns once every partition has an owner that has beaten since this was asked."""
        await owned(self.platform, START, time.monotonic())

    async def applied(self) -> None:
        """Returns once every partition is applied as far as its log reaches now."""
        for space in spaces(self.platform):
            end = await self.platform.reader.end(space.place.topic, space.place.partition)
            mark = await space.store.wait(end, START)
            assert mark.position >= end, f"{space.place.space} is at {mark.position} of {end} after {START:.0f} s"

    async def hot(self) -> None:
        """Returns once Redis answers for every stream's row, and has answered some questions of one API's clients."""
        rows = self.platform.hot
        assert rows is not None

        async def answers() -> bool:
            before = rows.fell_through
            for stream in STREAMS:
                await self.platform.projections.row("streams", stream)
            return rows.fell_through == before

        await soon(answers, START, "Redis answers for every stream")
        async with self.remote.one_api() as hot_reads:
            until = (await hot_reads())["hot"] + FROM_REDIS

            async def answered() -> bool:
                return (await hot_reads())["hot"] >= until

            await soon(answered, START, "Redis answers the clients of an API")

    def note(self, what: str) -> None:
        """Notes a fault, or its end, with the time."""
        self.journal.fault(what)


@asynccontextmanager
async def system(home: Path, small_disk: bool = False) -> AsyncIterator[System]:
    """A new one, ready; everything ends with the block. Raises OSError, LocalError where a part cannot be had."""
    async with AsyncExitStack() as stack:
        servers = await asyncio.to_thread(_servers, stack, home, small_disk)
        found, postgres, redis, registry = servers
        url = await asyncio.to_thread(fresh_url, postgres)
        proxy = await stack.enter_async_context(TcpProxy("127.0.0.1", _port(url)).listening())
        settings = _settings(home, found.bootstrap, registry, url, redis.url)
        await found.whole()
        async with open_base(settings) as base:
            await prepare(base)
        behind = settings.model_copy(update={"history_store": url.replace(f":{_port(url)}/", f":{proxy.port}/")})
        stage = Stage(behind, home)
        stack.callback(stage.end)
        remote = Remote(f"http://127.0.0.1:{settings.api_port}")
        processors = [stage.start("streams", "--role", "processor") for _ in range(PROCESSORS)]
        direct = Stage(settings, home)
        platform = await stack.enter_async_context(direct.platform())
        built = System(stage, found, postgres, redis, proxy, platform, remote, Journal(), processors)
        await built.ready()
        for _ in range(APIS):
            await built.listening(built.begin_api())
        await stack.enter_async_context(remote.open())
        yield built


def _servers(stack: AsyncExitStack, home: Path, small_disk: bool) -> tuple[Brokers, LocalPostgres, LocalRedis, str]:
    """The servers, which are started with blocking calls."""
    found = stack.enter_context(brokers(home / "brokers", CACHE, small_disk))
    postgres = stack.enter_context(postgres_server(home / "postgres"))
    redis = stack.enter_context(redis_server(home / "redis", cluster=True))
    registry = start_registry(Settings(home=home / "registry", cache=CACHE, registry_port=0, kafka_bootstrap=""))
    stack.callback(registry.stop)
    return found, postgres, redis, registry.url


def _port(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


def _settings(home: Path, bootstrap: str, registry: str, history: str, hot: str) -> Settings:
    name = f"campaign-{uuid4().hex[:8]}"
    return Settings(
        home=home / "platform",
        cache=CACHE,
        kafka_bootstrap=bootstrap,
        registry_url=registry,
        topic_prefix=name,
        group=name,
        history_store=history,
        hot_store=hot,
        redis_replicas=1,
        postgres_connect_timeout=2.0,
        partitions=PARTITIONS,
        deadline=DEADLINE,
        unpark_every=1.0,
        api_port=ports.pick(1)[0],
    )
