"""An application with a projection that computes for real: the difference of two states, as JSON Patch, at each event.

It is installed for the processes of one benchmark alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from jsonpatch import make_patch

from bridge.application import Application
from bridge.events import RecordedEvent
from bridge.projection import Projection, Rows

FIELDS = 40
"""Of a state; one of them changes with each event."""


class Differences(msgspec.Struct):
    """A stream's state as a document, and how many operations all its differences had."""

    document: dict[str, Any]
    operations: int = 0


def project(event: RecordedEvent, rows: Rows[Differences]) -> None:
    """Changes one field of the document, and compares the whole of it with what it was."""
    row = rows.get(event.stream) or Differences({f"field {number}": {"value": 0} for number in range(FIELDS)})
    changed = row.document | {f"field {event.version % FIELDS}": {"value": event.version, "by": event.envelope.actor}}
    patch = make_patch(row.document, changed)
    rows.put(event.stream, Differences(changed, row.operations + len(patch.patch)))


application = Application(
    "heavy",
    Path(__file__).with_name("no schemas"),
    projections=(Projection("differences", 1, project, row=Differences),),
)
