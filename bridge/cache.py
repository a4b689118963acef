"""What was read or folded before, in memory: least recently used first out, bounded by number and by encoded size."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Mapping
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Cache(Generic[K, V]):
    """Immutable values by key, as one process last saw them."""

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._bytes = 0
        self._kept: OrderedDict[K, tuple[V, int]] = OrderedDict()

    def get(self, key: K) -> V | None:
        """The value last put, if still kept."""
        found = self._kept.get(key)
        if found is None:
            return None
        self._kept.move_to_end(key)
        return found[0]

    def put(self, key: K, value: V, size: int) -> None:
        """Keeps a value; `size` is its encoded size in bytes. A value larger than the cache is not kept."""
        self.drop(key)
        self._kept[key] = (value, size)
        self._bytes += size
        while self._kept and (len(self._kept) > self._most or self._bytes > self._most_bytes):
            self._bytes -= self._kept.popitem(last=False)[1][1]

    def renew(self, key: K, value: V) -> None:
        """Replaces a value that is kept; its size is taken to be the same."""
        if key in self._kept:
            self._kept[key] = (value, self._kept[key][1])

    def put_all(self, values: Mapping[K, tuple[V, int | None]]) -> None:
        """Keeps the values of a batch; without a size where it is as it was."""
        for key, (value, size) in values.items():
            if size is None:
                self.renew(key, value)
            else:
                self.put(key, value, size)

    def drop(self, key: K) -> None:
        """Forgets a value."""
        found = self._kept.pop(key, None)
        if found is not None:
            self._bytes -= found[1]

    def clear(self) -> None:
        """Forgets everything."""
        self._kept.clear()
        self._bytes = 0


StateCache = Cache[str, tuple[int, Any]]
"""Streams with the version and state of their fold."""
