"""A bare member of a consumer group: `python -m benchmarks.member GROUP TOPIC FILE`.

Keeps in the file how many partitions it has.
"""

from __future__ import annotations

import sys
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition

from bridge.local.home import replace
from bridge.log import kafka
from bridge.settings import Settings


def main(group: str, topic: str, file: Path) -> None:
    """Polls until it is ended."""
    consumer = Consumer(kafka.consumer(Settings(), group) | {"auto.offset.reset": "latest"})

    def assigned(one: Consumer, parts: list[TopicPartition]) -> None:
        one.incremental_assign(parts)
        tell()

    def revoked(one: Consumer, parts: list[TopicPartition]) -> None:
        one.incremental_unassign(parts)
        tell()

    def tell() -> None:
        replace(file, str(len(consumer.assignment())).encode())

    consumer.subscribe([topic], on_assign=assigned, on_revoke=revoked)
    while True:
        consumer.poll(0.1)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
