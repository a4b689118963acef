"""What a user registers with the platform: schemas, deciders, projections, reactors, timers.

A package names its application in its entry points, and every process of the platform finds it:

    [project.entry-points."lighthouse.applications"]
    bank = "bank:application"
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from bridge import decisions
from bridge.builtin import BUILT_IN
from bridge.decider import Decider
from bridge.errors import NotFound, SchemaError
from bridge.projection import Projection
from bridge.reactor import OURS, Reactor
from bridge.timer import Timer, pending_of
from bridge.upcast import Change, Upcast, by_category
from bridge.views import Views, no_views

ENTRY_POINTS = "lighthouse.applications"
DEAD_LETTERS = "dead-letters"
RESERVED = frozenset((DEAD_LETTERS, decisions.CATEGORY))
"""Categories whose topics are the platform's own."""

PUBLISHED = "events"
"""The last word of a topic of published events: `<prefix>.<category>.events`."""

REPARTITION = "repartition"
"""The last word of the topic that holds a category while it is given more partitions."""


@dataclass(frozen=True)
class Bookmark:
    """A way to name versions of a category's streams: those of the events of a type, by the value of one field."""

    category: str
    name: str
    type: str
    field: str


@dataclass(frozen=True)
class Application:
    """`schemas` holds a folder a category, with one .avsc an event type; a decider is optional for a category.

    `listings` says by category how a state is shown in a terminal, as lines of text, and `views` how on a page.
    `commands` is a typer application whose commands the `lighthouse` command line takes over, loaded when called.
    `upcasts` lead events of old schema versions to the newest, without a gap. `projections` may hold several versions
    of one name: an old one is fed on until a new one answers in its place. `reactors` have effects outside the log,
    `timers` give commands when they are due.
    """

    name: str
    schemas: Path
    deciders: tuple[Decider[Any, Any, Any], ...] = ()
    bookmarks: tuple[Bookmark, ...] = ()
    listings: Mapping[str, Callable[[Any], Iterable[str]]] = field(default_factory=dict)
    views: Views = no_views
    commands: Callable[[], Any] | None = None
    upcasts: tuple[Upcast, ...] = ()
    projections: tuple[Projection[Any], ...] = ()
    reactors: tuple[Reactor, ...] = ()
    timers: tuple[Timer, ...] = ()

    def categories(self) -> tuple[str, ...]:
        """The categories, by name: the folders of `schemas` that hold an .avsc."""
        return tuple(sorted({file.parent.name for file in self.schemas.glob("*/*.avsc")}))


PLATFORM = Application("platform", decisions.SCHEMAS, deciders=(decisions.decider,), projections=BUILT_IN)
"""What the platform registers with itself."""


@dataclass(frozen=True)
class Catalog:
    """All registered applications, looked up by category."""

    schemas: dict[str, Path] = field(default_factory=dict)
    deciders: dict[str, Decider[Any, Any, Any]] = field(default_factory=dict)
    bookmarks: dict[tuple[str, str], Bookmark] = field(default_factory=dict)
    listings: dict[str, Callable[[Any], Iterable[str]]] = field(default_factory=dict)
    views: tuple[Views, ...] = ()
    commands: tuple[Callable[[], Any], ...] = ()
    upcasts: dict[str, dict[tuple[str, int], Change]] = field(default_factory=dict)
    projections: tuple[Projection[Any], ...] = ()
    reactors: tuple[Reactor, ...] = ()
    timers: tuple[Timer, ...] = ()

    @property
    def categories(self) -> tuple[str, ...]:
        """Every category's name, sorted."""
        return tuple(sorted(self.schemas))

    def bookmark(self, category: str, name: str) -> Bookmark:
        """The category's bookmark of this name; raises NotFound."""
        found = self.bookmarks.get((category, name))
        if found is None:
            raise NotFound(f"category {category} has no bookmark {name[:80]!r}")
        return found

    def reading(self, category: str) -> list[Projection[Any]]:
        """The projections that read a category, in all their versions."""
        return [projection for projection in self.projections if projection.reads(category)]

    def versions(self, name: str) -> dict[int, Projection[Any]]:
        """The versions of a projection; raises NotFound."""
        found = {one.version: one for one in self.projections if one.name == name}
        if not found:
            known = ", ".join(sorted({one.name for one in self.projections})) or "none"
            raise NotFound(f"there is no projection {name[:80]!r}; known are: {known}")
        return found


