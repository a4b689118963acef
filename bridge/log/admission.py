"""Admission: deciding, from the log's order alone, which appends count (R2-R4; R1 is `record.parse`).

Pure: a function of the record and of the partition's state, never of the registry, the clock or an application.
Retries, zombies, duplicates and delayed copies are harmless by construction, for their order is the log's.
"""

from __future__ import annotations

from enum import Enum

from bridge.log.record import AppendRecord


class Verdict(Enum):
    """What admission says of a record."""

    ADMITTED = "admitted"
    CONFLICT = "conflict"
    DUPLICATE = "duplicate"
    MALFORMED = "malformed"
    TICK = "tick"


def judge(record: AppendRecord, head: int, seen: bool) -> Verdict:
    """R2-R4, given the stream's head and whether the append id was admitted before in this partition."""
    if seen:
        return Verdict.DUPLICATE
    if record.expected is None or record.expected == head:
        return Verdict.ADMITTED
    return Verdict.CONFLICT
