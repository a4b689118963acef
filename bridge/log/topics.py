"""The topics: one a category and one for dead letters, created at start, their settings held against this page."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from confluent_kafka import KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from bridge.application import DEAD_LETTERS, PUBLISHED, REPARTITION
from bridge.decisions import CATEGORY as SYSTEM
from bridge.errors import LighthouseError, Unavailable
from bridge.log.kafka import admin
from bridge.log.record import topic_of
from bridge.settings import Settings

T = TypeVar("T")
TIMEOUT = 15.0
LEADER = 5.0
"""Seconds that a partition's leader has to tell where it ends."""

KNOWN = 0.1
"""Seconds between two looks whether a new topic is known."""

CATEGORY_CONFIG: Mapping[str, str] = {
    "message.timestamp.type": "LogAppendTime",
    "retention.ms": "-1",
    "retention.bytes": "-1",
    "cleanup.policy": "delete",
    "max.message.bytes": str(8 * 1024 * 1024),
    "unclean.leader.election.enable": "false",
}


@dataclass(frozen=True)
class TopicSpec:
    """A topic as it should be."""

    name: str
    partitions: int
    replication: int
    config: Mapping[str, str]


@dataclass(frozen=True)
class TopicFacts:
    """A topic as it is: Kafka's own id of it, its partition count, replicas of its first partition."""

    name: str
    topic_id: str
    partitions: int
    replication: int
    config: Mapping[str, str]


@dataclass(frozen=True)
class Difference:
    """One setting of a topic that is not as it should be."""

    topic: str
    setting: str
    wanted: str
    found: str

    def __str__(self) -> str:
        return f"{self.topic}: {self.setting} is {self.found}, should be {self.wanted}"


