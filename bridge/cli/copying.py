"""Admitted events to another topic, as CloudEvents with JSON values; what it holds already is left out.

A stream is written up to its first event that cannot be decoded yet, so that its order is kept; once it can be, the
same command writes the rest.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from bridge.errors import Invalid
from bridge.feed.cursor import Point
from bridge.feed.filters import Filter
from bridge.feed.order import Found, Unreadable
from bridge.log import cloudevents
from bridge.log.headers import header_values
from bridge.log.producer import Delivered
from bridge.wiring import Platform

NAME = re.compile(r"[A-Za-z0-9._-]{1,249}")
KNOWN = 2_000_000
"""Records of the topic whose ids are compared, at most: 100 bytes each."""

FLYING = 5_000
"""Records on their way at once."""

Report = Callable[[int, int], None]


@dataclass
class Copied:
    """What became of the events; `held` were not written, for the `reason` of the first one."""

    written: int = 0
    known: int = 0
    held: int = 0
    reason: str = ""


def check_name(topic: str, prefix: str) -> None:
    """Raises Invalid for a name that no topic can have, or that is the platform's or Kafka's own."""
    if not NAME.fullmatch(topic) or topic in (".", ".."):
        raise Invalid("to-topic", f"{topic[:80]!r} is no topic's name: at most 249 of A-Z a-z 0-9 . _ -")
    if topic.startswith((f"{prefix}.", "__")):
        raise Invalid(
            "to-topic", f"topics that begin with {prefix}. or __ have owners of their own; choose another name"
        )


async def copy(
    platform: Platform, topic: str, wanted: Filter, start: Point, until: int | None, report: Report
) -> Copied:
    """Writes the events from a place on, to a time or to the present; makes the topic where it is missing.

    Raises NotFound, Unavailable, Unknown, and LighthouseError where the topic holds too much to be compared.
    """
    merge = platform.feed.merge(platform.feed.spaces(wanted), wanted)
    spec = await platform.base.topics.copy_spec(topic, platform.base.settings.partitions)
    new = await platform.base.topics.ensure([spec])
    writer = _Writer(platform, topic, set() if new else await _known(platform, topic))
    await merge.seek(start)
    end = await platform.feed.present(merge) if until is None else until
    async for batch in platform.feed.batches(merge, end):
        for _, event in batch.events:
            await writer.write(event)
        if batch.events:
            report(writer.seen, batch.events[-1][1].effective)
    await writer.finish()
    return writer.copied


async def _known(platform: Platform, topic: str) -> set[bytes]:
    """The ids of the events that the topic holds."""
    count = (await platform.base.topics.facts([topic]))[topic].partitions
    return await asyncio.to_thread(header_values, platform.base.settings, topic, count, cloudevents.ID, KNOWN)


@dataclass
class _Writer:
    """Writes events that the topic does not hold, in their order, so many at once."""

    platform: Platform
    topic: str
    ids: set[bytes]
    copied: Copied = field(default_factory=Copied)
    _held: set[str] = field(default_factory=set)
    _flying: deque[asyncio.Future[Delivered]] = field(default_factory=deque)

    @property
    def seen(self) -> int:
        """Events so far."""
        return self.copied.written + self.copied.known + self.copied.held

    async def write(self, event: Found) -> None:
        if isinstance(event, Unreadable) or event.stream in self._held:
            self._hold(event)
            return
        if event.id.encode() in self.ids:
            self.copied.known += 1
            return
        value = cloudevents.json_value(event)
        self._flying.append(
            self.platform.producer.send(cloudevents.outgoing(self.topic, event, value, cloudevents.JSON))
        )
        self.copied.written += 1
        if len(self._flying) >= FLYING:
            await self._flying.popleft()

    def _hold(self, event: Found) -> None:
        self._held.add(event.stream)
        self.copied.held += 1
        if isinstance(event, Unreadable) and not self.copied.reason:
            self.copied.reason = event.error

    async def finish(self) -> None:
        """Waits for what is on its way."""
        while self._flying:
            await self._flying.popleft()
