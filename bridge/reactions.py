"""What is decided of reactors, as a part of category `system`: one stream a reactor, `system/reactor~<name>`.

A reactor's progress is its group's committed offsets. What only people may say, and what tells a group that never
ran from one whose offsets are gone, lies here: in the log, where a lost store does not lose it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from immutables import Map

PREFIX = "reactor~"

NOWHERE = -1


@dataclass(frozen=True)
class ParkedAt:
    """The event at which a reactor stands still, by its place in the admitted order, and why.

    `unread` marks an event whose bytes nobody can decode yet: that is tried again without being asked for.
    """

    event: str
    stream: str
    stream_version: int
    offset: int
    index: int
    error: str
    traceback: str = ""
    unread: bool = False


@dataclass(frozen=True)
class Standing:
    """How a reactor stands in one partition.

    `begun`: it has an offset of its own. `lost` says why that is not there any more; `placed` is where a person said
    to go on. `parks` counts how often it was parked.
    """

    begun: bool = False
    lost: str = ""
    placed: int = NOWHERE
    parked: ParkedAt | None = None
    parks: int = 0


NEW = Standing()


@dataclass(frozen=True)
class Reactions:
    """What was decided of one reactor, by partition (`where`); `skips` are ids of events it goes on without."""

    parts: Map[str, Standing] = Map()  # noqa: RUF009 - immutable
    skips: frozenset[str] = frozenset()

    def of(self, category: str, partition: int) -> Standing:
        """How it stands in one partition."""
        return self.parts.get(where(category, partition), NEW)


def where(category: str, partition: int) -> str:
    """A partition's name."""
    return f"{category}-{partition}"


@dataclass(frozen=True)
class BeginReactor:
    """From now on the group's offset says how far the reactor is in a partition."""

    category: str
    partition: int
    offset: int


@dataclass(frozen=True)
class LoseReactor:
    """The group's offset in a partition is not there any more, or not to be used."""

    category: str
    partition: int
    error: str


@dataclass(frozen=True)
class PlaceReactor:
    """Where to go on in a partition whose offset was lost."""

    category: str
    partition: int
    offset: int


@dataclass(frozen=True)
class ParkReactor:
    """The reactor keeps failing at an event."""

    category: str
    partition: int
    parked: ParkedAt


@dataclass(frozen=True)
class RetryReactor:
    """Give the reactor again the events at which it stands still."""


@dataclass(frozen=True)
class SkipReactor:
    """Let the reactor go on without an event at which it stands still."""

    category: str
    partition: int
    event: str


@dataclass(frozen=True)
class ReactorBegun:
    """See the schema."""

    category: str
    partition: int
    offset: int


@dataclass(frozen=True)
class ReactorLost:
    """See the schema."""

    category: str
    partition: int
    error: str


@dataclass(frozen=True)
class ReactorPlaced:
    """See the schema."""

    category: str
    partition: int
    offset: int


@dataclass(frozen=True)
class ReactorParked:
    """See the schema."""

    category: str
    partition: int
    event: str
    stream: str
    stream_version: int
    offset: int
    index: int
    error: str
    traceback: str
    unread: bool


@dataclass(frozen=True)
class ReactorRetried:
    """See the schema."""


@dataclass(frozen=True)
class ReactorSkipped:
    """See the schema."""

    category: str
    partition: int
    event: str


Command = BeginReactor | LoseReactor | PlaceReactor | ParkReactor | RetryReactor | SkipReactor
Event = ReactorBegun | ReactorLost | ReactorPlaced | ReactorParked | ReactorRetried | ReactorSkipped

COMMANDS = (BeginReactor, LoseReactor, PlaceReactor, ParkReactor, RetryReactor, SkipReactor)
EVENTS = (ReactorBegun, ReactorLost, ReactorPlaced, ReactorParked, ReactorRetried, ReactorSkipped)


def decide(command: Command, state: Reactions) -> Sequence[Event]:
    """Refuses nothing: who decides knows the log as far as it goes, which the state may not have reached yet."""
    match command:
        case BeginReactor(category, partition, offset):
            return [ReactorBegun(category, partition, offset)]
        case LoseReactor(category, partition, error):
            return [] if state.of(category, partition).lost else [ReactorLost(category, partition, error)]
        case PlaceReactor(category, partition, offset):
            return [ReactorPlaced(category, partition, offset)]
        case ParkReactor(category, partition, parked):
            return [_parked(category, partition, parked)]
        case RetryReactor():
            return [ReactorRetried()]
        case SkipReactor(category, partition, event):
            return [ReactorSkipped(category, partition, event)]


def _parked(category: str, partition: int, parked: ParkedAt) -> ReactorParked:
    place = parked.event, parked.stream, parked.stream_version, parked.offset, parked.index
    return ReactorParked(category, partition, *place, parked.error, parked.traceback, parked.unread)


def evolve(state: Reactions, event: Event) -> Reactions:
    """What was decided, after one more decision."""
    if isinstance(event, ReactorRetried):
        parked = [(name, one) for name, one in state.parts.items() if one.parked is not None]
        return replace(state, parts=state.parts.update({name: replace(one, parked=None) for name, one in parked}))
    if isinstance(event, ReactorSkipped):
        state = replace(state, skips=state.skips | {event.event})
    standing = _evolve(state.of(event.category, event.partition), event)
    return replace(state, parts=state.parts.set(where(event.category, event.partition), standing))


def _evolve(
    standing: Standing, event: ReactorBegun | ReactorLost | ReactorPlaced | ReactorParked | ReactorSkipped
) -> Standing:
    match event:
        case ReactorBegun():
            return replace(standing, begun=True, lost="", placed=NOWHERE)
        case ReactorLost(error=error):
            return replace(standing, lost=error, placed=NOWHERE, parked=None)
        case ReactorPlaced(offset=offset):
            return replace(standing, lost="", placed=offset) if standing.lost else standing
        case ReactorParked(_, _, name, stream, version, offset, index, error, traceback, unread):
            parked = ParkedAt(name, stream, version, offset, index, error, traceback, unread)
            return replace(standing, parked=parked, parks=standing.parks + 1)
        case ReactorSkipped(event=name):
            stands = standing.parked is not None and standing.parked.event == name
            return replace(standing, parked=None) if stands else standing


def stream_name(reactor: str) -> str:
    """The id of the stream that holds what was decided of a reactor."""
    return f"{PREFIX}{reactor}"
