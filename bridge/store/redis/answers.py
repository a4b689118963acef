"""What the scripts answer, as the contract's words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, cast

from bridge.errors import Outlived
from bridge.store.contract import UNOWNED, Mark, Row

OLD = b"1"
"""Begins a value on an undo page; what had none is there with a zero."""


class Seen(NamedTuple):
    """A space's mark, the stamp of its last commit, and the seconds since the owner's last sign of life."""

    mark: Mark
    stamp: bytes
    beat_age: float


class Page(NamedTuple):
    """A part of a scan: the rows as they are now, and what keys had before they were changed."""

    rows: list[Row]
    before: dict[bytes, bytes]
    more: bool


def seen(head: Sequence[bytes | None]) -> Seen:
    """The mark that a script answers; that of a space that nobody ever owned has nothing."""
    *numbers, stamp, age = head
    if None in numbers:
        return Seen(UNOWNED, b"", math.inf)
    return Seen(mark_of(numbers), stamp or b"", math.inf if age is None else max(0.0, int(age) / 1000))


def mark_of(numbers: Sequence[bytes | None]) -> Mark:
    """The mark of a space, perhaps one that is gone."""
    return UNOWNED if None in numbers else Mark(*(int(number or 0) for number in numbers))


def looked(space: str, reply: object) -> tuple[Seen, list[bytes | None]]:
    """The mark and the values, in one view. Raises Outlived where the view is no longer there."""
    head, values = cast("tuple[list[bytes | None], list[bytes | None] | None]", reply)
    if values is None:
        raise outlived(space)
    return seen(head), values


def scanned(space: str, reply: object) -> Page:
    """A part of a scan. Raises Outlived where the view is no longer there."""
    _, more, *found = cast("tuple[object, int | None, list[bytes], list[bytes]]", reply)
    if more is None:
        raise outlived(space)
    rows, changed = found
    return Page(_pairs(rows), dict(_pairs(changed)), bool(more))


def _pairs(flat: list[bytes]) -> list[Row]:
    return list(zip(flat[::2], flat[1::2], strict=True))


def outlived(space: str) -> Outlived:
    """The error of a view that was held for too long, or whose space was wiped or lost under it."""
    return Outlived(f"{space} has changed more since this view of it began than Redis remembers; look again", 0.1)
