"""What the statements answer, as the contract's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import asyncpg

from bridge.store.contract import Mark

NOWHERE = 0
"""The id of a space that was never owned: it has no rows."""


def unpack(found: Sequence[asyncpg.Record]) -> tuple[Mark, Mapping[bytes, bytes]]:
    """The mark, and the rows that were there in the same view."""
    return mark_of(found[0]), {row["key"]: row["value"] for row in found if row["value"] is not None}


def mark_of(row: asyncpg.Record) -> Mark:
    """The mark of a row that has one."""
    return Mark(row["epoch"], row["number"], row["position"])
