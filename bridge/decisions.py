"""What the platform itself decides, as the decider of category `system`: one stream a projection, reactor, timer.

Processors and readers fold these streams straight from the log (`bridge.system`), so the category has no answering
version, skip or pause of its own. What is decided of projections stands here, of reactors in `bridge.reactions`,
of timers in `bridge.timings`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bridge import reactions, timings
from bridge.decider import Decider
from bridge.errors import Refused
from bridge.reactions import Reactions
from bridge.timings import Timed, Timings

CATEGORY = "system"
SCHEMAS = Path(__file__).parent / "schemas"

Build = tuple[int, int]
"""A projection's version, and its generation: how often that version was begun again on request."""


@dataclass(frozen=True)
class Decided:
    """What was decided of one projection. `retries` counts them by version, `skips` names (version, event id)."""

    answering: Build | None = None
    begun: tuple[Build, ...] = ()
    dropped: tuple[Build, ...] = ()
    retries: tuple[int, ...] = ()
    skips: frozenset[tuple[int, str]] = frozenset()

    def newest(self, version: int) -> Build:
        """The build of a version that was begun last; the first one is begun without a decision."""
        return max((build for build in self.begun if build[0] == version), default=(version, 0))

    def builds(self, versions: Iterable[int]) -> list[Build]:
        """The builds to be fed by a process that has the code of these versions, oldest first."""
        known = set(versions)
        wanted = {self.newest(version) for version in known}
        if self.answering is not None and self.answering[0] in known:
            wanted.add(self.answering)
        return sorted(wanted - set(self.dropped))

    def answers(self, versions: Sequence[int]) -> Build:
        """The build that answers queries: as decided, else the lowest registered version's."""
        return self.answering or (min(versions), 0)


UNDECIDED = Decided()
"""Of a projection that nothing was decided of yet."""


@dataclass(frozen=True)
class Begin:
    """Build a version's rows once more."""

    version: int


@dataclass(frozen=True)
class Answer:
    """Let a build answer, whichever does now."""

    version: int
    generation: int = 0


@dataclass(frozen=True)
class Advance:
    """Let a build answer that has become live everywhere (B3), unless a newer one does already.

    Whoever says so may know less than this decides on: a process that stood still, or has older code.
    """

    version: int
    generation: int = 0


@dataclass(frozen=True)
class Drop:
    """Remove a build's rows (B4)."""

    version: int
    generation: int = 0


@dataclass(frozen=True)
class Retry:
    """Try the events again at which a version stands still."""

    version: int


@dataclass(frozen=True)
class Skip:
    """Let a version go on without an event."""

    version: int
    event: str
    stream: str
    stream_version: int
    error: str = ""


@dataclass(frozen=True)
class BuildBegun:
    """See the schema."""

    version: int
    generation: int


@dataclass(frozen=True)
class BuildAnswered:
    """See the schema."""

    version: int
    generation: int


@dataclass(frozen=True)
class BuildDropped:
    """See the schema."""

    version: int
    generation: int


@dataclass(frozen=True)
class RetryAsked:
    """See the schema."""

    version: int


@dataclass(frozen=True)
class EventSkipped:
    """See the schema."""

    version: int
    event: str
    stream: str
    stream_version: int
    error: str


Command = Begin | Answer | Advance | Drop | Retry | Skip
Event = BuildBegun | BuildAnswered | BuildDropped | RetryAsked | EventSkipped


def decide(command: Command, state: Decided) -> Sequence[Event]:
    """Refuses to let a dropped build answer (D1), and to drop the one that answers (D2). Said twice is said once."""
    match command:
        case Begin(version):
            return [BuildBegun(version, state.newest(version)[1] + 1)]
        case Answer(version, generation) if (version, generation) in state.dropped:
            raise Refused("D1", f"build {version}.{generation} was dropped; begin a new one")
        case Answer(version, generation):
            return [BuildAnswered(version, generation)] if state.answering != (version, generation) else []
        case Advance(version, generation) if (version, generation) in state.dropped:
            return []
        case Advance(version, generation):
            newer = state.answering is None or (version, generation) > state.answering
            return [BuildAnswered(version, generation)] if newer else []
        case Drop(version, generation) if state.answering in (None, (version, generation)):
            raise Refused("D2", f"build {version}.{generation} answers queries; let another one answer first")
        case Drop(version, generation):
            return [BuildDropped(version, generation)] if (version, generation) not in state.dropped else []
        case Retry(version):
            return [RetryAsked(version)]
        case Skip(version, event, stream, stream_version, error):
            known = (version, event) in state.skips
            return [] if known else [EventSkipped(version, event, stream, stream_version, error)]


