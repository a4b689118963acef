"""The page *Events*: what happens now, in every stream or in those that the filters name, by `/v1/live`."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from bridge.log.compose import Schema
from bridge.ui.asked import asked
from bridge.ui.window import Window, window

ROWS = 500
"""Events that the page keeps; older ones leave it."""


class EventsQuery(msgspec.Struct):
    """The filters, by the names that `/v1/live` gives them."""

    category: str = ""
    stream: str = ""
    type: str = ""
    actor: str = ""
    correlation_id: str = ""


async def events(request: Request) -> Response:
    """The page with its filters; its script does the rest."""
    here, wanted = window(request), asked(request, EventsQuery)
    known = {"categories": sorted(here.platform.spaces.categories), "types": _types(here, wanted.category)}
    return here.page(request, "events", wanted=wanted, rows=ROWS, **known)


def _types(here: Window, category: str) -> list[str]:
    """The names of event types to choose from."""
    catalog = here.platform.base.catalog.categories
    schemas = [here.platform.base.schemas.local(name) for name in catalog if category in ("", name)]
    return sorted({name for schema in schemas for name in _names(schema)})


def _names(schema: Schema) -> list[str]:
    return [event["name"].rpartition(".")[2] for event in schema["fields"][-1]["type"]["items"]]
