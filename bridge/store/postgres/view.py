"""A view: one read-only transaction that sees the space as one commit left it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Self

from bridge.store.contract import UNOWNED, Row
from bridge.store.postgres.answers import NOWHERE, mark_of
from bridge.store.postgres.link import FAILURES, Connection, Link, closed_where_broken, terminate, using
from bridge.store.postgres.statements import BEGIN, GET, GET_MANY, MARK, SCANS
from bridge.store.ranges import bounds

LEAVING = 1.0
"""Seconds in which the end of a view must have come to the server."""


class PostgresView:
    """See the contract. It holds one connection of the pool until it is left."""

    __slots__ = ("_connection", "_id", "_link", "_seconds", "_space", "beat_age", "mark")

    def __init__(self, space: str, link: Link) -> None:
        self._space = space
        self._link = link
        self._seconds = link.limits.read

    async def __aenter__(self) -> Self:
        """Raises Unavailable."""
        self._connection: Connection = await self._link.acquire()
        try:
            with using(self._connection):
                await self._connection.execute(BEGIN, timeout=self._seconds)
                found = await self._connection.fetchrow(MARK, self._space, timeout=self._seconds)
        except BaseException:
            await self._leave()
            raise
        self._id: int = NOWHERE if found is None else found["id"]
        self.mark = UNOWNED if found is None else mark_of(found)
        never = found is None or found["age"] is None
        self.beat_age: float = math.inf if never else max(0.0, found["age"])
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._leave()

    async def _leave(self) -> None:
        """Ends the transaction. A connection that cannot even do that soon is closed, and ends it so."""
        try:
            with closed_where_broken(self._connection):
                await self._connection.execute("COMMIT", timeout=LEAVING)
        except FAILURES:
            terminate(self._connection)
        finally:
            await self._link.release(self._connection)

    async def get(self, key: bytes) -> bytes | None:
        """See the contract."""
        with using(self._connection):
            value: bytes | None = await self._connection.fetchval(GET, self._id, key, timeout=self._seconds)
            return value

    async def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """See the contract."""
        if not keys:
            return []
        with using(self._connection):
            found = dict(await self._connection.fetch(GET_MANY, self._id, keys, timeout=self._seconds))
        return [found.get(key) for key in keys]

    async def scan(
        self,
        prefix: bytes,
        start: bytes | None = None,
        stop: bytes | None = None,
        reverse: bool = False,
        limit: int = 1000,
        most_bytes: int | None = None,
    ) -> list[Row]:
        """See the contract."""
        low, high = bounds(prefix, start, stop)
        statement = SCANS[high is not None, reverse]
        with using(self._connection):
            asked = (self._id, low, high, max(limit, 0), most_bytes)
            found = await self._connection.fetch(statement, *asked, timeout=self._seconds)
        return [(key, value) for key, value in found]
