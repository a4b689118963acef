"""Positions as opaque tokens: what an answer has seen, and what the next call waits for (read your writes)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec

from bridge.errors import Invalid
from bridge.events import Position
from bridge.log.topics import TopicFacts
from bridge.opaque import opaque, value_of
from bridge.spaces import Spaces

AT_LEAST = "Lighthouse-At-Least"

Offset = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_decoder = msgspec.msgpack.Decoder(dict[str, dict[int, Offset]])


class Tokens:
    """Tokens of this platform's topics. A token names topics by Kafka's own ids, so that one of a topic that was
    deleted and made again, or of another cluster, is refused instead of waited for.
    """

    def __init__(self, facts: Mapping[str, TopicFacts], spaces: Spaces) -> None:
        self._spaces = spaces
        self._ids = {fact.name: fact.topic_id for fact in facts.values()}
        self._categories = {fact.topic_id: category for category, fact in facts.items()}

    def token(self, *positions: Position) -> str:
        """The token of some positions, of which no two lie in one partition."""
        told: dict[str, dict[int, int]] = {}
        for position in positions:
            told.setdefault(self._ids[position.topic], {})[position.partition] = max(0, position.offset)
        return opaque(told)

    async def reach(self, tokens: Sequence[str], timeout: float) -> None:
        """Waits until the history has passed all positions of the tokens. Raises Invalid, NotReached."""
        wanted = self.wanted(tokens)
        deadline = asyncio.get_running_loop().time() + timeout
        for (category, partition), offset in wanted.items():
            left = deadline - asyncio.get_running_loop().time()
            await self._spaces.at(category, partition).store.wait(offset, max(0.0, left))

    def wanted(self, tokens: Sequence[str]) -> dict[tuple[str, int], int]:
        """The positions that tokens name, by category and partition, each as far as any of them. Raises Invalid."""
        wanted: dict[tuple[str, int], int] = {}
        for part in (part.strip() for token in tokens for part in token.split(",")):
            for where, offset in self._parse(part).items():
                wanted[where] = max(offset, wanted.get(where, 0))
        return wanted

    def _parse(self, token: str) -> dict[tuple[str, int], int]:
        told = _decoded(token)
        return {
            (self._category(topic), self._partition(topic, number)): offset
            for topic, offsets in told.items()
            for number, offset in offsets.items()
        }

    def _category(self, topic: str) -> str:
        if topic not in self._categories:
            raise Invalid(AT_LEAST, f"the position belongs to topic {topic[:40]!r}, which is none of this platform's")
        return self._categories[topic]

    def _partition(self, topic: str, number: int) -> int:
        count = self._spaces.categories[self._category(topic)]
        if not 0 <= number < count:
            raise Invalid(AT_LEAST, f"the position names partition {number} of {count}")
        return number


def _decoded(token: str) -> dict[str, dict[int, int]]:
    try:
        return value_of(token, _decoder)
    except ValueError:
        raise Invalid(AT_LEAST, f"{token[:40]!r} is no position that a {AT_LEAST} can name") from None
