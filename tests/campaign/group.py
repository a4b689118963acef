"""A consumer group's offsets, as an administrator changes them while nobody is a member."""

from __future__ import annotations

import time
from collections.abc import Callable

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

PATIENCE = 20.0
LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]


class Group:
    """One group. Each call blocks for some seconds at most, and raises KafkaException."""

    def __init__(self, bootstrap: str, name: str) -> None:
        self._admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
        self._name = name

    def commit_ends(self, topic: str, partitions: int) -> None:
        """Commits the end of every partition, once the last member's session is over."""
        asked = {TopicPartition(topic, number): LATEST for number in range(partitions)}
        ends = {place: one.result(PATIENCE).offset for place, one in self._admin.list_offsets(asked).items()}
        assert min(ends.values()) >= 0, f"a leader did not tell its end: {ends}"
        places = [TopicPartition(topic, place.partition, end) for place, end in ends.items()]
        _without_members(lambda: self._commit(places))

    def _commit(self, places: list[TopicPartition]) -> None:
        asked = self._admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(self._name, places)])
        for place in asked[self._name].result(PATIENCE).topic_partitions:
            if place.error is not None:
                raise KafkaException(place.error)

    def offsets(self) -> list[TopicPartition]:
        """What is committed."""
        found = self._admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(self._name)])
        return list(found[self._name].result(PATIENCE).topic_partitions or [])

    def delete(self) -> None:
        """Deletes the group with its offsets, once the last member's session is over."""
        _without_members(lambda: self._admin.delete_consumer_groups([self._name])[self._name].result(PATIENCE))


def _without_members(call: Callable[[], object]) -> None:
    """Makes a call that is refused as long as a member that was killed counts as there."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            call()
            return
        except KafkaException:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
