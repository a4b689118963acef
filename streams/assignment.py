"""Which partitions a member of a group has, kept beside the client: one that is being closed tells it no more."""

from __future__ import annotations

from collections.abc import Iterable

import structlog
from confluent_kafka import Consumer, KafkaException, TopicPartition

log = structlog.get_logger()


class Assignment:
    """Of one member. Its methods run in the client's callbacks.

    An error of the client that leaves a callback within `close` ends the polling thread unheard: none leaves these.
    """

    def __init__(self) -> None:
        self._mine: set[tuple[str, int]] = set()

    def given(self, partitions: Iterable[TopicPartition]) -> None:
        """They were assigned."""
        self._mine |= {(part.topic, part.partition) for part in partitions}

    def give_back(self, consumer: Consumer, partitions: Iterable[TopicPartition]) -> None:
        """Unassigns those of them that were assigned."""
        mine = [part for part in partitions if (part.topic, part.partition) in self._mine]
        self._mine -= {(part.topic, part.partition) for part in mine}
        try:
            consumer.incremental_unassign(mine)
        except KafkaException as error:
            log.info("partition not assigned any more", error=str(error))
