"""What a local Kafka is, as opposed to what runs: its id, its ports, its directories and each broker's settings."""

from __future__ import annotations

import base64
import uuid
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bridge.errors import LocalError
from bridge.local import ports
from bridge.local.home import replace, require_ours
from bridge.settings import Settings

CONTROLLERS_AFTER = 10
MIB = 1 << 20
THREADS = {"dev": {"io": 2, "network": 2}, "bench": {"io": 8, "network": 3}}


@dataclass(frozen=True)
class Cluster:
    """Kept in `kafka/cluster.json`, which also marks the directory as ours. Node ids are 1, 2, 3."""

    id: str
    ports: tuple[int, ...]
    controllers: tuple[int, ...]

    @property
    def bootstrap(self) -> str:
        """The brokers' addresses, as Kafka clients want them."""
        return ",".join(f"{ports.HOST}:{port}" for port in self.ports)

    @property
    def nodes(self) -> range:
        """The node ids, in the order of the ports."""
        return range(1, len(self.ports) + 1)


def directory(settings: Settings, node: int) -> Path:
    """Where a broker keeps everything of its own."""
    return settings.root / "kafka" / str(node)


def open_cluster(settings: Settings) -> Cluster:
    """The home's cluster with free ports, made when there is none. Raises LocalError."""
    file = settings.root / "kafka" / "cluster.json"
    known = _known(file)
    _require_ours(settings, known)
    cluster = _with_ports(settings, known)
    file.parent.mkdir(parents=True, exist_ok=True)
    replace(file, msgspec.json.encode(cluster))
    return cluster


def _known(file: Path) -> Cluster | None:
    if not file.exists():
        require_ours(file)
        return None
    try:
        return msgspec.json.decode(file.read_bytes(), type=Cluster)
    except msgspec.DecodeError as error:
        raise LocalError(f"{file} cannot be read ({error}); `lighthouse down --wipe` starts afresh") from error


def _require_ours(settings: Settings, known: Cluster | None) -> None:
    if known is None:
        return
    if len(known.ports) != settings.brokers:
        raise LocalError(
            f"{settings.root} holds a Kafka of {len(known.ports)} brokers, not {settings.brokers}; "
            f"set LIGHTHOUSE_BROKERS={len(known.ports)}, or forget its data with `lighthouse down --wipe`"
        )
    for node in known.nodes:
        _require_node(directory(settings, node) / "data" / "meta.properties", known.id, node)


def _require_node(meta: Path, cluster: str, node: int) -> None:
    found = _properties(meta)
    for key, expected in {"cluster.id": cluster, "node.id": str(node)}.items():
        if found and found.get(key) != expected:
            raise LocalError(
                f"{meta} says {key}={found.get(key)}, but {expected} belongs there: the data of another Kafka; "
                "move it away, or forget it with `lighthouse down --wipe`"
            )


def _properties(file: Path) -> dict[str, str]:
    lines = file.read_text().splitlines() if file.exists() else []
    pairs = (line.partition("=") for line in lines if "=" in line and not line.startswith("#"))
    return {key.strip(): value.strip() for key, _, value in pairs}


def _with_ports(settings: Settings, known: Cluster | None) -> Cluster:
    cluster_id = known.id if known else _new_id()
    if settings.kafka_port:
        return _fixed(cluster_id, settings)
    if known and all(map(ports.is_free, (*known.ports, *known.controllers))):
        return known
    picked = ports.pick(2 * settings.brokers)
    return Cluster(cluster_id, picked[: settings.brokers], picked[settings.brokers :])


def _fixed(cluster_id: str, settings: Settings) -> Cluster:
    clients = tuple(range(settings.kafka_port, settings.kafka_port + settings.brokers))
    controllers = tuple(port + CONTROLLERS_AFTER for port in clients)
    for port in (*clients, *controllers):
        ports.require_free(port, "LIGHTHOUSE_KAFKA_PORT")
    return Cluster(cluster_id, clients, controllers)


def _new_id() -> str:
    # Kafka's form of a UUID; one that begins with a dash would look like an option to its format tool.
    text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    return _new_id() if text.startswith("-") else text


def properties(cluster: Cluster, node: int, settings: Settings) -> dict[str, str | int]:
    """A broker's whole configuration."""
    return {
        **_identity(cluster, node, directory(settings, node) / "data"),
        **_topics(len(cluster.ports)),
        **_groups(settings),
        **_resources(settings),
    }


def _identity(cluster: Cluster, node: int, data: Path) -> dict[str, str | int]:
    client = f"PLAINTEXT://{ports.HOST}:{cluster.ports[node - 1]}"
    voters = (f"{n}@{ports.HOST}:{port}" for n, port in zip(cluster.nodes, cluster.controllers, strict=True))
    return {
        "process.roles": "broker,controller",
        "node.id": node,
        "listeners": f"{client},CONTROLLER://{ports.HOST}:{cluster.controllers[node - 1]}",
        "advertised.listeners": client,
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.voters": ",".join(voters),
        "log.dirs": str(data),
        # After a kill -9 a node waits for its own former session.
        "broker.session.timeout.ms": 2000,
        "broker.heartbeat.interval.ms": 500,
    }


def _topics(brokers: int) -> dict[str, str | int]:
    in_sync = 2 if brokers == 3 else 1
    return {
        "auto.create.topics.enable": "false",
        "default.replication.factor": brokers,
        "min.insync.replicas": in_sync,
        "unclean.leader.election.enable": "false",
        "message.max.bytes": 8 * MIB,
        "replica.fetch.max.bytes": 8 * MIB,
        "offsets.topic.num.partitions": 4,
        "offsets.topic.replication.factor": brokers,
        "transaction.state.log.num.partitions": 4,
        "transaction.state.log.replication.factor": brokers,
        "transaction.state.log.min.isr": in_sync,
        "share.coordinator.state.topic.num.partitions": 4,
        "share.coordinator.state.topic.replication.factor": brokers,
        "share.coordinator.state.topic.min.isr": in_sync,
    }


def _groups(settings: Settings) -> dict[str, str | int]:
    session = round(settings.session * 1000)
    return {
        "group.consumer.session.timeout.ms": session,
        "group.consumer.min.session.timeout.ms": min(session, 1000),
        "group.consumer.heartbeat.interval.ms": 500,
        "group.consumer.min.heartbeat.interval.ms": 100,
        "group.consumer.assignment.interval.ms": 100,
        "group.initial.rebalance.delay.ms": 0,
        # A reactor's progress is its committed offset: a year without one is longer than any pause (DESIGN 6).
        "offsets.retention.minutes": 525_600,
    }


def _resources(settings: Settings) -> dict[str, str | int]:
    threads = THREADS[settings.kafka_profile]
    return {
        "num.io.threads": threads["io"],
        "num.network.threads": threads["network"],
        "log.cleaner.dedupe.buffer.size": 2 * MIB,
        "log.cleaner.io.buffer.size": 1 << 16,
    }
