"""A view: pinned to the commit that it saw first. What later commits replaced is taken from where they left it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Self

from bridge.store.contract import Mark, Row
from bridge.store.ranges import bounds, within
from bridge.store.redis.answers import OLD, Page, looked, scanned
from bridge.store.redis.link import Call, Link
from bridge.store.redis.scripts import LOOK, SCAN

ROWS = 500
"""Rows that one script reads at most: longer scans are several, so that they hold up nobody."""

BYTES = 1 << 20
"""The same in bytes of their values; one row may have more."""


class RedisView:
    """See the contract. It holds nothing; it ends by itself when Redis no longer knows what was replaced since."""

    __slots__ = ("_keys", "_link", "_pin", "_space", "beat_age", "mark")

    def __init__(self, space: str, keys: Sequence[bytes], link: Link) -> None:
        self._space = space
        self._keys = keys
        self._link = link

    async def __aenter__(self) -> Self:
        """Raises Unavailable."""
        (reply,) = await self._link.run(Call(LOOK, self._keys, ("", "")))
        found, _ = looked(self._space, reply)
        self.mark: Mark = found.mark
        self.beat_age: float = found.beat_age
        self._pin = (found.mark.commit, found.stamp)
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def get(self, key: bytes) -> bytes | None:
        """See the contract. Raises Unavailable."""
        return (await self.get_many((key,)))[0]

    async def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """See the contract. Raises Unavailable."""
        found: list[bytes | None] = []
        for start in range(0, len(keys), ROWS):
            (reply,) = await self._link.run(Call(LOOK, self._keys, (*self._pin, *keys[start : start + ROWS])))
            found += looked(self._space, reply)[1]
        return found

    async def scan(
        self,
        prefix: bytes,
        start: bytes | None = None,
        stop: bytes | None = None,
        reverse: bool = False,
        limit: int = 1000,
        most_bytes: int | None = None,
    ) -> list[Row]:
        """See the contract. Raises Unavailable."""
        low, high = bounds(prefix, start, stop)
        found: list[Row] = []
        room = sys.maxsize if most_bytes is None else most_bytes
        more = limit > 0 and (high is None or low < high)
        while more:
            count, size = min(limit - len(found), ROWS), min(room, BYTES)
            page = await self._page(prefix, (low, high), reverse, count, size)
            rows = rows_between(page, low, high, reverse)
            found += rows
            room -= sum(len(value) for _, value in rows)
            more = page.more and len(found) < limit and room >= 0
            low, high = behind(page, low, high, reverse)
        return within(found[: max(limit, 0)], most_bytes)

    async def _page(
        self, prefix: bytes, ends: tuple[bytes, bytes | None], reverse: bool, count: int, size: int
    ) -> Page:
        low, high = b"[" + ends[0], b"+" if ends[1] is None else b"(" + ends[1]
        span = (high, low, "REV") if reverse else (low, high, "")
        (reply,) = await self._link.run(Call(SCAN, self._keys, (*self._pin, prefix, *span, count, size)))
        return scanned(self._space, reply)


def rows_between(page: Page, low: bytes, high: bytes | None, reverse: bool) -> list[Row]:
    """The rows of a page as the view has them, in order: with what was changed there since, and not behind it."""
    rest_low, rest_high = behind(page, low, high, reverse)
    before = [
        (key, value[1:])
        for key, value in page.before.items()
        if value[:1] == OLD and _inside(key, low, high) and not (page.more and _inside(key, rest_low, rest_high))
    ]
    return sorted([*page.rows, *before], reverse=reverse)


def behind(page: Page, low: bytes, high: bytes | None, reverse: bool) -> tuple[bytes, bytes | None]:
    """What is left of a scan after a page that is not its last."""
    if not page.more:
        return low, high
    last = page.rows[-1][0]
    return (low, last) if reverse else (last + b"\0", high)


def _inside(key: bytes, low: bytes, high: bytes | None) -> bool:
    return key >= low and (high is None or key < high)
