"""Reading ahead in a thread, so that slow reading and slow writing happen at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from typing import TypeVar

T = TypeVar("T")

_ITEMS = 64


async def read_ahead(
    items: Generator[T, None, None], weight: Callable[[T], int], limit: int
) -> AsyncGenerator[T, None]:
    """The items, read in a thread: two batches of 64 items or `limit` weight at most, and an item over, are held.

    Close it (contextlib.aclosing) when leaving early: it waits until the thread has let go of `items`, and closes
    them.
    """
    coming = asyncio.ensure_future(asyncio.to_thread(_take, items, weight, limit))
    try:
        while batch := await asyncio.shield(coming):
            coming = asyncio.ensure_future(asyncio.to_thread(_take, items, weight, limit))
            for item in batch:
                yield item
    finally:
        await asyncio.gather(coming, return_exceptions=True)
        items.close()


def _take(items: Iterator[T], weight: Callable[[T], int], limit: int) -> list[T]:
    batch: list[T] = []
    for item in items:
        batch.append(item)
        limit -= weight(item)
        if limit <= 0 or len(batch) == _ITEMS:
            break
    return batch
