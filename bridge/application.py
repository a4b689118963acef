"""What a user registers with the platform: schemas, deciders, and later projections and reactors.

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

from bridge.decider import Decider
from bridge.errors import NotFound, SchemaError
from bridge.views import Views, no_views

ENTRY_POINTS = "lighthouse.applications"
DEAD_LETTERS = "dead-letters"
RESERVED = frozenset((DEAD_LETTERS, "system"))
"""Categories whose topics are the platform's own."""


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
    """

    name: str
    schemas: Path
    deciders: tuple[Decider[Any, Any, Any], ...] = ()
    bookmarks: tuple[Bookmark, ...] = ()
    listings: Mapping[str, Callable[[Any], Iterable[str]]] = field(default_factory=dict)
    views: Views = no_views
    commands: Callable[[], Any] | None = None

    def categories(self) -> tuple[str, ...]:
        """The categories, by name: the folders of `schemas` that hold an .avsc."""
        return tuple(sorted({file.parent.name for file in self.schemas.glob("*/*.avsc")}))


@dataclass(frozen=True)
class Catalog:
    """All registered applications, looked up by category."""

    schemas: dict[str, Path] = field(default_factory=dict)
    deciders: dict[str, Decider[Any, Any, Any]] = field(default_factory=dict)
    bookmarks: dict[tuple[str, str], Bookmark] = field(default_factory=dict)
    listings: dict[str, Callable[[Any], Iterable[str]]] = field(default_factory=dict)
    views: tuple[Views, ...] = ()
    commands: tuple[Callable[[], Any], ...] = ()

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


def catalog(applications: Iterable[Application]) -> Catalog:
    """Puts applications together.

    Raises SchemaError when two claim one category, one is the platform's own, or a decider has no schemas.
    """
    known = tuple(applications)
    schemas: dict[str, Path] = {}
    for application in known:
        for category in application.categories():
            if category in RESERVED:
                raise SchemaError(f"category {category} of application {application.name} is the platform's own name")
            if category in schemas:
                raise SchemaError(f"category {category} of application {application.name} is registered twice")
            schemas[category] = application.schemas / category
    deciders = {decider.category: decider for application in known for decider in application.deciders}
    for category in deciders.keys() - schemas.keys():
        raise SchemaError(f"the decider of category {category} has no schemas: no folder {category}/ with an .avsc")
    marks = {(mark.category, mark.name): mark for application in known for mark in application.bookmarks}
    listings = {category: lines for application in known for category, lines in application.listings.items()}
    views = tuple(application.views for application in known)
    return Catalog(schemas, deciders, marks, listings, views, tuple(one.commands for one in known if one.commands))


def registered() -> Catalog:
    """The catalog of every installed application (entry points `lighthouse.applications`)."""
    return catalog(point.load() for point in entry_points(group=ENTRY_POINTS))
