"""An application for the pages: tickets with a view that draws a table and fails for one title, a projection that
stands still at 13 minutes, and a reactor that does at another title. `tests/pages/conftest.py` installs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bridge.events import RecordedEvent
from bridge.projection import Projection, Rows
from bridge.reactor import Reaction, Reactor
from bridge.settings import Settings
from bridge.views import Mark, Past, Row, Table, View
from tests.tickets import first
from tests.tickets.first import Ticket

UGLY = "ugly"
UNLUCKY = "unlucky"


class TicketView:
    """Title and hours as a table."""

    def shape(self, before: Ticket, after: Ticket) -> Table:
        if after.title == UGLY:
            raise ValueError("nobody draws that")
        marks = [
            Mark.SAME if old == new else Mark.CHANGED
            for old, new in ((before.title, after.title), (before.minutes, after.minutes))
        ]
        hours = f"{after.minutes / 60:.2f} h"
        return Table(("What", "Value"), (Row(("title", after.title), marks[0]), Row(("time", hours), marks[1])))

    async def content(self, state: Ticket, path: str, past: Past) -> bytes | None:
        return None


def views(settings: Settings) -> Mapping[str, View]:
    return {"ticket": TicketView()}


def project(event: RecordedEvent, rows: Rows[int]) -> None:
    if event.data.get("minutes") == 13:
        raise ValueError("13 minutes cannot be")
    rows.put(event.stream, (rows.get(event.stream) or 0) + event.data.get("minutes", 0))


minutes = Projection("minutes", 1, project, row=int, categories=("ticket",))


async def write(event: RecordedEvent, reaction: Reaction) -> None:
    if event.data.get("title") == UNLUCKY:
        raise ValueError("no letter for the unlucky")


letters = Reactor("letters", write, categories=("ticket",), start="beginning", attempts=1)
application = replace(first.application, views=views, projections=(minutes,), reactors=(letters,))
