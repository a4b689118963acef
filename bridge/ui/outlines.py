"""Outlines of streams, kept in memory: the past of a stream does not change (I7), so only what is new is read."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from bridge.history.outline import UNKNOWN, Outline
from bridge.history.reader import History

LONGEST = 100_000
"""Events of one outline; a longer stream is shown in parts."""
KEPT = 2_000_000
"""Events of all outlines kept: 36 MB."""


class Outlines:
    """The outlines that were asked for last."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._kept: OrderedDict[tuple[str, int], Outline] = OrderedDict()

    async def of(self, stream: str, head: int, version: int) -> Outline:
        """The part of the stream around a version, as far as the head. Raises NotFound, Unavailable."""
        first = version - version % LONGEST
        stop = min(head, first + LONGEST)
        known = self._kept.get((stream, first), Outline(first))
        if known.stop > stop:  # the log was made anew under the same name
            known = Outline(first)
        start = known.stop
        if start < stop:
            more = await self._history.outline(stream, start, stop)
            if known.stop == start:  # nobody else has read the same meanwhile
                _extend(known, more)
        self._keep((stream, first), known)
        return known

    def _keep(self, key: tuple[str, int], outline: Outline) -> None:
        """Keeps it, unless the types of some events were not known: they will be."""
        self._kept.pop(key, None)
        if UNKNOWN not in outline.names:
            self._kept[key] = outline
        while sum(len(each.types) for each in self._kept.values()) > KEPT:
            self._kept.popitem(last=False)


def _extend(known: Outline, more: Outline) -> None:
    for type_, effective, event in zip(more.types, more.effective, more.event, strict=True):
        known.add(more.names[type_], effective, event)


def compact(outline: Outline, start: int) -> dict[str, Any]:
    """For the time line, from a version on: times in milliseconds, each as what it is more than the one before."""
    skip = max(0, start - outline.first)
    return {
        "first": outline.first + skip,
        "names": outline.names,
        "types": outline.types[skip:].tolist(),
        "effective": steps(outline.effective[skip:].tolist()),
        "event": steps(outline.event[skip:].tolist()),
    }


def steps(micros: list[int]) -> list[int]:
    """Milliseconds as differences; the first one is whole."""
    millis = [each // 1000 for each in micros]
    return [now - before for before, now in zip([0, *millis], millis, strict=False)]
