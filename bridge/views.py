"""How an application shows its states to people, in shapes that the platform's pages know how to draw.

Without a view a state is drawn as the tree of its fields. An application with something better registers one:

    application = Application(..., views=lambda settings: {"account": AccountView()})

A view is asked for a *change*, not for a state: what the stream was before and what it is after, so that it can mark
what is new. Both may lie any number of events apart, since people compare versions.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from enum import Enum
from typing import Any, Protocol

import msgspec

from bridge.events import RecordedEvent
from bridge.settings import Settings


class Mark(str, Enum):
    """What became of something between two versions."""

    SAME = "same"
    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"


class File(msgspec.Struct, frozen=True):
    """A leaf of a file tree. `path` has `/` between its parts; `was` is the path that it was moved from."""

    path: str
    note: str = ""
    mark: Mark = Mark.SAME
    was: str = ""


class Files(msgspec.Struct, frozen=True):
    """A file tree; removed files stand in it with their mark. Clicking one asks the view for its content."""

    files: Sequence[File]


class Row(msgspec.Struct, frozen=True):
    """A row of a table."""

    cells: Sequence[str]
    mark: Mark = Mark.SAME


class Table(msgspec.Struct, frozen=True):
    """Rows of text under headings."""

    headings: Sequence[str]
    rows: Sequence[Row]


Shape = Files | Table


class Past(Protocol):
    """The stream up to the version that is shown."""

    def holding(self, text: str) -> AsyncIterator[RecordedEvent]:
        """The events whose bytes hold a text, e.g. a hash, newest first; only these are decoded."""


class View(Protocol):
    """How the states of one category are shown. What it raises is shown in its place, a LighthouseError as it is."""

    def shape(self, before: Any, after: Any) -> Shape:
        """The state `after`, with the marks of what differs from `before`. Pure, and quick: people drag a slider."""

    async def content(self, state: Any, path: str, past: Past) -> bytes | None:
        """A file's content in a state; None where it has none there. Raises NotFound where it is lost."""


Views = Callable[[Settings], Mapping[str, View]]
"""Makes an application's views, by category, when a process that shows pages starts."""


def no_views(settings: Settings) -> Mapping[str, View]:
    """What an application registers that is content with trees of fields."""
    return {}
