"""What Kafka remembers of a consumer group: how far it is, partition by partition."""

from __future__ import annotations

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from bridge.log.kafka import admin
from bridge.log.topics import TIMEOUT, answered
from bridge.settings import Settings

Place = tuple[int, int]
"""Offset and index of the next event: the offset as committed, the index as its metadata."""


class Groups:
    """Kafka's admin interface, as far as groups go. Raises Unavailable when the cluster does not answer."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._admin: AdminClient | None = None

    async def committed(self, group: str) -> dict[tuple[str, int], Place]:
        """The places that a group has committed, by topic and partition."""
        if self._admin is None:
            self._admin = AdminClient(admin(self._settings))
        asked = [ConsumerGroupTopicPartitions(group)]
        future = self._admin.list_consumer_group_offsets(asked, request_timeout=TIMEOUT)[group]
        found = await answered(future, fine=("GROUP_ID_NOT_FOUND",))
        placed = {(part.topic, part.partition): place_of(part) for part in (found.topic_partitions if found else ())}
        return {part: place for part, place in placed.items() if place is not None}


def place_of(found: TopicPartition) -> Place | None:
    """The place in the admitted order that a committed offset stands for, None where there is none."""
    if found.offset < 0:
        return None
    index = found.metadata or ""
    return found.offset, int(index) if index.isdecimal() else 0


def group_of(group: str, reactor: str) -> str:
    """The consumer group of a reactor; `group` is that of the processors."""
    return f"{group}.reactor.{reactor}"
