"""Pages of a partition's order by way of the index, for readers that want some types, actors or correlation ids.

The index is a projection like any other: where it is not live it is not asked, and the order is scanned instead.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence

from bridge.builtin import BLOCK_BITS, INDEX, index_key, index_prefix, offsets_in
from bridge.decisions import Decided
from bridge.feed.filters import Filter
from bridge.feed.order import Fetched, Most, Spot, effective_of, event_rows, fetch
from bridge.log.record import Place
from bridge.store import keys
from bridge.store.contract import Row, View
from bridge.store.rows import Progress

BLOCKS = 64
"""Rows of the index that are read at once for one value."""

Asked = Sequence[tuple[str, str]]
"""(kind, value) of the index, any of which will do."""


class Indexed:
    """Answers pages as `order.fetch` does. `decided` tells which build of the index answers."""

    def __init__(self, decided: Callable[[], Awaitable[Decided]]) -> None:
        self._decided = decided

    async def fetch(self, place: Place, view: View, start: Spot, most: Most, wanted: Filter) -> Fetched:
        """The rows of one page from a place on, of appends in which something wanted may be."""
        asked = narrowest(wanted)
        if not asked:
            return await fetch(view, start, most, wanted)
        build = (await self._decided()).answers([INDEX.version])
        raw = await view.get(keys.progress(INDEX.name, keys.build(*build)))
        if build[0] != INDEX.version or raw is None or not Progress.unpack(raw).live:
            return await fetch(view, start, most, wanted)
        prefix = keys.row(keys.projection(INDEX.name, keys.build(*build)), "")
        offsets, more = await _offsets(view, prefix, place, start[0], asked)
        return await _page(view, offsets, more, (start, most, wanted))


def narrowest(wanted: Filter) -> Asked:
    """What to ask the index: the kind that usually has the fewest events."""
    kinds = {"correlation": wanted.correlations, "actor": wanted.actors, "type": wanted.types}
    return next(([(kind, value) for value in sorted(values)] for kind, values in kinds.items() if values), [])


async def _offsets(view: View, prefix: bytes, place: Place, start: int, asked: Asked) -> tuple[list[int], bool]:
    """Offsets from `start` on of appends that hold any of the values, ascending, and whether there are more."""
    found: set[int] = set()
    bound: int | None = None
    for kind, value in asked:
        where = kind, value, place.category, place.partition
        whole = prefix + index_prefix(*where).encode()
        first = prefix + index_key(*where, start >> BLOCK_BITS).encode()
        rows = await view.scan(whole, start=first, limit=BLOCKS)
        found.update(offset for key, row in rows for offset in offsets_in(key[len(prefix) :].decode(), row))
        if len(rows) == BLOCKS:
            end = (int(rows[-1][0][-12:], 16) + 1) << BLOCK_BITS
            bound = end if bound is None else min(bound, end)
    return sorted(one for one in found if one >= start and (bound is None or one < bound)), bound is not None


async def _page(view: View, offsets: Iterable[int], more: bool, asked: tuple[Spot, Most, Filter]) -> Fetched:
    start, most, wanted = asked
    order: list[Row] = []
    for offset in offsets:
        if len(order) >= most.rows:
            more = True
            break
        first = keys.order(*start) if offset == start[0] else keys.order(offset, 0)
        order += await view.scan(keys.ORDER, start=first, stop=keys.order(offset + 1, 0))
    streams = wanted.keys
    named = [row for row in order if row[1][8:] in streams] if streams is not None else order
    found = await event_rows(view, named, most.bytes)
    if len(found) < len(named):
        order, more = order[: order.index(named[len(found) - 1]) + 1], True
    rows = [(name[1], row) for name, row in zip(named, found, strict=False)]
    if not order:
        assert not more, f"the index has more behind {start}, but nothing there"
        return Fetched(rows, (max(view.mark.position, start[0]), 0), None, False, 0)
    place = keys.spot(order[-1][0])
    last = await effective_of(view, order[-1], rows), place
    following = (place[0], place[1] + 1) if more else (max(view.mark.position, place[0] + 1), 0)
    return Fetched(rows, following, last, more, len(order))
