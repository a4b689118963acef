"""What Kafka remembers of a consumer group: how far it is, partition by partition."""

from __future__ import annotations

from collections.abc import Mapping

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from bridge.errors import LighthouseError
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
        asked = [ConsumerGroupTopicPartitions(group)]
        future = self._client().list_consumer_group_offsets(asked, request_timeout=TIMEOUT)[group]
        found = await answered(future, fine=("GROUP_ID_NOT_FOUND",))
        placed = {(part.topic, part.partition): place_of(part) for part in (found.topic_partitions if found else ())}
        return {part: place for part, place in placed.items() if place is not None}

    async def members(self, group: str) -> int:
        """How many members a group has now."""
        future = self._client().describe_consumer_groups([group], request_timeout=TIMEOUT)[group]
        found = await answered(future, fine=("GROUP_ID_NOT_FOUND",))
        return len(found.members) if found is not None else 0

    async def place(self, group: str, places: Mapping[tuple[str, int], Place]) -> None:
        """Lets a group go on at these places. Raises LighthouseError where it has members."""
        parts = [TopicPartition(*part, offset, str(index)) for part, (offset, index) in places.items()]
        asked = [ConsumerGroupTopicPartitions(group, parts)]
        done = await answered(self._client().alter_consumer_group_offsets(asked, request_timeout=TIMEOUT)[group])
        if wrong := [part.error for part in done.topic_partitions if part.error is not None]:
            raise LighthouseError(f"group {group} cannot be placed: {wrong[0]}")

    def _client(self) -> AdminClient:
        if self._admin is None:
            self._admin = AdminClient(admin(self._settings))
        return self._admin


def place_of(found: TopicPartition) -> Place | None:
    """The place in the admitted order that a committed offset stands for, None where there is none."""
    if found.offset < 0:
        return None
    index = found.metadata or ""
    return found.offset, int(index) if index.isdecimal() else 0


def group_of(group: str, reactor: str) -> str:
    """The consumer group of a reactor; `group` is that of the processors."""
    return f"{group}.reactor.{reactor}"
