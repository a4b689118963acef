"""What keeps a category from being repartitioned: each is a sentence that says what to do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bridge.decisions import CATEGORY as SYSTEM
from bridge.decisions import Decisions
from bridge.errors import LighthouseError, NotFound
from bridge.log.groups import Groups, group_of
from bridge.log.groups import Place as Spot
from bridge.log.readers import Reader
from bridge.log.record import AppendRecord, Malformed, Parsed, Place, parse
from bridge.log.topics import TopicFacts
from bridge.reactor import PUBLISHING, Reactor
from bridge.repartition.reading import ends, reading
from bridge.store import keys
from bridge.store.contract import Stores
from bridge.store.rows import Identity
from bridge.system.follower import Follower
from bridge.wiring import Base

MOMENT = 0.1
"""Seconds more than a session, for clocks that are not exact."""


@dataclass(frozen=True)
class Found:
    """The topic, where its partitions end, how far each history is; the groups that have a place in it, and what is
    in the way.
    """

    topic: TopicFacts
    cluster: str
    ends: Sequence[int]
    groups: Sequence[str]
    problems: Sequence[str]


@dataclass(frozen=True)
class Examination:
    """One look at a category and all who read it."""

    base: Base
    stores: Stores
    category: str

    async def look(self, after: int) -> Found:
        """What there is, and what is in the way. Raises LighthouseError for a bad request, NotFound, Unavailable."""
        topics = self.base.topics
        name = topics.name(self.category)
        fact = (await topics.facts([name])).get(name)
        self._check_request(fact, after)
        assert fact is not None
        found = await asyncio.to_thread(ends, self.base.settings, name, fact.partitions)
        cluster = await topics.cluster_id()
        identity = Identity(cluster, fact.topic_id, fact.partitions)
        problems = [*await self.at_work(), *await self._histories(found, identity)]
        groups, behind = await self._readers(fact, found)
        return Found(fact, cluster, found, groups, [*problems, *behind])

    def _check_request(self, fact: TopicFacts | None, after: int) -> None:
        known = [name for name in self.base.catalog.categories if name != SYSTEM]
        if self.category == SYSTEM:
            raise LighthouseError("category system has one partition: the order of what is decided is all it is for")
        if self.category not in known:
            raise NotFound(f"there is no category {self.category[:80]!r}; known are: {', '.join(known) or 'none'}")
        if fact is None:
            raise LighthouseError(f"category {self.category} has no topic yet: run `lighthouse topics create`")
        if after <= fact.partitions:
            raise LighthouseError(f"{fact.name} has {fact.partitions} partitions already: say more than that")

    @property
    def reactors(self) -> list[Reactor]:
        """The reactors that read the category."""
        publisher = [PUBLISHING] if self.base.settings.publish else []
        return [one for one in (*self.base.catalog.reactors, *publisher) if one.reads(self.category)]

    @property
    def _dead_letters(self) -> str:
        return f"{self.base.settings.group}.dead-letters"

    async def at_work(self) -> list[str]:
        """The groups that have members."""
        group = self.base.settings.group
        names = [group, *(group_of(group, one.name) for one in self.reactors), self._dead_letters]
        groups = Groups(self.base.settings)
        found = [(name, await groups.members(name)) for name in names]
        return [f"group {name} has {count} members: end them" for name, count in found if count]

    # The histories

    async def _histories(self, found: Sequence[int], identity: Identity) -> list[str]:
        problems = []
        for number, end in enumerate(found):
            place = Place(self.base.topics.name(self.category), self.category, number, len(found))
            if (why := await self._history(place, end, identity)) is not None:
                problems.append(f"{place.space}: {why}")
        return problems

    async def _history(self, place: Place, end: int, identity: Identity) -> str | None:
        beat = await self._beat(place)
        if beat <= self.base.settings.session:
            return f"its owner beat {beat:.1f} s ago: end the processors"
        async with self.stores.open(place.space).view() as view:
            stopped, known = await view.get_many([keys.STOPPED, keys.IDENTITY])
            position = view.mark.position
        if stopped is not None:
            return stopped.decode()
        if known is not None and Identity.unpack(known) != identity:
            return "its history is of another log"
        if await self.waiting(place, max(position, 0), end, AppendRecord):
            return f"its history is at {max(position, 0)}, the log ends at {end}: let the processors apply the rest"
        return None

    async def _beat(self, place: Place) -> float:
        """Seconds since the owner beat; one that may have ended a moment ago is given a session's time to show."""
        session, store = self.base.settings.session, self.stores.open(place.space)
        async with store.view() as view:
            first = view.beat_age
        if first > session:
            return first
        await asyncio.sleep(session - first + MOMENT)
        async with store.view() as view:
            return view.beat_age

    async def waiting(self, place: Place, start: int, end: int, kind: type[Parsed]) -> bool:
        """Whether there are records of a kind between two offsets."""
        return start < end and await asyncio.to_thread(self._any, place, start, end, kind)

    def _any(self, place: Place, start: int, end: int, kind: type[Parsed]) -> bool:
        number = place.partition
        with reading(self.base.settings, place.topic, {number: end}, {number: start}) as records:
            return any(isinstance(parse(record, place), kind) for _, record in records)

    # Who reads it

    async def _readers(self, fact: TopicFacts, found: Sequence[int]) -> tuple[list[str], list[str]]:
        """The groups that have a place in the topic, and what they have not done yet."""
        groups, behind = [], []
        kafka = Groups(self.base.settings)
        async with self._decisions() as decisions:
            for reactor in self.reactors:
                name = group_of(self.base.settings.group, reactor.name)
                places = _in(fact.name, await kafka.committed(name))
                groups += [name] if places else []
                behind += await self._reactor(reactor, fact, places, decisions)
        places = _in(fact.name, await kafka.committed(self._dead_letters))
        groups += [self._dead_letters] if places else []
        for number, (offset, _) in places.items():
            place = Place(fact.name, self.category, number, fact.partitions)
            if await self.waiting(place, offset, found[number], Malformed):
                behind.append(f"dead letters of {place.space} are not copied yet: let the reactors run until they are")
        return groups, behind

    async def _reactor(
        self, reactor: Reactor, fact: TopicFacts, places: Mapping[int, Spot], decisions: Decisions
    ) -> list[str]:
        found = []
        for number in range(fact.partitions):
            standing = decisions.of_reactor(reactor.name).of(self.category, number)
            if standing.lost:
                why = standing.lost
            elif standing.parked is not None:
                why = f"stands still at {standing.parked.event}: retry or skip it"
            elif number not in places and standing.begun:
                why = "its group has no offset any more: start the reactors, and place it"
            elif number not in places and not (places and reactor.start == "beginning"):
                continue  # it is new, and stays so
            elif not await self._rests(Place(fact.name, self.category, number, fact.partitions), places.get(number)):
                why = "it has events before it: let the reactors run until it has none"
            else:
                continue
            found.append(f"reactor {reactor.name} in {self.category}-{number}: {why}")
        return found

    async def _rests(self, place: Place, spot: Spot | None) -> bool:
        async with self.stores.open(place.space).view() as view:
            return not await view.scan(keys.ORDER, start=keys.order(*(spot or (0, 0))), limit=1)

    @asynccontextmanager
    async def _decisions(self) -> AsyncIterator[Decisions]:
        """What was decided, straight from the log: nobody need run for that."""
        settings = self.base.settings
        reader = Reader(settings, settings.deadline / 2)
        follower = Follower(reader, self.base.schemas, Place(self.base.topics.name(SYSTEM), SYSTEM, 0, 1))
        try:
            yield await follower.caught_up(settings.deadline)
        finally:
            await follower.close()
            await reader.close()


def _in(topic: str, places: Mapping[tuple[str, int], Spot]) -> dict[int, Spot]:
    """A group's places in one topic."""
    return {number: spot for (name, number), spot in places.items() if name == topic}
