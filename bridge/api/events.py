"""`GET /v1/events`: the admitted events of many streams, a page at a time, in the merged order."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from bridge import present
from bridge.api import cloudevents
from bridge.api.answers import answer
from bridge.api.asking import FILTERS, LIMIT, RANGE, paging
from bridge.api.front import Front, front
from bridge.api.openapi import PlainRoute, documents, header
from bridge.api.tokens import AT_LEAST
from bridge.feed.feed import FeedPage
from bridge.present import FeedAnswer
from bridge.times import rfc3339

NEXT = "Lighthouse-Next"

router = APIRouter(prefix="/v1", tags=["many streams"], route_class=PlainRoute)
HEADERS = (
    header(AT_LEAST, "A Lighthouse-Position to wait for before the call is answered."),
    header("Accept", f"`{cloudevents.BATCH}` for CloudEvents; the cursor of the rest is in `{NEXT}` then."),
)


@router.get("/events", **documents(FeedAnswer, 404, 422, 503, 504, parameters=(*FILTERS, *RANGE, LIMIT, *HEADERS)))
async def events(request: Request) -> Response:
    """Events of many streams by effective time, then category, partition, offset and index.

    Only what no later event can come before, so that the answer to a page never changes; a page may hold fewer events
    than its limit, or none, and still have a `next`. A parameter that is repeated means any of its values.
    """
    here = front(request)
    await here.at_least(request.headers.getlist(AT_LEAST))
    asked = paging(here.platform.feed, request.query_params)
    page = await here.platform.feed.page(asked.wanted, asked.start, asked.until, asked.limit)
    return _answer(here, page, cloudevents.BATCH in request.headers.get("accept", ""))


def _answer(here: Front, page: FeedPage, batch: bool) -> Response:
    following = None if page.next is None else here.platform.feed.cursors.point(page.next)
    token = here.tokens.token(*page.positions)
    if batch:
        response = answer([cloudevents.of_found(event) for event in page.events], token, media_type=cloudevents.BATCH)
        if following is not None:
            response.headers[NEXT] = following
        return response
    shown = [present.of_found(event) for event in page.events]
    return answer(FeedAnswer(shown, following, page.final, rfc3339(page.up_to)), token)
