"""Folded states in memory, least recently used first out, bounded by number and by encoded size."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

Folded = tuple[int, Any]


class StateCache:
    """Streams with the version and state of their fold. A state is never changed in place (evolve is pure)."""

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._bytes = 0
        self._kept: OrderedDict[str, tuple[Folded, int]] = OrderedDict()

    def get(self, stream: str) -> Folded | None:
        """The version and state last put, if still kept."""
        found = self._kept.get(stream)
        if found is None:
            return None
        self._kept.move_to_end(stream)
        return found[0]

    def put(self, stream: str, folded: Folded, size: int) -> None:
        """Keeps a state; `size` is its encoded size in bytes. A state larger than the cache is not kept."""
        self.drop(stream)
        self._kept[stream] = (folded, size)
        self._bytes += size
        while self._kept and (len(self._kept) > self._most or self._bytes > self._most_bytes):
            self._bytes -= self._kept.popitem(last=False)[1][1]

    def renew(self, stream: str, folded: Folded) -> None:
        """Replaces a state that is kept; its size is taken to be the same."""
        if stream in self._kept:
            self._kept[stream] = (folded, self._kept[stream][1])

    def put_all(self, states: Mapping[str, tuple[Folded, int | None]]) -> None:
        """Keeps the states of a batch; without a size where it is as it was."""
        for stream, (folded, size) in states.items():
            if size is None:
                self.renew(stream, folded)
            else:
                self.put(stream, folded, size)

    def drop(self, stream: str) -> None:
        """Forgets a stream."""
        found = self._kept.pop(stream, None)
        if found is not None:
            self._bytes -= found[1]

    def clear(self) -> None:
        """Forgets everything."""
        self._kept.clear()
        self._bytes = 0
