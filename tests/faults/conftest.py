"""One Kafka and one registry for all fault tests; topics, group and stores of its own for each test."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from bridge.local import LocalKafka, LocalRegistry, start_kafka, start_registry
from bridge.settings import Settings
from tests.faults.harness import CACHE, PARTITIONS, Stage, staged

Report = Callable[[dict[str, object]], None]


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The home of the shared servers."""
    home = tmp_path_factory.mktemp("faults")
    return Settings(home=home, cache=CACHE, kafka_port=0, registry_port=0, kafka_bootstrap="", registry_url="")


@pytest.fixture(scope="session")
def kafka(home: Settings) -> Iterator[LocalKafka]:
    """A broker, which a test may kill if it starts it again."""
    started = start_kafka(home)
    yield started
    started.stop()


@pytest.fixture(scope="session")
def registry(home: Settings) -> Iterator[LocalRegistry]:
    """A schema registry, which a test may kill if it starts it again."""
    started = start_registry(home)
    yield started
    started.stop()


@pytest.fixture
def settings(
    home: Settings, kafka: LocalKafka, registry: LocalRegistry, tmp_path: Path, request: pytest.FixtureRequest
) -> Settings:
    """Settings that share nothing with another test but the servers."""
    told = f"t{zlib.crc32(request.node.nodeid.encode()):08x}-{re.sub(r'[^A-Za-z0-9]+', '-', request.node.name)}"
    name = told[:40].strip("-")
    changes = {
        "kafka_bootstrap": kafka.bootstrap,
        "registry_url": registry.url,
        "topic_prefix": name,
        "group": name,
        "history_store": f"lmdb://{tmp_path}/stores",
        "lmdb_map_mb": 256,
        "partitions": PARTITIONS,
        "unpark_every": 1.0,
        "deadline": 4.0,
    }
    return home.model_copy(update=changes)


@pytest.fixture
async def stage(settings: Settings, tmp_path: Path) -> AsyncIterator[Stage]:
    """The test's own topics on the shared Kafka."""
    async with staged(settings, tmp_path) as stage:
        yield stage


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Report:
    """Attaches a run's report to the test: shown with `-rA`, and in the JUnit file."""

    def attach(run: dict[str, object]) -> None:
        request.node.add_report_section("call", "the run", json.dumps(run, indent=1))
        request.node.user_properties.append(("run", json.dumps(run)))

    return attach
