"""Places in the two orders of many streams, and as opaque tokens: where a reader goes on.

The merged order is that of (effective time, category, partition, offset, index); a Point is a place in it. The live
order is each partition's own, so that a place in it is a Vector: what comes next in each partition.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, NamedTuple

import msgspec

from bridge.errors import Invalid
from bridge.feed.order import Spot
from bridge.opaque import opaque, value_of

Where = tuple[str, int]
"""A partition: its category and number."""

Vector = Mapping[Where, Spot]
"""The place of the event that comes next, by partition."""


class Point(NamedTuple):
    """A place in the merged order; whoever goes on from it gets everything at or behind it. Sorts as the order does.

    `within` is an event's index in its append.
    """

    effective: int
    category: str
    partition: int
    offset: int = 0
    within: int = 0

    @property
    def after(self) -> Point:
        """The place right behind the event that lies here."""
        return self._replace(within=self.within + 1)


Number = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Index = Annotated[int, msgspec.Meta(ge=0, le=2**16 - 1)]


class _Merged(msgspec.Struct, frozen=True, array_like=True, tag="m", forbid_unknown_fields=True):
    effective: Number
    topic: str
    partition: Number
    offset: Number
    index: Index


class _Live(msgspec.Struct, frozen=True, array_like=True, tag="l", forbid_unknown_fields=True):
    spots: dict[str, dict[int, tuple[Number, Index]]]


_decoder: msgspec.msgpack.Decoder[_Merged | _Live] = msgspec.msgpack.Decoder(_Merged | _Live)


class Cursors:
    """Tokens of this platform's partitions. Like positions (`bridge.api.tokens`) they name topics by Kafka's own ids,
    so that a cursor of a topic that was made anew, or of another cluster, is refused.
    """

    def __init__(self, topics: Mapping[str, str], counts: Mapping[str, int]) -> None:
        """`topics` are Kafka's topic ids by category, `counts` the pinned partition counts."""
        self._topics = topics
        self._categories = {topic: category for category, topic in topics.items()}
        self._counts = counts

    def point(self, point: Point) -> str:
        """The token of a place in the merged order."""
        effective, category, partition, offset, within = point
        return opaque(_Merged(effective, self._topics[category], partition, offset, within))

    def vector(self, vector: Vector) -> str:
        """The token of a place in the live order."""
        spots: dict[str, dict[int, Spot]] = {}
        for (category, partition), spot in vector.items():
            spots.setdefault(self._topics[category], {})[partition] = spot
        return opaque(_Live(spots))

    def parse(self, text: str, path: str) -> Point | Vector:
        """The place that a token names. Raises Invalid, with the path where the token stood."""
        try:
            return self._named(_decoded(text))
        except ValueError as error:
            raise Invalid(path, str(error)) from None

    def _named(self, told: _Merged | _Live) -> Point | Vector:
        if isinstance(told, _Merged):
            category, partition = self._where(told.topic, told.partition)
            return Point(told.effective, category, partition, told.offset, told.index)
        return {
            self._where(topic, partition): spot
            for topic, spots in told.spots.items()
            for partition, spot in spots.items()
        }

    def _where(self, topic: str, partition: int) -> Where:
        category = self._categories.get(topic)
        if category is None:
            raise ValueError(f"the cursor belongs to topic {topic[:40]!r}, which is none of this platform's")
        if not 0 <= partition < self._counts[category]:
            raise ValueError(f"the cursor names partition {partition} of {self._counts[category]}")
        return category, partition


def _decoded(text: str) -> _Merged | _Live:
    try:
        return value_of(text, _decoder)
    except ValueError:
        raise ValueError(f"{text[:40]!r} is no cursor; take one from an answer, as it is") from None
