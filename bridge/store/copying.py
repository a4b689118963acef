"""A space copied from one store to another, page by page; an interrupted copy goes on, and both are compared.

While it is copied, the target has position -1, so that nobody reads from it, and a row that tells how far the copy is.
A processor that opens such a space begins it anew (P1). A space whose copy was finished is only compared again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from bridge.errors import LighthouseError
from bridge.store import keys
from bridge.store.contract import UNOWNED, Mark, Row, Store, Writes

PAGE = 2000
PAGE_BYTES = 4 * 1024 * 1024

Report = Callable[[int], None]
"""Is told of rows that were copied or compared."""


class Begun(msgspec.Struct, array_like=True, frozen=True):
    """The row of a copy under way: which history it is of, the last key that was copied, and how many were."""

    source: Mark
    last: bytes = b""
    rows: int = 0


class Different(LighthouseError):
    """The source and its copy do not have the same rows."""


@dataclass(frozen=True, slots=True)
class Copied:
    """A copied space: its rows, their bytes, its position, and how many of the rows an earlier attempt had copied."""

    rows: int
    bytes: int
    position: int
    earlier: int


async def copy(source: Store, target: Store, session: float, replace: bool, report: Report) -> Copied:
    """Copies a space that nobody applies, and compares the two. A source without a history leaves an empty target.

    `session` is how long an owner may not have beaten, in seconds; `replace` forgets a history that the target holds,
    and what is half copied. Raises LighthouseError where the source has a living owner or moves meanwhile, or the
    target holds a history; Different; Unavailable, Fenced.
    """
    async with source.view() as view:
        origin = view.mark
        if origin.position >= 0 and view.beat_age <= session:
            raise LighthouseError(f"its owner beat {view.beat_age:.1f} s ago: end the processors first")
    if origin.position < 0:
        return Copied(0, 0, origin.position, 0)
    if await _finished(target, origin):
        try:
            count, size = await _compare(source, target, origin, report)
            return Copied(count, size, origin.position, count)
        except Different:
            if not replace:
                raise
    mark, begun = await _begin(target, origin, replace)
    earlier = begun.rows
    while rows := await _page(source, origin, begun.last):
        begun = Begun(origin, rows[-1][0], begun.rows + len(rows))
        mark = await target.commit(mark, UNOWNED.position, _writes(rows, begun))
        report(len(rows))
    count, size = await _compare(source, target, origin, report)
    writes = Writes(deletes={keys.COPY})
    await target.commit(mark, origin.position, writes)
    return Copied(count, size, origin.position, earlier)


def _writes(rows: list[Row], begun: Begun) -> Writes:
    return Writes({**dict(rows), keys.COPY: encode(begun)})


encode = msgspec.msgpack.encode
decode = msgspec.msgpack.Decoder(Begun).decode


async def _finished(target: Store, origin: Mark) -> bool:
    """Whether the target is as far as the source is, with no copy of it under way."""
    async with target.view() as view:
        return view.mark.position == origin.position and await view.get(keys.COPY) is None


async def _begin(target: Store, origin: Mark, replace: bool) -> tuple[Mark, Begun]:
    """Takes the target over; answers how far the copy is."""
    async with target.view() as view:
        if view.mark.position >= 0 and not replace:
            raise LighthouseError(f"the target holds a history up to {view.mark.position}; `--replace` forgets it")
    mark = await target.own()
    async with target.view() as view:
        raw = await view.get(keys.COPY)
        empty = not await view.scan(b"", limit=1)
    begun = decode(raw) if raw is not None and mark.position < 0 else None
    if begun is not None and begun.source == origin and not replace:
        return mark, begun
    return (mark if empty else await target.wipe(mark)), Begun(origin)


async def _page(store: Store, expected: Mark | None, after: bytes) -> list[Row]:
    """The rows behind a key that are copied. Raises LighthouseError where the mark is not the expected one."""
    async with store.view() as view:
        if expected is not None and view.mark != expected:
            raise LighthouseError(f"the source moved from {expected} to {view.mark}: end the processors first")
        start = after + b"\0" if after else None
        while rows := await view.scan(b"", start=start, limit=PAGE, most_bytes=PAGE_BYTES):
            if found := [row for row in rows if _copied(row[0])]:
                return found
            start = rows[-1][0] + b"\0"
        return []


def _copied(key: bytes) -> bool:
    """Not the copy's own row, and not what the source's commits changed: those have other numbers in the target."""
    return key != keys.COPY and key[:1] != keys.CHANGES


async def _compare(source: Store, target: Store, origin: Mark, report: Report) -> tuple[int, int]:
    """How many rows there are, and their bytes. Raises Different, and LighthouseError where the source moves."""
    count, size, after = 0, 0, b""
    there: list[Row] = []
    while rows := await _page(source, origin, after):
        while len(there) < len(rows):
            more = await _page(target, None, there[-1][0] if there else after)
            if not more:
                break
            there += more
        if there[: len(rows)] != rows:
            raise Different(f"the copy is not the same at {_different(rows, there)!r}: copy it again, with --replace")
        there = there[len(rows) :]
        count, after = count + len(rows), rows[-1][0]
        size += sum(len(key) + len(value) for key, value in rows)
        report(len(rows))
    if there or await _page(target, None, after):
        raise Different("the copy has rows that the source does not have: copy it again, with --replace")
    return count, size


def _different(rows: list[Row], there: list[Row]) -> bytes:
    return next(row[0] for number, row in enumerate(rows) if there[number : number + 1] != [row])
