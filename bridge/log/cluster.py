"""Who takes part: the brokers of the cluster, and the members of the processors' group with what each one owns."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from confluent_kafka.admin import AdminClient

from bridge.log.kafka import admin
from bridge.log.topics import TIMEOUT, answered
from bridge.settings import Settings


@dataclass(frozen=True, slots=True)
class Broker:
    """A living broker."""

    id: int
    address: str
    controller: bool


@dataclass(frozen=True, slots=True)
class Member:
    """A processor, by the id that Kafka knows it by; `partitions` are topics and numbers."""

    id: str
    host: str
    partitions: frozenset[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Standing:
    """The cluster and the group at one moment."""

    cluster: str
    brokers: list[Broker]
    group: str
    members: list[Member]

    def owner(self, topic: str, partition: int) -> Member | None:
        """The member that was given a partition."""
        return next((member for member in self.members if (topic, partition) in member.partitions), None)


class Cluster:
    """Asks Kafka. Raises Unavailable when it does not answer."""

    def __init__(self, settings: Settings) -> None:
        self._group = settings.group
        self._admin = AdminClient(admin(settings))

    async def standing(self) -> Standing:
        """Brokers and members, in a few milliseconds."""
        described = self._admin.describe_cluster(request_timeout=TIMEOUT)
        groups = self._admin.describe_consumer_groups([self._group], request_timeout=TIMEOUT)
        cluster, group = await asyncio.gather(
            answered(described), answered(groups[self._group], fine=("GROUP_ID_NOT_FOUND",))
        )
        controller = cluster.controller.id if cluster.controller is not None else -1
        brokers = [Broker(node.id, f"{node.host}:{node.port}", node.id == controller) for node in cluster.nodes]
        members = _members(group.members) if group is not None else []
        return Standing(cluster.cluster_id, sorted(brokers, key=lambda one: one.id), self._group, members)


def _members(found: Iterable[Any]) -> list[Member]:
    members = [
        Member(
            one.member_id,
            str(one.host).lstrip("/"),
            frozenset((each.topic, each.partition) for each in one.assignment.topic_partitions),
        )
        for one in found
    ]
    return sorted(members, key=lambda one: one.id)
