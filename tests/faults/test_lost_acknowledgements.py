"""(e) Acknowledgements that are lost on the way from the broker to the producer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from bridge.local import LocalKafka, start_kafka
from bridge.local.ports import HOST, pick
from bridge.settings import Settings
from tests.faults.conftest import Report
from tests.faults.harness import CACHE, Stage, eventually, playing, staged
from tests.faults.journal import Outcome, Request
from tests.faults.writers import at, commit, writing
from tests.tcp_proxy import KafkaProxy

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]


@pytest.fixture
async def proxied(tmp_path: Path) -> AsyncIterator[tuple[LocalKafka, KafkaProxy]]:
    """A broker with a second listener, whose advertised address is the proxy's."""
    inside, outside = pick(2)
    kafka = await asyncio.to_thread(
        start_kafka, Settings(home=tmp_path / "proxied", cache=CACHE, kafka_port=0, kafka_bootstrap="")
    )
    try:
        await asyncio.to_thread(advertise, kafka, inside, outside)
        async with KafkaProxy(HOST, inside).listening(outside) as proxy:
            yield kafka, proxy
    finally:
        await asyncio.to_thread(kafka.stop)


def advertise(kafka: LocalKafka, inside: int, outside: int, node: int = 1) -> None:
    """Gives a broker a listener at `inside` that says it were at `outside`."""
    broker = kafka.brokers[node - 1]
    file = broker.directory / "server.properties"
    lines = dict(line.split("=", 1) for line in file.read_text().splitlines() if "=" in line)
    lines["listeners"] += f",PROXIED://{HOST}:{inside}"
    lines["advertised.listeners"] += f",PROXIED://{HOST}:{outside}"
    lines["listener.security.protocol.map"] = "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT"
    lines["inter.broker.listener.name"] = "PLAINTEXT"
    file.write_text("".join(f"{key}={value}\n" for key, value in lines.items()))
    kafka.restart(node)


@pytest.fixture
async def proxied_stage(
    proxied: tuple[LocalKafka, KafkaProxy], settings: Settings, tmp_path: Path
) -> AsyncIterator[Stage]:
    """A stage whose processors speak to the broker itself; only the writers go through the proxy."""
    changed = settings.model_copy(update={"kafka_bootstrap": proxied[0].bootstrap})
    async with staged(changed, tmp_path) as stage:
        yield stage


async def test_lost_acknowledgements_neither_lose_nor_double(
    proxied_stage: Stage, proxied: tuple[LocalKafka, KafkaProxy], report: Report
) -> None:
    stage, proxy = proxied_stage, proxied[1]
    through = {"kafka_bootstrap": f"{HOST}:{proxy.port}"}
    async with (
        playing(stage, 1, **through) as (platform, checker),
        writing(platform.handler, checker.journal) as writers,
    ):
        await writers.progress(5, 20)
        for number in range(1, 6):
            proxy.lose = 1
            await eventually(partial(_has_lost, proxy, number), 10, "an answer is lost")
            checker.journal.fault("acknowledgement lost")
            await writers.progress(3, 20)
        await writers.finish()
        report(await checker.check() | {"lost": proxy.lost})


def _has_lost(proxy: KafkaProxy, number: int) -> bool:
    return proxy.lost == number


async def test_an_append_whose_acknowledgements_are_all_lost_is_told_by_the_log(
    proxied_stage: Stage, proxied: tuple[LocalKafka, KafkaProxy], report: Report
) -> None:
    """The producer gives up, the record lies in the log: A5 and A6 find it, and the same key finds it again."""
    stage, proxy = proxied_stage, proxied[1]
    async with playing(stage, 1, kafka_bootstrap=f"{HOST}:{proxy.port}") as (platform, checker):
        first = Request(at(platform.handler, 0), None, "warm", [commit("warm")])
        assert (await checker.journal.ask(platform.handler, first)).outcome is Outcome.ACKNOWLEDGED
        proxy.lose = 1 << 30
        lost = Request(first.stream, 1, "lost", [commit("lost")])
        answer = await checker.journal.ask(platform.handler, lost)
        checker.journal.fault(f"{proxy.lost} acknowledgements lost")
        assert proxy.lost >= 1
        proxy.lose = 0
        assert answer.outcome in (Outcome.ACKNOWLEDGED, Outcome.UNKNOWN)
        again = await checker.journal.ask(platform.handler, lost)
        assert again.appended is not None
        assert (again.appended.first_version, again.appended.duplicate) == (1, True)
        report(await checker.check() | {"lost": proxy.lost, "said": answer.outcome.value})
