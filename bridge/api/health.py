"""Whether this process lives, and whether it can serve every partition."""

from __future__ import annotations

import asyncio

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from bridge import present
from bridge.api.answers import answer
from bridge.api.front import front
from bridge.api.openapi import documents
from bridge.errors import Unavailable
from bridge.present import PartitionsAnswer
from bridge.spaces import Limits, Space
from bridge.survey import Order, ordered, survey
from bridge.wiring import limits


class LiveAnswer(msgspec.Struct):
    """The process answers."""

    live: bool


class PartitionAnswer(msgspec.Struct):
    """One partition; `reason` says why it is not ready. `position` is the next offset, -1 before there is one."""

    category: str
    partition: int
    ready: bool
    position: int
    reason: str | None


class ReadyAnswer(msgspec.Struct):
    """Ready: each partition has a living owner and is not being rebuilt."""

    ready: bool
    partitions: list[PartitionAnswer]


router = APIRouter(prefix="/health", tags=["operation"])


@router.get("/live", **documents(LiveAnswer))
async def live() -> Response:
    """Answers as long as the process does."""
    return answer(LiveAnswer(True))


@router.get("/ready", **documents(ReadyAnswer))
async def ready(request: Request) -> Response:
    """200 when every partition can be read and written, else 503; both with each partition's state."""
    here = front(request)
    wanted = limits(here.settings)
    partitions = await asyncio.gather(*(_partition(space, wanted) for space in here.platform.spaces.all()))
    good = all(partition.ready for partition in partitions)
    return answer(ReadyAnswer(good, partitions), status=200 if good else 503)


partitions = APIRouter(prefix="/v1/partitions", tags=["operation"])


@partitions.get("", **documents(PartitionsAnswer, 422, 503))
async def standing(request: Request, order: Order = Order.NUMBER) -> Response:
    """How every partition stands: by number, `hottest` (most records in the last minute) or `slowest` (most behind)."""
    here = front(request)
    found = await survey(here.platform.spaces, here.platform.reader)
    return answer(present.of_partitions(ordered(found, order), here.settings.session))


async def _partition(space: Space, wanted: Limits) -> PartitionAnswer:
    reason, place = None, space.place
    async with space.store.view() as view:
        try:
            await space.check_writable(view, wanted)
        except Unavailable as error:
            reason = str(error)
        return PartitionAnswer(place.category, place.partition, reason is None, view.mark.position, reason)
