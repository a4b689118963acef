"""The real Apache Kafka (KRaft), started from its jars: one broker, or three, each also a controller."""

from __future__ import annotations

import logging
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from bridge.errors import LocalError
from bridge.local import java, ports
from bridge.local.child import Child, late, stop_all
from bridge.local.cluster import Cluster, directory, open_cluster, properties
from bridge.local.home import Claim, replace
from bridge.local.jars import Report, fetch, locked, silent
from bridge.local.java import Jvm, class_path
from bridge.settings import Settings

LOGGING = Path(__file__).with_name("log4j2.properties")
BENCH_HEAP_MB = 1024
FORMAT_SECONDS = 60.0
STOP_SECONDS = 20.0
METADATA_SECONDS = 0.5


@dataclass(frozen=True)
class Broker:
    """One broker; `node` is 1, 2 or 3. Its pid changes when it is restarted."""

    node: int
    port: int
    directory: Path
    child: Child

    @property
    def pid(self) -> int:
        """The process id of its JVM."""
        return self.child.pid

    @property
    def log(self) -> Path:
        """The log of its last start; earlier ones are beside it."""
        return self.child.log

    @property
    def address(self) -> str:
        """Where its clients connect."""
        return f"{ports.HOST}:{self.port}"


@dataclass(frozen=True)
class LocalKafka:
    """A running local Kafka. It ends with this process, however this process ends."""

    bootstrap: str
    brokers: tuple[Broker, ...]
    jvm: Jvm
    claim: Claim
    draft: Path | None
    start_timeout: float

    @property
    def training(self) -> bool:
        """Whether this is the first run, whose stop takes some 10 s more: it writes the cache of the next starts."""
        return self.draft is not None

    @property
    def children(self) -> tuple[Child, ...]:
        """The brokers' processes."""
        return tuple(broker.child for broker in self.brokers)

    def check(self) -> None:
        """Raises LocalError with the end of the log of the first broker that died."""
        for child in self.children:
            child.check()

    def stop(self, timeout: float = STOP_SECONDS) -> None:
        """Stops every broker, killing what is left after `timeout` seconds; a first run takes some more to train."""
        stop_all(self.children, timeout + (java.DUMP_SECONDS if self.draft else 0.0))
        if self.draft:
            self.jvm.keep(self.draft)
        self.claim.release()

    def kill(self, node: int) -> None:
        """SIGKILL to one broker; returns when it has ended."""
        self._broker(node).child.kill()

    def restart(self, node: int) -> None:
        """Starts one broker again, after stopping it if it runs; returns when it answers. Raises LocalError."""
        broker = self._broker(node)
        broker.child.stop(STOP_SECONDS)
        broker.child.start(self.jvm.command(str(broker.directory / "server.properties")))
        self.record()
        await_ready([broker], len(self.brokers), self.start_timeout)

    def record(self) -> None:
        """Writes down who runs."""
        self.claim.record(self.children)

    def _broker(self, node: int) -> Broker:
        found = [broker for broker in self.brokers if broker.node == node]
        if not found:
            raise LocalError(f"there is no broker {node}; there are {[broker.node for broker in self.brokers]}")
        return found[0]


def start_kafka(settings: Settings, on_progress: Report = silent) -> LocalKafka:
    """Formats what is new, starts the brokers, and returns when each answers a metadata request naming all of them.

    Raises LocalError: it runs already, a port is in use, the data is another's, no room, no Java, no jars, or a
    broker died or did not answer within `start_timeout`.
    """
    claim = Claim(settings, "kafka")
    try:
        return _start(settings, claim, on_progress)
    except BaseException:
        claim.release()
        raise


def _start(settings: Settings, claim: Claim, on_progress: Report) -> LocalKafka:
    java.java()
    cluster = open_cluster(settings)
    jars = fetch(settings, locked("kafka"), on_progress)
    _format(settings, cluster, jars, on_progress)
    kafka = _assemble(settings, cluster, _jvm(settings, jars), claim)
    on_progress(f"starting Kafka at {cluster.bootstrap}")
    try:
        _launch(kafka)
        await_ready(kafka.brokers, len(kafka.brokers), settings.start_timeout)
    except BaseException:
        stop_all(kafka.children, 0.0)
        raise
    return kafka


