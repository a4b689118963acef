"""The page *System*: brokers, processors, and how each partition stands; renewed every two seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response

from bridge.errors import LighthouseError, Unavailable
from bridge.log.cluster import Member, Standing
from bridge.spaces import Space
from bridge.survey import PartitionStatus, survey
from bridge.ui.window import Window, window
from bridge.wiring import limits

T = TypeVar("T")

PATIENCE = 3.0
"""Seconds that the page waits for Kafka; without its answer it shows what the stores say."""


@dataclass(frozen=True, slots=True)
class PartitionRow:
    """A partition. `why` says why it cannot be read and written, and is empty where it can."""

    status: PartitionStatus
    owner: Member | None
    why: str


@dataclass(frozen=True, slots=True)
class CategoryRows:
    """A category's partitions, by number."""

    category: str
    rows: Sequence[PartitionRow]

    @property
    def lag(self) -> int:
        """Records that are not applied yet."""
        return sum(row.status.lag for row in self.rows)

    @property
    def records(self) -> int:
        """Records of the log."""
        return sum(row.status.end for row in self.rows)

    @property
    def ready(self) -> int:
        """Partitions that can be read and written."""
        return sum(not row.why for row in self.rows)


async def system(request: Request) -> Response:
    """The page, or its part that is renewed."""
    here = window(request)
    found, standing = await asyncio.gather(
        _told(survey(here.platform.spaces, here.platform.reader)), _told(here.cluster.standing())
    )
    known = {"statuses": found, "standing": standing, "problems": [one for one in (found, standing) if _failed(one)]}
    rows = await _rows(here, found, standing) if not isinstance(found, str) else []
    return here.page(request, "system", categories=rows, **known)


async def _told(asked: Awaitable[T]) -> T | str:
    """The answer, or the sentence that says why there is none."""
    try:
        async with asyncio.timeout(PATIENCE):
            return await asked
    except TimeoutError:
        return f"Kafka did not answer within {PATIENCE:.0f} s"
    except LighthouseError as error:
        return str(error)


def _failed(found: object) -> bool:
    return isinstance(found, str)


async def _rows(here: Window, found: Sequence[PartitionStatus], standing: Standing | str) -> list[CategoryRows]:
    rows = [PartitionRow(one, _owner(here, standing, one), await _why(here, one)) for one in found]
    return [CategoryRows(name, list(some)) for name, some in groupby(rows, key=lambda row: row.status.category)]


def _owner(here: Window, standing: Standing | str, one: PartitionStatus) -> Member | None:
    if isinstance(standing, str):
        return None
    return standing.owner(here.platform.spaces.place(one.category, one.partition).topic, one.partition)


async def _why(here: Window, one: PartitionStatus) -> str:
    space: Space = here.platform.spaces.at(one.category, one.partition)
    async with space.store.view() as view:
        try:
            await space.check_writable(view, limits(here.platform.base.settings))
        except Unavailable as error:
            return str(error)
    return ""