def catalog(applications: Iterable[Application]) -> Catalog:
    """Puts applications together.

    Raises SchemaError when two claim one category or one topic, one is the platform's own, a decider has no schemas,
    an upcast is of no event type or stands beside another of its step, a projection stands beside another of its
    version, a reactor or a timer beside another of its name, or a timer's category has no decider.
    """
    known = tuple(applications)
    schemas: dict[str, Path] = {}
    for application in known:
        for category in application.categories():
            if category in RESERVED and application is not PLATFORM:
                raise SchemaError(f"category {category} of application {application.name} is the platform's own name")
            if category in schemas:
                raise SchemaError(f"category {category} of application {application.name} is registered twice")
            schemas[category] = application.schemas / category
    _check_topics(schemas)
    deciders = {decider.category: decider for application in known for decider in application.deciders}
    for category in deciders.keys() - schemas.keys():
        raise SchemaError(f"the decider of category {category} has no schemas: no folder {category}/ with an .avsc")
    marks = {(mark.category, mark.name): mark for application in known for mark in application.bookmarks}
    listings = {category: lines for application in known for category, lines in application.listings.items()}
    commands = tuple(one.commands for one in known if one.commands)
    views = tuple(application.views for application in known)
    timers = _timers(known, deciders)
    projections = (*_projections(known, schemas), *map(pending_of, timers))
    folds = _upcasts(known, schemas), projections, _reactors(known, schemas), timers
    return Catalog(schemas, deciders, marks, listings, views, commands, *folds)


def _check_topics(categories: Iterable[str]) -> None:
    """No two topics may have one name; to Kafka, `.` and `_` in it are the same."""
    owners = {DEAD_LETTERS.replace(".", "_"): "the dead letters"}
    for category in categories:
        mine = {
            category: f"category {category}",
            f"{category}.{PUBLISHED}": f"{category}'s events",
            f"{category}.{REPARTITION}": f"{category}'s copy",
        }
        for name, owner in mine.items():
            if (other := owners.setdefault(name.replace(".", "_"), owner)) != owner:
                raise SchemaError(f"category {category}: {owner} and {other} would have one topic; choose another name")


def _upcasts(known: Iterable[Application], schemas: Mapping[str, Path]) -> dict[str, dict[tuple[str, int], Change]]:
    upcasts = [upcast for application in known for upcast in application.upcasts]
    for one in upcasts:
        if one.category not in schemas:
            raise SchemaError(f"an upcast of {one.type} is of category {one.category}, which no application has")
        if not (schemas[one.category] / f"{one.type}.avsc").is_file():
            raise SchemaError(f"category {one.category}: an upcast is of {one.type}, but there is no {one.type}.avsc")
    return by_category(upcasts)


def _check_categories(reader: str, categories: Iterable[str] | None, schemas: Mapping[str, Path]) -> None:
    for category in categories or ():
        if category not in schemas:
            raise SchemaError(f"{reader} reads category {category}, which no application has")


def _projections(known: Iterable[Application], schemas: Mapping[str, Path]) -> tuple[Projection[Any], ...]:
    found: dict[tuple[str, int], Projection[Any]] = {}
    for one in (projection for application in known for projection in application.projections):
        if (one.name, one.version) in found:
            raise SchemaError(f"projection {one.name} version {one.version} is registered twice")
        _check_categories(f"projection {one.name}", one.categories, schemas)
        found[one.name, one.version] = one
    return tuple(found.values())


def _reactors(known: Iterable[Application], schemas: Mapping[str, Path]) -> tuple[Reactor, ...]:
    found: dict[str, Reactor] = {}
    for one in (reactor for application in known for reactor in application.reactors):
        if one.name in found or one.name in OURS:
            raise SchemaError(f"reactor {one.name} is registered twice, or is the platform's own name")
        _check_categories(f"reactor {one.name}", one.categories, schemas)
        found[one.name] = one
    return tuple(found.values())


def _timers(known: Iterable[Application], deciders: Mapping[str, Decider[Any, Any, Any]]) -> tuple[Timer, ...]:
    found: dict[str, Timer] = {}
    for one in (timer for application in known for timer in application.timers):
        if one.name in found:
            raise SchemaError(f"timer {one.name} is registered twice")
        if one.category not in deciders:
            raise SchemaError(f"timer {one.name} gives commands to category {one.category}, which has no decider")
        found[one.name] = one
    return tuple(found.values())


def registered() -> Catalog:
    """The catalog of the platform and every installed application (entry points `lighthouse.applications`)."""
    return catalog((PLATFORM, *(point.load() for point in entry_points(group=ENTRY_POINTS))))