def _jvm(settings: Settings, jars: tuple[Path, ...]) -> Jvm:
    bench = settings.kafka_profile == "bench"
    heap = max(settings.kafka_heap_mb, BENCH_HEAP_MB) if bench else settings.kafka_heap_mb
    flags = (*(java.BENCH if bench else java.DEV), f"-Xmx{heap}m", f"-Dlog4j2.configurationFile={LOGGING.as_uri()}")
    return Jvm("kafka", flags, jars, (*class_path(jars), "kafka.Kafka"), settings.cache_root / "aot")


def _format(settings: Settings, cluster: Cluster, jars: tuple[Path, ...], on_progress: Report) -> None:
    for node in cluster.nodes:
        path = directory(settings, node)
        path.mkdir(parents=True, exist_ok=True)
        lines = (f"{key}={value}" for key, value in properties(cluster, node, settings).items())
        replace(path / "server.properties", ("\n".join(lines) + "\n").encode())
    new = [n for n in cluster.nodes if not (directory(settings, n) / "data" / "meta.properties").exists()]
    if new:
        on_progress(f"formatting {len(new)} data directories")
        tool = (*java.DEV, "-Xmx128m", f"-Dlog4j2.configurationFile={LOGGING.as_uri()}", *class_path(jars))
        with ThreadPoolExecutor(len(new)) as pool:
            list(pool.map(lambda node: _format_one(directory(settings, node), cluster.id, tool), new))


def _format_one(path: Path, cluster: str, tool: tuple[str, ...]) -> None:
    arguments = ("kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(path / "server.properties"))
    command = [str(java.java()), *java.ALWAYS, *tool, *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=FORMAT_SECONDS, cwd=path)
    if done.returncode:
        raise LocalError(f"{path} cannot be formatted:\n{(done.stdout + done.stderr).strip()[-1000:]}")


def _assemble(settings: Settings, cluster: Cluster, jvm: Jvm, claim: Claim) -> LocalKafka:
    draft = None if jvm.trained else jvm.draft()
    brokers = tuple(_broker(settings, cluster, jvm, node, draft if node == 1 else None) for node in cluster.nodes)
    return LocalKafka(cluster.bootstrap, brokers, jvm, claim, draft, settings.start_timeout)


def _broker(settings: Settings, cluster: Cluster, jvm: Jvm, node: int, draft: Path | None) -> Broker:
    path = directory(settings, node)
    command = jvm.command(str(path / "server.properties"), training=draft)
    child = Child(f"kafka-{node}", command, settings.root / "logs" / f"kafka-{node}.log", path)
    return Broker(node, cluster.ports[node - 1], path, child)


def _launch(kafka: LocalKafka) -> None:
    kafka.jvm.touch()
    for child in kafka.children:
        child.start()
    kafka.record()


def await_ready(brokers: tuple[Broker, ...] | list[Broker], count: int, timeout: float) -> None:
    """Returns when each broker answers a metadata request that names `count` brokers. Raises LocalError."""
    deadline = time.monotonic() + timeout
    for broker in brokers:
        client = _client(broker.address)
        while not _names(client, count):
            broker.child.check()
            if time.monotonic() > deadline:
                raise LocalError(late(broker.child.name, timeout, broker.log))


def _client(bootstrap: str) -> AdminClient:
    quiet = logging.getLogger("bridge.local.readiness")
    quiet.addHandler(logging.NullHandler())
    quiet.propagate = False  # refused connections are what readiness is made of
    patience = {"reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 50}
    return AdminClient({"bootstrap.servers": bootstrap, **patience}, logger=quiet)


def _names(client: AdminClient, count: int) -> bool:
    try:
        return len(client.list_topics(timeout=METADATA_SECONDS).brokers) == count
    except KafkaException:
        return False