class Topics:
    """Kafka's admin interface, as far as topics go. Raises Unavailable when the cluster does not answer."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._admin = AdminClient(admin(settings))

    def name(self, category: str) -> str:
        """The topic of a category."""
        return topic_of(self._settings.topic_prefix, category)

    def copy(self, category: str) -> str:
        """The topic that holds a category while it is given more partitions. While it exists, nobody else starts."""
        return f"{self.name(category)}.{REPARTITION}"

    @property
    def dead_letters(self) -> str:
        """The topic of records that R1 voided."""
        return topic_of(self._settings.topic_prefix, DEAD_LETTERS)

    async def cluster_id(self) -> str:
        """Kafka's own id of the cluster."""
        return str((await answered(self._admin.describe_cluster(request_timeout=TIMEOUT))).cluster_id)

    async def brokers(self) -> list[int]:
        """The ids of the living brokers."""
        return [node.id for node in (await answered(self._admin.describe_cluster(request_timeout=TIMEOUT))).nodes]

    async def broker_config(self, broker: int) -> dict[str, str]:
        """A broker's settings."""
        name = str(broker)
        return (await self._configs(ResourceType.BROKER, [name]))[name]

    async def specs(self, categories: Iterable[str]) -> list[TopicSpec]:
        """The topics that these categories need."""
        replicas = self._settings.replication or min(3, len(await self.brokers()))
        config = {**CATEGORY_CONFIG, "min.insync.replicas": "2" if replicas > 2 else "1"}
        names = [self.name(category) for category in sorted(categories)]
        partitions = {self.name(SYSTEM): 1}
        specs = [TopicSpec(name, partitions.get(name, self._settings.partitions), replicas, config) for name in names]
        written = {**config, "message.timestamp.type": "CreateTime"}
        if self._settings.publish:
            known = await self.facts(names)
            counts = {one.name: known[one.name].partitions if one.name in known else one.partitions for one in specs}
            specs += [TopicSpec(f"{name}.{PUBLISHED}", count, replicas, written) for name, count in counts.items()]
        return [*specs, TopicSpec(self.dead_letters, 1, replicas, written)]

    async def copy_spec(self, name: str, partitions: int) -> TopicSpec:
        """A topic of no category, for what is copied out of them."""
        replicas = self._settings.replication or min(3, len(await self.brokers()))
        return TopicSpec(name, partitions, replicas, {"max.message.bytes": CATEGORY_CONFIG["max.message.bytes"]})

    async def ensure(self, specs: Sequence[TopicSpec]) -> list[str]:
        """Creates the topics that are missing; answers their names."""
        present = await self.facts([spec.name for spec in specs])
        missing = [spec for spec in specs if spec.name not in present]
        if not missing:
            return []
        created = self._admin.create_topics([_new(spec) for spec in missing], request_timeout=TIMEOUT)
        for future in created.values():
            await answered(future, fine=("TOPIC_ALREADY_EXISTS",))
        await self._known({spec.name for spec in missing})
        return [spec.name for spec in missing]

    async def _known(self, names: set[str]) -> None:
        """Waits until brokers that are asked know of new topics: the one that made them does so first."""
        try:
            async with asyncio.timeout(TIMEOUT):
                while names - (await self.facts(sorted(names))).keys():  # noqa: ASYNC110 - Kafka tells nobody
                    await asyncio.sleep(KNOWN)
        except TimeoutError:
            raise Unavailable(f"Kafka does not know its new topics within {TIMEOUT:g} s") from None

    async def overrides(self, name: str) -> dict[str, str]:
        """The settings of a topic that are its own, and not the brokers'."""
        resource = ConfigResource(ResourceType.TOPIC, name)
        (asked,) = self._admin.describe_configs([resource], request_timeout=TIMEOUT).values()
        mine = ConfigSource.DYNAMIC_TOPIC_CONFIG.value
        return {key: entry.value for key, entry in (await answered(asked)).items() if entry.source == mine}

    async def alter(self, name: str, changes: Mapping[str, str]) -> None:
        """Changes settings of a topic, and leaves its others as they are."""
        operation = AlterConfigOpType.SET
        entries = [ConfigEntry(key, value, incremental_operation=operation) for key, value in changes.items()]
        resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries)
        (asked,) = self._admin.incremental_alter_configs([resource], request_timeout=TIMEOUT).values()
        await answered(asked)

    async def delete(self, name: str) -> None:
        """Deletes a topic with all that it holds; one that does not exist is no error."""
        (asked,) = self._admin.delete_topics([name], request_timeout=TIMEOUT).values()
        await answered(asked, fine=("UNKNOWN_TOPIC_OR_PART",))
        try:
            async with asyncio.timeout(TIMEOUT):
                while await self.facts([name]):  # noqa: ASYNC110 - Kafka tells nobody
                    await asyncio.sleep(KNOWN)
        except TimeoutError:
            raise Unavailable(f"Kafka still has the topic {name} after {TIMEOUT:g} s") from None

    async def facts(self, names: Sequence[str]) -> dict[str, TopicFacts]:
        """The topics as they are; one that does not exist is left out."""
        described = self._admin.describe_topics(TopicCollection(list(names)), request_timeout=TIMEOUT)
        found = {}
        for name, future in described.items():
            if (topic := await answered(future, fine=("UNKNOWN_TOPIC_OR_PART",))) is not None:
                found[name] = topic
        configs = await self._configs(ResourceType.TOPIC, list(found))
        return {name: _facts(topic, configs[name]) for name, topic in found.items() if name in configs}

    async def _configs(self, kind: ResourceType, names: list[str]) -> dict[str, dict[str, str]]:
        if not names:
            return {}
        asked = self._admin.describe_configs([ConfigResource(kind, name) for name in names], request_timeout=TIMEOUT)
        fine = ("UNKNOWN_TOPIC_OR_PART",)
        answers = {resource.name: await answered(future, fine) for resource, future in asked.items()}
        return {name: {key: entry.value for key, entry in found.items()} for name, found in answers.items() if found}

    async def ends(self, topic: str, partition: int) -> tuple[int, int]:
        """The offsets of a partition's first record, and of the next to come. Raises Unavailable.

        Each is asked for by itself: several in one request would wait for the slowest leader.
        """
        first, next_ = OffsetSpec.earliest(), OffsetSpec.latest()  # type: ignore[no-untyped-call]
        low, high = await asyncio.gather(self._offset(topic, partition, first), self._offset(topic, partition, next_))
        return low, high

    async def _offset(self, topic: str, partition: int, which: OffsetSpec) -> int:
        asked = self._admin.list_offsets({TopicPartition(topic, partition): which}, request_timeout=LEADER)
        (future,) = asked.values()
        offset = int((await answered(future)).offset)
        if offset < 0:  # the client says no more of a leader that has not answered it
            raise Unavailable(f"the leader of {topic}-{partition} does not tell where it ends")
        return offset

    async def differences(self, specs: Sequence[TopicSpec]) -> list[Difference]:
        """What is not as it should be. Partition counts are not judged: they are fixed when a topic is made."""
        facts = await self.facts([spec.name for spec in specs])
        return [difference for spec in specs for difference in _compare(spec, facts.get(spec.name))]


def _new(spec: TopicSpec) -> NewTopic:
    return NewTopic(spec.name, spec.partitions, spec.replication, config=dict(spec.config))


def _facts(topic: Any, config: dict[str, str]) -> TopicFacts:
    replicas = len(topic.partitions[0].replicas)
    return TopicFacts(topic.name, str(topic.topic_id), len(topic.partitions), replicas, config)


def _compare(spec: TopicSpec, facts: TopicFacts | None) -> list[Difference]:
    if facts is None:
        return [Difference(spec.name, "topic", "there", "missing")]
    wrong = [
        Difference(spec.name, key, wanted, facts.config.get(key, "unset"))
        for key, wanted in spec.config.items()
        if facts.config.get(key) != wanted
    ]
    if facts.replication < spec.replication:
        wrong.append(Difference(spec.name, "replicas", str(spec.replication), str(facts.replication)))
    return wrong


async def answered(future: Future[T], fine: Sequence[str] = ()) -> T:
    """The result of an admin call; an error named in `fine` answers None. Raises Unavailable, LighthouseError."""
    try:
        return await asyncio.wait_for(asyncio.wrap_future(future), TIMEOUT + 5)
    except KafkaException as error:
        reason = error.args[0]
        if reason.name() in fine:
            return None  # type: ignore[return-value]
        if reason.retriable() or reason.code() < 0:
            raise Unavailable(f"Kafka does not answer: {reason.str()}") from error
        raise LighthouseError(f"Kafka refused: {reason.str()}") from error
    except TimeoutError as error:
        raise Unavailable(f"Kafka did not answer within {TIMEOUT} s") from error
