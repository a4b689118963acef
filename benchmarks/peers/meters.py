"""The application whose projection is the fold that the peers are given: `meter`, readings of meters."""

from __future__ import annotations

from pathlib import Path

import msgspec

from bridge.application import Application
from bridge.events import RecordedEvent
from bridge.projection import Projection, Rows

CATEGORY = "meter"
TYPE = "MeterRead"


class Totals(msgspec.Struct, frozen=True, array_like=True):
    """Of one meter: how often it was read, the sum of the amounts, the last amount."""

    count: int = 0
    sum: int = 0
    last: int = 0


NOTHING = Totals()


def add(event: RecordedEvent, rows: Rows[Totals]) -> None:
    """The fold of `benchmarks.peers.told`."""
    before, amount = rows.get(event.stream) or NOTHING, event.data["amount"]
    rows.put(event.stream, Totals(before.count + 1, before.sum + amount, amount))


totals = Projection("totals", 1, add, row=Totals, categories=(CATEGORY,))

application = Application(name="meters", schemas=Path(__file__).parent / "schemas", projections=(totals,))
