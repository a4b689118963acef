"""Rows over HTTP from a hot store, with real Kafka: read-your-writes, and a hot store that is lost and filled again."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from bridge.local import ports
from bridge.settings import Settings
from bridge.store import keys
from bridge.store.contract import Stores
from bridge.store.lmdb_store import LmdbStores
from bridge.store.rows import Hot
from tests.checker import rows_of
from tests.integration.test_projections import append, at_least
from tests.servers import PATIENCE, prepare, ready, running, servers, until, url

pytestmark = pytest.mark.integration

PROCESSOR = ("streams", "--role", "processor")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Kafka, a registry and topics; the processes have a hot store of their own."""
    home = tmp_path_factory.mktemp("hot")
    with servers(home) as settings:
        served = settings.model_copy(update={"hot_store": f"lmdb://{home / 'warm'}"})
        asyncio.run(prepare(served))
        yield served


def reads(api: httpx.Client) -> dict[str, float]:
    """How many questions the hot store has answered in this process, and how many it has not."""
    families = text_string_to_metric_families(api.get("/metrics").text)
    samples = [sample for family in families if family.name == "lighthouse_hot_reads" for sample in family.samples]
    return {sample.labels["outcome"]: sample.value for sample in samples}


def head(api: httpx.Client, stream: str, written: httpx.Response) -> int:
    """The head that a row tells to whoever has seen this append, and the state of the same moment."""
    row = api.get(f"/v1/projections/streams/rows/{stream}", headers=at_least(written))
    state = api.get(f"/v1/streams/{stream}/state", headers=at_least(written))
    assert (row.status_code, state.status_code) == (200, 200), (row.text, state.text)
    told: int = row.json()["row"]["head"]
    assert state.json()["version"] == told - 1
    return told


def answered(api: httpx.Client, stream: str, written: httpx.Response) -> bool:
    """Whether row and state are answered by the hot store."""
    before = reads(api)["hot"]
    head(api, stream, written)
    return reads(api)["hot"] == before + 2


def test_rows_come_from_the_hot_store_and_are_right_while_it_is_lost(served: Settings, stream: str) -> None:
    with httpx.Client(base_url=url(served), trust_env=False, timeout=PATIENCE) as api, running(served, "bridge.api"):
        with running(served, *PROCESSOR):
            until(lambda: ready(served), f"the API is ready; its log lies in {served.root}")
            for version in range(3):
                written = append(api, stream, version)
                assert head(api, stream, written) == version + 1
            until(lambda: answered(api, stream, written), "the hot store answers")
            page = api.get("/v1/projections/activity/rows", headers=at_least(written)).json()
            assert sum(row["row"] for row in page["rows"] if row["key"].endswith("/project/CommitRecorded")) == 3
        shutil.rmtree(Path(served.hot_store.removeprefix("lmdb://")))
        assert head(api, stream, written) == 3
        with running(served, *PROCESSOR):
            until(lambda: ready(served), "every partition has an owner again")
            assert head(api, stream, written) == 3, "what is being copied is the history's to tell"
            more = append(api, stream, 3)
            assert head(api, stream, more) == 4
            until(lambda: answered(api, stream, more), "the new hot store was filled, and was found")


def test_a_killed_processor_leaves_hot_rows_that_its_successor_completes(served: Settings, stream: str) -> None:
    """kill -9 in the middle of appends, three times; in the end the hot rows are the history's, byte for byte."""
    settings = served.model_copy(update={"api_port": ports.pick(1)[0]})
    with httpx.Client(base_url=url(settings), trust_env=False, timeout=PATIENCE) as api, ExitStack() as stack:
        stack.enter_context(running(settings, "bridge.api"))
        for number in range(4):
            with running(settings, *PROCESSOR) as processor:
                until(lambda: ready(settings), "every partition has an owner")
                written = [append(api, f"{stream}-{one}", number) for one in range(8)]
                if number < 3:
                    processor.kill()
                    continue
                for one, answer in enumerate(written):
                    assert head(api, f"{stream}-{one}", answer) == 4
                until(lambda: asyncio.run(equal(settings)), "the hot rows are the history's")


async def equal(settings: Settings) -> bool:
    """Whether each partition of the category has every hot row that its history has, and no other."""
    far = LmdbStores(Path(settings.hot_store.removeprefix("lmdb://")), settings)
    near = LmdbStores(settings.root / "stores", settings)
    try:
        return all([await _equal(near, far, f"lighthouse.project-{number}") for number in range(settings.partitions)])
    finally:
        await near.close()
        await far.close()


async def _equal(near: Stores, far: Stores, space: str) -> bool:
    position, history = await rows_of(near.open(space))
    copied, hot = await rows_of(far.open(keys.hot_space(space)))
    if keys.HOT not in hot or copied != position or not (row := Hot.unpack(hot[keys.HOT])).following:
        return False
    told = (keys.CLOCK, keys.REBUILD, *(keys.PROGRESS + keys.name(name) for name in ("activity", "streams")))
    prefixes = (*row.complete, *told)
    expected = {key: value for key, value in history.items() if key.startswith(prefixes)}
    assert len(row.complete) >= 3, f"heads and two projections at least: {row.complete}"
    assert {key: value for key, value in hot.items() if key != keys.HOT} == expected
    return True
