"""What a processor's source has delivered last: each batch begins with it, which proves that nothing lies between."""

from __future__ import annotations

from bridge.log.record import Record
from streams.source import Batches, Partition


class Delivered:
    """The last record of each partition; see Source.poll."""

    def __init__(self) -> None:
        self._last: dict[Partition, Record] = {}

    def joined(self, batches: Batches) -> Batches:
        """Each batch behind the last record of the one before; none is empty."""
        found = {
            part: [self._last[part], *records] if part in self._last else records for part, records in batches.items()
        }
        self._last |= {part: records[-1] for part, records in batches.items()}
        return found

    def forget(self, partition: Partition) -> None:
        """What was delivered no longer stands right before what will be: it goes on from somewhere else."""
        self._last.pop(partition, None)
