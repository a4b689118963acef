"""(c) An API that is killed between produce and answer; (m) keys that are used twice, at one API or at two."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import pytest

from bridge.local.ports import pick
from bridge.log.ids import append_id
from bridge.log.record import Place
from bridge.wiring import Platform
from tests.faults.conftest import Report
from tests.faults.harness import PATIENCE, Process, Stage, playing, soon
from tests.faults.reference import log_below
from tests.faults.writers import commit, writing

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]
ACTOR = "client"
RACERS = 100


@dataclass(frozen=True)
class Api:
    """An API process and a client of it."""

    process: Process
    client: httpx.AsyncClient

    async def append(self, id_: str, expected: int | None, key: str, *texts: str) -> httpx.Response:
        """Asks for an append to project/<id>."""
        events = [{"type": "CommitRecorded", "data": dict(commit(text).data)} for text in texts]
        body = {"expected_version": expected, "events": events}
        headers = {"Idempotency-Key": key, "Lighthouse-Actor": ACTOR}
        return await self.client.post(f"/v1/streams/project/{id_}/events", json=body, headers=headers)

    async def ready(self) -> bool:
        """Whether it serves every partition."""
        assert self.process.popen.poll() is None, self.process.output
        try:
            return (await self.client.get("/health/ready")).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False


@asynccontextmanager
async def serving(stage: Stage, count: int = 1) -> AsyncIterator[Sequence[Api]]:
    """API processes that are ready."""
    apis = []
    for port in pick(count):
        process = stage.start("bridge.api", more={"api_port": port})
        address = f"http://127.0.0.1:{port}"
        apis.append(Api(process, httpx.AsyncClient(base_url=address, timeout=PATIENCE, trust_env=False)))
    try:
        for api in apis:
            await soon(api.ready, PATIENCE, "the API is ready")
        yield apis
    finally:
        for api in apis:
            await api.client.aclose()


async def in_log(platform: Platform, place: Place, append: bytes) -> bool:
    """Whether a record with this append id lies in the partition."""
    end = await platform.reader.end(place.topic, place.partition)
    where = (platform.base.settings.kafka_bootstrap, place.topic, place.partition, end)
    records = await log_below(*where)
    return any(("lh_append", append) in record.headers for record in records)


def told(response: httpx.Response) -> tuple[int, int, bool]:
    """First and last version and whether it was a duplicate, of a success."""
    assert response.status_code == httpx.codes.CREATED, response.text
    body = response.json()
    return body["first_version"], body["last_version"], body["duplicate"]


async def test_an_api_killed_between_produce_and_answer_has_written_once(stage: Stage, report: Report) -> None:
    async with playing(stage, 1) as (platform, checker), writing(platform.handler, checker.journal) as writers:
        await writers.progress(3, 20)
        processor, stream = stage.processes[0], "project/api"
        place = platform.spaces.of(stream).place
        async with serving(stage) as (api,):
            assert told(await api.append("api", 0, "first", "first")) == (0, 0, False)
            processor.signal(signal.SIGSTOP)
            await processor.stopped()
            asked = asyncio.create_task(api.append("api", 1, "second", "second", "third"))
            append = append_id(stream, ACTOR, "second")
            await soon(lambda: in_log(platform, place, append), 10, "the record is in the log")
            assert not asked.done(), "it was answered before it could be admitted"
            api.process.kill()
            checker.journal.fault("kill -9 of the API after the produce and before the answer")
            with pytest.raises(httpx.TransportError):
                await asked
            processor.signal(signal.SIGCONT)
        async with serving(stage) as (api,):
            assert told(await api.append("api", 1, "second", "second", "third")) == (1, 2, True)
            assert told(await api.append("api", 1, "second", "second", "third")) == (1, 2, True)
            assert told(await api.append("api", 3, "last", "last")) == (3, 3, False)
        await writers.progress(3, 20)
        await writers.finish()
        report(await checker.check())


async def test_a_key_has_one_body_and_one_place(stage: Stage, report: Report) -> None:
    async with (
        playing(stage, 1) as (platform, checker),
        writing(platform.handler, checker.journal) as writers,
        serving(stage, 2) as (one, two),
    ):
        await writers.progress(2, 20)
        await one_key_two_bodies(one, two)
        await one_key_at_two_apis_at_once(one, two)
        await a_key_again_after_a_conflict(one, two)
        await a_race_at_two_apis(one, two)
        await writers.progress(2, 20)
        await writers.finish()
        report(await checker.check())


async def one_key_two_bodies(one: Api, two: Api) -> None:
    assert told(await one.append("m", 0, "key", "body")) == (0, 0, False)
    for api in (one, two):
        other = await api.append("m", 0, "key", "another body")
        assert (other.status_code, other.json()["type"]) == (422, "/problems/key-reused")
        version = await api.append("m", 1, "key", "body")
        assert (version.status_code, version.json()["type"]) == (422, "/problems/key-reused")
    assert told(await two.append("m", 0, "key", "body")) == (0, 0, True)


async def one_key_at_two_apis_at_once(one: Api, two: Api) -> None:
    for expected in (1, None):
        key = f"at once {expected}"
        answers = await asyncio.gather(*((one, two)[n % 2].append("m", expected, key, "once") for n in range(20)))
        versions = {told(answer)[:2] for answer in answers}
        assert len(versions) == 1
        assert sum(not told(answer)[2] for answer in answers) == 1, "one of them is the one that was admitted"
    assert told(await one.append("m", 3, "next", "next")) == (3, 3, False)


async def a_key_again_after_a_conflict(one: Api, two: Api) -> None:
    """A refused attempt is over: the same key may be tried again, and then counts if its version has come."""
    for api in (one, two, one):
        for expected in (2, 5):
            refused = await api.append("m", expected, f"early {expected}", "early")
            assert (refused.status_code, refused.json()["actual_version"]) == (409, 4)
    assert told(await one.append("m", 4, "fills", "fills")) == (4, 4, False)
    assert told(await two.append("m", 5, "early 5", "early")) == (5, 5, False)
    assert told(await one.append("m", 5, "early 5", "early")) == (5, 5, True)
    assert (await one.append("m", 2, "early 2", "early")).status_code == httpx.codes.CONFLICT


async def a_race_at_two_apis(one: Api, two: Api) -> None:
    racing = ((one, two)[n % 2].append("race", 0, f"racer {n}", f"racer {n}") for n in range(RACERS))
    statuses = Counter(answer.status_code for answer in await asyncio.gather(*racing))
    assert statuses == {201: 1, 409: RACERS - 1}
