"""Which partitions a member's client fetches, kept beside the client: one that is being closed tells it no more."""

from __future__ import annotations

from collections.abc import Iterable

import structlog
from confluent_kafka import Consumer, KafkaException, TopicPartition

log = structlog.get_logger()


class Assignment:
    """Of one member. What the group has given it and what its client fetches may differ.

    An error of the client that leaves a callback within `close` ends the polling thread unheard: none leaves these.
    """

    def __init__(self) -> None:
        self._mine: set[tuple[str, int]] = set()

    def take(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Assigns them, at their offsets. Raises KafkaException."""
        consumer.incremental_assign(partitions)
        self._mine |= {(part.topic, part.partition) for part in partitions}

    def __contains__(self, partition: tuple[str, int]) -> bool:
        return partition in self._mine

    def give_back(self, consumer: Consumer, partitions: Iterable[TopicPartition]) -> None:
        """Unassigns those of them that were assigned."""
        mine = [part for part in partitions if (part.topic, part.partition) in self._mine]
        self._mine -= {(part.topic, part.partition) for part in mine}
        try:
            consumer.incremental_unassign(mine)
        except KafkaException as error:
            log.info("partition not assigned any more", error=str(error))
