"""Which events a reader of many streams wants."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from bridge.events import Envelope, RecordedEvent, StreamId


class Wanted(Protocol):
    """What rows are asked, one after the other: the stream's name as the order holds it, then type and envelope."""

    @property
    def keys(self) -> frozenset[bytes] | None:
        """The streams' names, None for all."""

    @property
    def inside(self) -> bool:
        """Whether type and envelope matter."""

    def takes(self, type_: str, envelope: Envelope) -> bool:
        """Whether such an event in one of the streams is wanted."""


@dataclass(frozen=True)
class Filter:
    """Any of the values of each kind; a kind without values takes everything.

    It is asked in two steps, since what an event's key tells costs a tenth of what its envelope tells.
    """

    categories: frozenset[str] = frozenset()
    streams: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    actors: frozenset[str] = frozenset()
    correlations: frozenset[str] = frozenset()

    def takes_stream(self, stream: str) -> bool:
        """The first step: whether events of this stream may be wanted."""
        if self.streams and stream not in self.streams:
            return False
        return not self.categories or stream.partition("/")[0] in self.categories

    def takes(self, type_: str, envelope: Envelope) -> bool:
        """The second step, of an event in a stream that is taken."""
        return (
            (not self.types or type_ in self.types)
            and (not self.actors or envelope.actor in self.actors)
            and (not self.correlations or envelope.correlation in self.correlations)
        )

    def matches(self, event: RecordedEvent) -> bool:
        """Both steps."""
        return self.takes_stream(event.stream) and self.takes(event.type, event.envelope)

    @cached_property
    def in_categories(self) -> frozenset[str]:
        """The categories in which anything can match; none where every category can."""
        named = frozenset(StreamId.parse(stream).category for stream in self.streams)
        if self.categories and named:
            return self.categories & named
        return self.categories or named

    @cached_property
    def inside(self) -> bool:
        """Whether the second step has anything to ask."""
        return bool(self.types or self.actors or self.correlations)

    @cached_property
    def keys(self) -> frozenset[bytes] | None:
        """The streams' names as the order holds them, None for all."""
        return frozenset(stream.encode() for stream in self.streams) if self.streams else None


EVERYTHING = Filter()
