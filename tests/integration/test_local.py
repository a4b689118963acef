"""The local Kafka and registry, for real: what they keep, what they survive, and what they say when they cannot."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import psutil
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from bridge.errors import LocalError
from bridge.local import LocalKafka, running, start_kafka, start_registry, wipe
from bridge.local.cluster import directory
from bridge.local.jars import fetch, locked, silent
from bridge.local.registry import unpack
from bridge.settings import Settings

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

SHARED_CACHE = Path(os.environ.get("LIGHTHOUSE_CACHE", "~/.lighthouse/cache")).expanduser()
PATIENCE = 30.0
SCHEMA = '{"type":"record","name":"%s","fields":[{"name":"owner","type":"string"}]}'

# What a process does that is then killed: it starts a Kafka, says so, and waits.
OWNER = """
import sys, time
from pathlib import Path
from bridge.local import start_kafka
from bridge.settings import Settings
start_kafka(Settings(home=Path(sys.argv[1]), cache=Path(sys.argv[2]), kafka_port=0))
print("up", flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home of one broker that the tests of this module share, each of which starts and stops what it needs."""
    return Settings(home=tmp_path_factory.mktemp("home"), cache=SHARED_CACHE, kafka_port=0, registry_port=0, brokers=1)


@pytest.fixture
def kafka(settings: Settings) -> Iterator[LocalKafka]:
    started = start_kafka(settings)
    yield started
    started.stop()


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKafka]:
    home = tmp_path_factory.mktemp("three")
    started = start_kafka(Settings(home=home, cache=SHARED_CACHE, kafka_port=0, brokers=3))
    create(started, "replicated", replication=3)
    yield started
    started.stop()


def create(kafka: LocalKafka, topic: str, replication: int = 1) -> None:
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    admin.create_topics([NewTopic(topic, 1, replication)])[topic].result(PATIENCE)


def write(kafka: LocalKafka, topic: str, *values: str) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "acks": "all", "message.timeout.ms": 30_000})
    errors: list[object] = []
    for value in values:
        producer.produce(topic, value.encode(), on_delivery=lambda error, _: errors.append(error))
    assert producer.flush(PATIENCE) == 0
    assert errors == [None] * len(values)


def read(kafka: LocalKafka, topic: str) -> list[str]:
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": "test", "enable.auto.commit": False})
    with closing(consumer):
        _, end = consumer.get_watermark_offsets(TopicPartition(topic, 0), PATIENCE)
        consumer.assign([TopicPartition(topic, 0, 0)])
        records = consumer.consume(end, PATIENCE) if end else []
        return [(record.value() or b"").decode() for record in records]


def settings_of(kafka: LocalKafka, kind: ResourceType, name: str) -> dict[str, str | None]:
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})  # must outlive its futures
    resource = ConfigResource(kind, name)
    return {key: entry.value for key, entry in admin.describe_configs([resource])[resource].result(PATIENCE).items()}


def gone(pids: list[int]) -> bool:
    processes = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
    return not psutil.wait_procs(processes, PATIENCE)[1]


def test_data_survives_a_stop_and_a_start(settings: Settings) -> None:
    for expected in (["a"], ["a", "a"]):
        kafka = start_kafka(settings)
        if expected == ["a"]:
            create(kafka, "kept")
        write(kafka, "kept", "a")
        assert read(kafka, "kept") == expected
        kafka.stop()


def test_the_broker_is_set_up_as_the_platform_needs_it(kafka: LocalKafka) -> None:
    found = settings_of(kafka, ResourceType.BROKER, "1")
    expected = {
        "auto.create.topics.enable": "false",
        "group.consumer.session.timeout.ms": "3000",
        "group.consumer.heartbeat.interval.ms": "500",
        "offsets.retention.minutes": "525600",
        "message.max.bytes": "8388608",
    }
    assert {key: found[key] for key in expected} == expected


def test_the_broker_writes_a_log(kafka: LocalKafka) -> None:
    assert "Kafka Server started" in kafka.brokers[0].log.read_text()


def test_a_second_start_is_told_that_it_runs_already(settings: Settings, kafka: LocalKafka) -> None:
    with pytest.raises(LocalError, match=rf"already runs in .*process {os.getpid()}"):
        start_kafka(settings)
    with pytest.raises(LocalError, match="end it before wiping"):
        wipe(settings)
    assert [each.pid for each in (running(settings) or pytest.fail("nothing runs")).processes] == [kafka.brokers[0].pid]


def test_data_survives_kill_and_restart(kafka: LocalKafka) -> None:
    create(kafka, "survivor")
    write(kafka, "survivor", *map(str, range(100)))
    kafka.kill(1)
    with pytest.raises(LocalError, match="kafka-1 was ended by SIGKILL"):
        kafka.check()
    kafka.restart(1)
    kafka.check()
    assert read(kafka, "survivor") == [str(number) for number in range(100)]


def test_brokers_die_with_a_killed_owner_and_the_next_start_finds_the_data(settings: Settings, tmp_path: Path) -> None:
    command = [sys.executable, "-c", OWNER, str(tmp_path), str(SHARED_CACHE)]
    home = settings.model_copy(update={"home": tmp_path})
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout
        assert owner.stdout.readline() == "up\n"
        found = running(home)
        owner.kill()
    assert found
    assert found.owner.pid == owner.pid
    assert gone([each.pid for each in found.processes])
    assert running(home) is None
    start_kafka(home).stop()


def test_a_stopped_orphan_is_ended_by_the_next_start(settings: Settings, tmp_path: Path) -> None:
    command = [sys.executable, "-c", OWNER, str(tmp_path), str(SHARED_CACHE)]
    home = settings.model_copy(update={"home": tmp_path})
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout
        assert owner.stdout.readline() == "up\n"
        (orphan,) = (running(home) or pytest.fail("nothing runs")).processes
        os.kill(orphan.pid, signal.SIGSTOP)
        owner.kill()
    assert running(home)
    start_kafka(home).stop()
    assert gone([orphan.pid])


def test_a_port_in_use_is_told_at_once(settings: Settings, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(LocalError, match=rf"port {port} is in use .* LIGHTHOUSE_KAFKA_PORT"):
            start_kafka(settings.model_copy(update={"home": tmp_path, "kafka_port": port}))
        with pytest.raises(LocalError, match=rf"port {port} is in use .* LIGHTHOUSE_REGISTRY_PORT"):
            start_registry(settings.model_copy(update={"home": tmp_path, "registry_port": port}))
    assert running(settings.model_copy(update={"home": tmp_path})) is None


def test_the_data_of_another_kafka_is_refused(settings: Settings, tmp_path: Path) -> None:
    home = settings.model_copy(update={"home": tmp_path})
    start_kafka(home).stop()
    meta = directory(home, 1) / "data" / "meta.properties"
    meta.write_text(meta.read_text().replace("cluster.id=", "cluster.id=another-"))
    with pytest.raises(LocalError, match=r"says cluster.id=another-"):
        start_kafka(home)
    wipe(home)
    start_kafka(home).stop()


def test_a_broker_that_dies_at_its_start_is_told_with_its_log(settings: Settings, tmp_path: Path) -> None:
    home = settings.model_copy(update={"home": tmp_path})
    start_kafka(home).stop()
    (directory(home, 1) / "data" / "__cluster_metadata-0" / "quorum-state").write_text("not a quorum state")
    with pytest.raises(LocalError, match=r"(?s)kafka-1 ended with exit code 1; .*kafka-1.log.*\n  .*JsonParse"):
        start_kafka(home)
    assert running(home) is None


def test_three_brokers_go_on_without_one_of_them(three: LocalKafka) -> None:
    write(three, "replicated", "before")
    for broker in three.brokers:
        three.kill(broker.node)
        write(three, "replicated", f"without {broker.node}")
        three.restart(broker.node)
    assert read(three, "replicated") == ["before", "without 1", "without 2", "without 3"]


def test_three_brokers_want_two_replicas_in_sync(three: LocalKafka) -> None:
    assert settings_of(three, ResourceType.TOPIC, "replicated")["min.insync.replicas"] == "2"


def test_there_is_no_fourth_broker(three: LocalKafka) -> None:
    with pytest.raises(LocalError, match="there is no broker 4"):
        three.kill(4)


def register(url: str, subject: str, schema: str) -> httpx.Response:
    return httpx.post(f"{url}/subjects/{subject}/versions", json={"schema": schema}, timeout=PATIENCE)


def test_the_registry_keeps_its_ids_through_a_stop_and_through_a_kill(settings: Settings) -> None:
    registry = start_registry(settings)
    ids = [register(registry.url, f"{name}-value", SCHEMA % name).json()["id"] for name in ("A", "B")]
    registry.kill()  # right after an answer: what was answered is on the disk
    with pytest.raises(LocalError, match="registry was ended by SIGKILL"):
        registry.check()
    registry.restart()
    assert [register(registry.url, f"{name}-value", SCHEMA % name).json()["id"] for name in ("A", "B")] == ids
    registry.stop()
    again = start_registry(settings)
    assert [register(again.url, f"{name}-value", SCHEMA % name).json()["id"] for name in ("A", "B")] == ids
    assert register(again.url, "C-value", SCHEMA % "C").json()["id"] not in ids
    again.stop()


def test_the_registry_refuses_an_incompatible_schema(settings: Settings) -> None:
    registry = start_registry(settings)
    register(registry.url, "D-value", SCHEMA % "D").raise_for_status()
    answer = register(registry.url, "D-value", (SCHEMA % "D").replace("owner", "holder"))
    registry.stop()
    assert answer.status_code == httpx.codes.CONFLICT


def test_kafka_and_registry_run_beside_each_other(settings: Settings, kafka: LocalKafka) -> None:
    registry = start_registry(settings)
    found = running(settings)
    registry.stop()
    assert found
    assert [(each.name, each.pid) for each in found.processes] == [
        ("kafka-1", kafka.brokers[0].pid),
        ("registry", registry.pid),
    ]


def test_a_warm_start_asks_no_network_and_reports_its_steps(settings: Settings, tmp_path: Path) -> None:
    fetch(settings, locked("kafka"), silent)
    unpack(settings, silent)
    steps: list[str] = []
    offline = settings.model_copy(update={"home": tmp_path, "maven_repository": "http://127.0.0.1:1"})
    start_kafka(offline, steps.append).stop()
    start_registry(offline, steps.append).stop()
    assert [step.split(" at ")[0] for step in steps] == [
        "formatting 1 data directories",
        "starting Kafka",
        "starting the schema registry",
    ]
