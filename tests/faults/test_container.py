"""A Kafka in a container instead of the local one: an existing cluster, whose topics and group settings are its own."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from testcontainers.community.kafka import KafkaContainer

from bridge.settings import Settings
from tests.faults.conftest import Report
from tests.faults.harness import playing, staged
from tests.faults.writers import writing

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

IMAGE = "confluentinc/cp-kafka:8.0.0"
"""Apache Kafka 4.0, the first whose consumer groups (KIP-848) are not a preview."""

GROUPS = {
    "KAFKA_GROUP_CONSUMER_SESSION_TIMEOUT_MS": "3000",
    "KAFKA_GROUP_CONSUMER_MIN_SESSION_TIMEOUT_MS": "3000",
    "KAFKA_GROUP_CONSUMER_HEARTBEAT_INTERVAL_MS": "500",
    "KAFKA_GROUP_CONSUMER_MIN_HEARTBEAT_INTERVAL_MS": "500",
}


def connect() -> None:
    """Connects to the Docker engine; raises OSError where none listens."""
    where = urlsplit(os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock"))
    if where.scheme == "unix":
        with socket.socket(socket.AF_UNIX) as engine:
            engine.settimeout(5)
            engine.connect(where.path)
    else:
        socket.create_connection((where.hostname, where.port or 2375), 5).close()


@pytest.fixture
def container() -> Iterator[str]:
    """The bootstrap address of a Kafka in a container, where an engine answers."""
    try:
        connect()
    except OSError as error:
        pytest.skip(f"no Docker engine answers: {error}")
    kafka = KafkaContainer(IMAGE).with_kraft()
    for name, value in GROUPS.items():
        kafka.with_env(name, value)
    with kafka:
        yield kafka.get_bootstrap_server()


async def test_writers_and_processors_on_a_kafka_in_a_container(
    container: str, settings: Settings, tmp_path: Path, report: Report
) -> None:
    async with (
        staged(settings.model_copy(update={"kafka_bootstrap": container}), tmp_path) as stage,
        playing(stage) as (platform, checker),
        writing(platform.handler, checker.journal) as writers,
    ):
        await writers.progress(5, 60)
        await writers.finish()
        report(await checker.check())
