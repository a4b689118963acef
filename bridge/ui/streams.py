"""The page *Streams*: all streams, searched by how their names begin, the ones that grew last first."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from bridge.ui.asked import asked
from bridge.ui.window import window

SHOWN = 100


class StreamsQuery(msgspec.Struct):
    """`q` is what the names, or the ids alone, begin with."""

    q: str = ""


async def streams(request: Request) -> Response:
    """The page, or its rows while somebody types."""
    here = window(request)
    wanted = asked(request, StreamsQuery).q.strip()
    listed = await here.listing.newest(wanted, SHOWN)
    categories = sorted(here.platform.spaces.categories)
    return here.page(request, "streams", wanted=wanted, listed=listed, categories=categories, shown=SHOWN)
