"""What the adapters agree on about keys: which ones there are, and which ones a scan covers."""

from __future__ import annotations

from collections.abc import Iterable

from bridge.errors import LighthouseError
from bridge.store.contract import Row, Writes
from bridge.store.keys import after

LONGEST_KEY = 511
FIRST_KEY = b"\x01"  # keys below are the adapters' own


def bounds(prefix: bytes, start: bytes | None, stop: bytes | None) -> tuple[bytes, bytes | None]:
    """The first key of a scan and the first one behind it, None for the end of the space."""
    low = max(prefix, start or b"", FIRST_KEY)
    ends = [end for end in (after(prefix), stop) if end is not None]
    return low, min(ends, default=None)


def within(rows: Iterable[Row], most_bytes: int | None) -> list[Row]:
    """The first of the rows whose values have at most so many bytes together, one at least if there is one."""
    if most_bytes is None:
        return list(rows)
    found: list[Row] = []
    for row in rows:
        most_bytes -= len(row[1])
        if found and most_bytes < 0:
            break
        found.append(row)
    return found


def sorted_rows(writes: Writes) -> list[tuple[bytes, bytes]]:
    """The puts in the order of their keys. Raises LighthouseError for a key that a store cannot hold."""
    _check(writes.puts)
    _check(writes.deletes)
    puts = writes.puts
    return [(key, puts[key]) for key in sorted(puts)]


def _check(keys: Iterable[bytes]) -> None:
    if min(keys, default=FIRST_KEY) < FIRST_KEY:
        raise LighthouseError(f"a key must not be empty or start with a zero byte, as {min(keys)!r} does")
    if max(map(len, keys), default=0) > LONGEST_KEY:
        raise LighthouseError(f"a key has at most {LONGEST_KEY} bytes; {max(keys, key=len)!r} has more")
