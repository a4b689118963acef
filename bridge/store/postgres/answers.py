"""What the statements answer, as the contract's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import asyncpg

from bridge.store.contract import UNOWNED, Mark

NOWHERE = 0
"""The id of a space that was never owned: it has no rows."""


def unpack(found: Sequence[asyncpg.Record]) -> tuple[Mark, Mapping[bytes, bytes]]:
    """The mark, and the rows that were there in the same view; neither of a space that nobody ever owned."""
    mark = mark_of(found[0]) if found else UNOWNED
    return mark, {row["key"]: row["value"] for row in found if row["value"] is not None}


def mark_of(row: asyncpg.Record) -> Mark:
    """The mark of a row that has one."""
    return Mark(row["epoch"], row["number"], row["position"])
