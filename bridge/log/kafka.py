"""What every Kafka client of this platform is configured with, and Kafka's errors as sentences."""

from __future__ import annotations

from typing import Any

from bridge.settings import Settings

Config = dict[str, Any]

METADATA_MS = 3_000
"""A broker that is cut off from the others does not know that it leads no more; another one must be asked who does."""

SOCKET_MS = 10_000
"""A broker whose answers vanish is connected to anew after this; librdkafka's minute is longer than any deadline."""


def common(settings: Settings, client: str) -> Config:
    """Where Kafka is and who asks; errors come back through calls and callbacks, so librdkafka's own log is quiet."""
    return {
        "bootstrap.servers": settings.kafka_bootstrap,
        "client.id": client,
        "log_level": 2,
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 1000,
        "socket.connection.setup.timeout.ms": 3000,
        "topic.metadata.refresh.interval.ms": METADATA_MS,
        "socket.timeout.ms": SOCKET_MS,
    }


def producer(settings: Settings) -> Config:
    """acks=all, idempotent: retries inside the client neither lose, double nor reorder (A4)."""
    return common(settings, "lighthouse-producer") | {
        "acks": "all",
        "enable.idempotence": True,
        "linger.ms": 0.05,  # 0.5 costs a lone writer 1.2 ms; under load the records are gathered before (Producer)
        "message.timeout.ms": int(settings.deadline * 600),
        "request.timeout.ms": int(settings.deadline * 200),  # for a leader that waits in vain for its replicas
        "queue.buffering.max.messages": 100_000,
        "queue.buffering.max.kbytes": 262_144,
        "message.max.bytes": 8 * 1024 * 1024,
        "compression.type": "lz4",
        "partitioner": "murmur2_random",
    }


def consumer(settings: Settings, group: str) -> Config:
    """KIP-848 group; the store's position, not the group's offset, says where to go on (I5).

    With `uniform`, the broker's default, members have as many partitions each, but perhaps all of a busy category.
    """
    return common(settings, group) | {
        "group.id": group,
        "group.protocol": "consumer",
        "group.remote.assignor": settings.assignor,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "check.crcs": True,
        "isolation.level": "read_uncommitted",
        "fetch.wait.max.ms": 100,
        "fetch.message.max.bytes": 9 * 1024 * 1024,
        "queued.max.messages.kbytes": 32_768,
        "queued.min.messages": 20_000,
    }


def admin(settings: Settings) -> Config:
    """For topics and metadata."""
    return common(settings, "lighthouse-admin")
