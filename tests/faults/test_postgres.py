"""Histories in PostgreSQL: processors that are killed and stopped, a server that is killed, replies that are lost."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from functools import partial
from urllib.parse import urlsplit

import pytest

from bridge.local.postgres import LocalPostgres
from bridge.settings import Settings
from tests.databases import fresh_url, postgres_server
from tests.faults.conftest import Report
from tests.faults.harness import Stage, epochs, owned, playing, soon
from tests.faults.journal import Journal, Outcome
from tests.faults.killing import killed_at
from tests.faults.test_repartition import after_it, lived, run
from tests.faults.writers import writing
from tests.tcp_proxy import TcpProxy

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPostgres]:
    """A server that a test may kill if it starts it again."""
    with postgres_server(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture
def settings(settings: Settings, postgres: LocalPostgres) -> Settings:
    """The settings of a fault test, with tables of its own."""
    return settings.model_copy(update={"history_store": fresh_url(postgres), "postgres_connect_timeout": 2.0})


@pytest.fixture
async def proxied(stage: Stage, postgres: LocalPostgres) -> AsyncIterator[TcpProxy]:
    """A proxy between PostgreSQL and the processors that are started with its URL, see `behind`."""
    port = urlsplit(postgres.url).port
    assert port is not None
    async with TcpProxy("127.0.0.1", port).listening() as proxy:
        yield proxy


def behind(stage: Stage, proxy: TcpProxy) -> str:
    """The history's URL by way of the proxy."""
    url = stage.settings.history_store
    return url.replace(f":{urlsplit(url).port}/", f":{proxy.port}/")


@pytest.mark.parametrize("step", ["P5", "P6"])
async def test_a_processor_killed_at_a_step_loses_and_doubles_nothing(step: str, stage: Stage, report: Report) -> None:
    await killed_at(step, stage, report)


async def test_a_category_gets_more_partitions(stage: Stage) -> None:
    before = await lived(stage)
    await run(stage)
    async with after_it(stage, before):
        pass


async def test_a_zombie_that_is_about_to_commit_is_fenced(stage: Stage, report: Report) -> None:
    async with playing(stage) as (platform, checker), writing(platform.handler, checker.journal) as writers:
        await writers.progress(5, 20)
        before = await epochs(platform)
        zombie = await stage.strike("P5", signal.SIGSTOP)
        await zombie.stopped()
        checker.journal.fault("SIGSTOP at P5")

        async def moved() -> bool:
            return any(now > then for now, then in zip(await epochs(platform), before, strict=True))

        await soon(moved, 20, "the zombie's partitions have another owner")
        await writers.progress(3, 20)
        zombie.signal(signal.SIGCONT)
        checker.journal.fault("SIGCONT")
        await zombie.says("fenced")
        await writers.progress(5, 20)
        await writers.finish()
        report(await checker.check())


async def test_a_server_killed_during_commits_loses_nothing_that_was_acknowledged(
    stage: Stage, postgres: LocalPostgres, report: Report
) -> None:
    """What its disk did not have yet, the log has: a position and its rows go back together, and are filled again."""
    async with playing(stage) as (platform, checker), writing(platform.handler, checker.journal) as writers:
        for _ in range(3):
            await writers.progress(5, 30)
            await checker.remember(["project/w0", "project/w1"])
            await asyncio.to_thread(postgres.kill)
            checker.journal.fault("kill -9 of PostgreSQL")
            before = len(checker.journal.of(Outcome.UNAVAILABLE))
            await checker.journal.until(partial(_refused, before), 20, "a refusal")
            await asyncio.to_thread(postgres.begin)
            checker.journal.fault("it is back")
            await owned(platform, 30)
        await writers.progress(5, 30)
        await writers.finish()
        report(await checker.check())


def _refused(before: int, journal: Journal) -> bool:
    return len(journal.of(Outcome.UNAVAILABLE)) > before


async def test_connections_cut_after_the_reply_is_lost(stage: Stage, proxied: TcpProxy, report: Report) -> None:
    """The commits were done and nobody was told: the mark tells, and nothing is applied twice."""
    direct = stage.settings.history_store
    stage.settings = stage.settings.model_copy(update={"history_store": behind(stage, proxied)})
    async with (
        playing(stage, 2, history_store=direct) as (platform, checker),
        writing(platform.handler, checker.journal) as writers,
    ):
        for _ in range(8):
            await writers.progress(2, 30)
            proxied.mute = True
            await asyncio.sleep(0.1)  # commits arrive meanwhile, and their replies do not
            await proxied.cut()
            proxied.mute = False
            checker.journal.fault("replies lost, connections cut")
            await owned(platform, 30)
        await writers.progress(5, 30)
        await writers.finish()
        report(await checker.check())
    dropped = sum(process.output.count("not committed") for process in stage.processes)
    assert dropped, "no commit's reply was among what was lost"
