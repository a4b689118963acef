"""How the reactors stand: what their groups have committed, beside the history and what was decided."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from bridge.errors import NotFound
from bridge.log.groups import Groups, Place, group_of
from bridge.query.builds import age
from bridge.query.reader import Projections
from bridge.reactions import NEW, ParkedAt, Reactions, Standing
from bridge.reactor import Reactor
from bridge.spaces import Space, Spaces


class Condition(str, Enum):
    """What a reactor is doing in one partition; in all of them together, the first of these that holds in any."""

    LOST = "lost"
    PARKED = "parked"
    NEW = "new"
    RUNNING = "running"


@dataclass(frozen=True, slots=True)
class InPartition:
    """A reactor in one partition: the place it goes on at, None before it began; the history's position.

    `seconds` is the age of the event it goes on at, 0 where there is none yet. `parked` says why it stands still,
    `lost` why it does not know where to go on.
    """

    category: str
    partition: int
    condition: Condition
    place: Place | None
    position: int
    seconds: float
    parked: ParkedAt | None
    lost: str

    @property
    def lag(self) -> int:
        """Records of the history that it has not passed."""
        return max(0, self.position - self.place[0]) if self.place is not None else 0


@dataclass(frozen=True, slots=True)
class ReactorStatus:
    """A reactor in all its partitions."""

    reactor: Reactor
    partitions: tuple[InPartition, ...]

    @property
    def condition(self) -> Condition:
        """See Condition."""
        found = {one.condition for one in self.partitions}
        return next((each for each in Condition if each in found), Condition.RUNNING)

    @property
    def lag(self) -> int:
        """Records of the history that it has not passed, all partitions together."""
        return sum(one.lag for one in self.partitions)

    @property
    def seconds(self) -> float:
        """The age of the oldest event that it has not passed, in seconds."""
        return max((one.seconds for one in self.partitions), default=0.0)


class Reactors:
    """The registered reactors, as any process can see them. Raises Unavailable."""

    def __init__(
        self, reactors: Iterable[Reactor], spaces: Spaces, projections: Projections, groups: Groups, group: str
    ) -> None:
        self._reactors = {one.name: one for one in reactors}
        self._spaces = spaces
        self._projections = projections
        self._groups = groups
        self._group = group

    @property
    def names(self) -> list[str]:
        """The reactors that are registered."""
        return sorted(self._reactors)

    def known(self, name: str) -> Reactor:
        """A reactor by its name; raises NotFound."""
        if name not in self._reactors:
            raise NotFound(f"there is no reactor {name[:80]!r}; known are: {', '.join(self.names) or 'none'}")
        return self._reactors[name]

    def topic(self, name: str, category: str, partition: int) -> str:
        """The topic of a partition that a reactor reads; raises NotFound."""
        reads = self.known(name).reads(category)
        if not reads or not 0 <= partition < self._spaces.categories.get(category, 0):
            raise NotFound(f"reactor {name} reads no partition {category[:80]}-{partition}")
        return self._spaces.place(category, partition).topic

    async def lost(self, name: str, where: tuple[str, int]) -> bool:
        """Whether a reactor waits to be told where to go on in a partition, by category and number."""
        return bool((await self._projections.decisions()).of_reactor(name).of(*where).lost)

    async def status(self, name: str) -> ReactorStatus:
        """How a reactor stands. Raises NotFound, Unavailable."""
        reactor = self.known(name)
        placed = await self._groups.committed(group_of(self._group, name))
        decided = (await self._projections.decisions()).of_reactor(name)
        spaces = [space for space in self._spaces.all() if reactor.reads(space.place.category)]
        return ReactorStatus(reactor, tuple([await _one(space, placed, decided) for space in spaces]))


async def _one(space: Space, placed: Mapping[tuple[str, int], Place], decided: Reactions) -> InPartition:
    where = space.place
    standing = decided.of(where.category, where.partition)
    place = placed.get((where.topic, where.partition))
    async with space.store.view() as view:
        position = max(view.mark.position, 0)
        seconds = await age(view, *place) if place is not None else 0.0
    parked = parked_at(standing, place)
    condition = _condition(standing, place, parked)
    return InPartition(where.category, where.partition, condition, place, position, seconds, parked, standing.lost)


def parked_at(standing: Standing, place: Place | None) -> ParkedAt | None:
    """Where it stands still, by what was decided: an event before the place was done with in another way."""
    parked = standing.parked
    return parked if parked is not None and place is not None and (parked.offset, parked.index) >= place else None


def _condition(standing: Standing, place: Place | None, parked: ParkedAt | None) -> Condition:
    if standing.lost:
        return Condition.LOST
    if parked is not None:
        return Condition.PARKED
    return Condition.NEW if place is None and standing is NEW else Condition.RUNNING