def evolve(state: Decided, event: Event) -> Decided:
    """What was decided, after one more decision."""
    match event:
        case BuildBegun(version, generation):
            return replace(state, begun=(*state.begun, (version, generation)))
        case BuildAnswered(version, generation):
            return replace(state, answering=(version, generation))
        case BuildDropped(version, generation):
            return replace(state, dropped=(*state.dropped, (version, generation)))
        case RetryAsked(version):
            return replace(state, retries=(*state.retries, version))
        case EventSkipped(version, name):
            return replace(state, skips=state.skips | {(version, name)})


@dataclass(frozen=True)
class System:
    """The state of one stream of the category: only the part that the stream is of is not empty."""

    projection: Decided = Decided()
    reactor: Reactions = Reactions()  # noqa: RUF009 - immutable
    timer: Timings = Timings()  # noqa: RUF009


AnyCommand = Command | reactions.Command | timings.Command
AnyEvent = Event | reactions.Event | timings.Event


def _decide(command: AnyCommand, state: System) -> Sequence[AnyEvent]:
    if isinstance(command, timings.COMMANDS):
        return timings.decide(command, state.timer)
    if isinstance(command, reactions.COMMANDS):
        return reactions.decide(command, state.reactor)
    return decide(command, state.projection)


def _evolve(state: System, event: AnyEvent) -> System:
    if isinstance(event, timings.EVENTS):
        return replace(state, timer=timings.evolve(state.timer, event))
    if isinstance(event, reactions.EVENTS):
        return replace(state, reactor=reactions.evolve(state.reactor, event))
    return replace(state, projection=evolve(state.projection, event))


decider = Decider(
    category=CATEGORY,
    version=3,
    initial=System(),
    state=System,
    decide=_decide,
    evolve=_evolve,
    commands=(Begin, Answer, Advance, Drop, Retry, Skip, *reactions.COMMANDS, *timings.COMMANDS),
    events=(BuildBegun, BuildAnswered, BuildDropped, RetryAsked, EventSkipped, *reactions.EVENTS, *timings.EVENTS),
)


def stream_of(projection: str) -> str:
    """The stream that holds what was decided of a projection."""
    return f"{CATEGORY}/{projection}"


def stream_of_reactor(reactor: str) -> str:
    """The stream that holds what was decided of a reactor; no projection's name has a `~`."""
    return f"{CATEGORY}/{reactions.stream_name(reactor)}"


def stream_of_timer(timer: str) -> str:
    """The stream that holds what was decided of a timer."""
    return f"{CATEGORY}/{timings.PREFIX}{timer}"


@dataclass
class Decisions:
    """What was decided so far, by projection, reactor and timer; `number` rises with each decision.

    `complete` says that all is known which the log held when this process began to read it.
    """

    number: int = 0
    complete: bool = True
    decided: dict[str, Decided] = field(default_factory=dict)
    reactors: dict[str, Reactions] = field(default_factory=dict)
    timers: dict[str, Timed] = field(default_factory=dict)

    def of(self, projection: str) -> Decided:
        """What was decided of one projection."""
        return self.decided.get(projection, UNDECIDED)

    def of_reactor(self, reactor: str) -> Reactions:
        """What was decided of one reactor."""
        return self.reactors.get(reactor, Reactions())

    def of_timer(self, timer: str) -> Timed:
        """What was decided of one timer."""
        return self.timers.get(timer, Timed())

    def take(self, stream: str, event: AnyEvent, time: int = 0) -> None:
        """One more decision, of this time of the log."""
        name = stream.partition("/")[2]
        if isinstance(event, timings.EVENTS):
            self.timers.setdefault(name.removeprefix(timings.PREFIX), Timed()).take(event, time)
        elif isinstance(event, reactions.EVENTS):
            reactor = name.removeprefix(reactions.PREFIX)
            self.reactors[reactor] = reactions.evolve(self.of_reactor(reactor), event)
        else:
            self.decided[name] = evolve(self.of(name), event)
        self.number += 1
