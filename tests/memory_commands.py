"""The platform in one dictionary: decides, encodes with the real schemas, decodes and folds; no Kafka."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from bridge.decider import Decider, fold
from bridge.events import MAX_BYTES, MAX_EVENTS, Appended, Envelope, Position
from bridge.handle import Context
from bridge.log.avro import Branch, CategorySchema, Slice, decode, encode
from bridge.log.compose import load

SCHEMAS = Path(__file__).parent.parent / "schemas"


@dataclass
class MemoryCommands:
    """Commands and states of one category. `states` holds every state in which an append left a stream."""

    decider: Decider[Any, Any, Any]
    folder: Path
    appends: dict[str, list[tuple[Context, list[Any]]]] = field(default_factory=lambda: defaultdict(list))
    states: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    heads: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    _answers: dict[tuple[str, str, str | None], tuple[Any, Appended]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.schema = CategorySchema(1, load(self.decider.category, self.folder))
        self._types = {event.__name__: event for event in self.decider.events}

    async def execute(self, stream: str, command: Any, context: Context) -> Appended:
        """As the real one: a key that comes again gets the first answer."""
        key = (stream, context.actor, context.key)
        if context.key and key in self._answers:
            before, answer = self._answers[key]
            assert before == command, "one key with two bodies"
            return Appended(
                answer.stream, answer.first_version, answer.last_version, answer.position, answer.append, duplicate=True
            )
        answer = self._append(stream, command, context)
        self._answers[key] = (command, answer)
        return answer

    async def state(self, stream: str) -> Any:
        """The stream's last state, None for a stream without events."""
        return self.states[stream][-1] if self.states[stream] else None

    def events(self, stream: str) -> Iterator[Any]:
        """All events of a stream."""
        for _, events in self.appends[stream]:
            yield from events

    def _append(self, stream: str, command: Any, context: Context) -> Appended:
        before = self.states[stream][-1] if self.states[stream] else self.decider.initial
        events = self._through_avro(self.decider.decide(command, before), context)
        self.appends[stream].append((context, events))
        self.states[stream].append(fold(self.decider, before, events))
        first, self.heads[stream] = self.heads[stream], self.heads[stream] + len(events)
        return Appended(stream, first, self.heads[stream] - 1, Position("memory", 0, 0), b"")

    def _through_avro(self, events: Sequence[Any], context: Context) -> list[Any]:
        assert len(events) <= MAX_EVENTS, f"{len(events)} events do not fit into an append"
        branches: list[tuple[Branch, Mapping[str, Any]]] = [
            (self.schema.by_type[type(event).__name__], asdict(event)) for event in events
        ]
        value = encode(self.schema, Envelope(context.actor, context.time or 0), branches)
        assert len(value) <= MAX_BYTES, f"{len(value)} bytes do not fit into an append"
        return [self._event(slice) for slice in decode(self.schema, value, len(events)).events]

    def _event(self, slice: Slice) -> Any:
        return msgspec.convert(slice.data, self._types[slice.branch.type])
