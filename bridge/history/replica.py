"""A history with a read-only replica: what is final may be answered by either, for nothing can change it (I7)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import structlog

from bridge.errors import LighthouseError, NoOwner, Parked, Rebuilding, Unavailable
from bridge.history.reader import NOW, At, Diff, History, StateAt
from bridge.log.schemas import Schemas
from bridge.spaces import Spaces
from bridge.ticks import Ticker
from bridge.typed import Typed

log = structlog.get_logger()

T = TypeVar("T")

OF_THE_STREAM = (Parked, Rebuilding, NoOwner)
"""What is unavailable in a replica that answers."""

REST = 10.0
"""Seconds for which a replica that could not be asked is left alone."""


class Replicated(History):
    """Asks the replica for past states; and itself for what is not final there, which a replica may know too little of.

    So whoever waited for a position sees what was there, however far the replica is behind.
    """

    def __init__(
        self,
        replica: History,
        schemas: Schemas,
        spaces: Spaces,
        deciders: Mapping[str, Typed],
        ticker: Ticker,
        clock_skew: float,
    ) -> None:
        super().__init__(schemas, spaces, deciders, ticker, clock_skew)
        self._replica = replica
        self._rests_until = 0.0

    async def state(self, stream: str, at: At = NOW, least: int | None = None) -> StateAt:
        """See History."""
        if at != NOW:
            found = await self._asked(lambda: self._replica.state(stream, at))
            if found is not None and found.final:
                return found
        return await super().state(stream, at, least)

    async def diff(self, stream: str, before: At, after: At, limit: int = 1000) -> Diff:
        """See History."""
        if before.version is not None and after.version is not None:
            found = await self._asked(lambda: self._replica.diff(stream, before, after, limit))
            if found is not None:
                return found
        return await super().diff(stream, before, after, limit)

    async def _asked(self, ask: Callable[[], Awaitable[T]]) -> T | None:
        """What the replica says; None where it says no: it may be behind, or away."""
        now = asyncio.get_running_loop().time()
        if now < self._rests_until:
            return None
        try:
            return await ask()
        except LighthouseError as error:
            if isinstance(error, Unavailable) and not isinstance(error, OF_THE_STREAM):
                self._rests_until = now + REST
                log.warning("the history's replica is not asked for some seconds", error=str(error))
            return None
