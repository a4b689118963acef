"""What a person or a program is shown: nouns as JSON-like values with the names of the HTTP contract (DESIGN 8)."""

from __future__ import annotations

from typing import Any

from bridge import states
from bridge.events import RecordedEvent
from bridge.history.reader import Diff, StateAt
from bridge.times import rfc3339

Json = dict[str, Any]


def event(recorded: RecordedEvent) -> Json:
    """One admitted event."""
    envelope = recorded.envelope
    return {
        "id": recorded.id,
        "stream": recorded.stream,
        "version": recorded.version,
        "type": recorded.type,
        "data": states.plain(recorded.data),
        "effective_time": rfc3339(recorded.effective),
        "event_time": rfc3339(envelope.time),
        "actor": envelope.actor,
        "correlation": envelope.correlation,
        "causation": envelope.causation,
        "metadata": dict(envelope.metadata),
        "partition": recorded.partition,
        "offset": recorded.offset,
    }


def state(found: StateAt, as_of: int | None) -> Json:
    """A state with the version it belongs to."""
    asked = rfc3339(as_of) if as_of is not None else None
    plain = states.plain(found.state)
    return {"stream": found.stream, "version": found.version, "as_of": asked, "final": found.final, "state": plain}


def diff(found: Diff) -> Json:
    """A difference of two states with the events between."""
    return {
        "stream": found.stream,
        "from_version": found.before,
        "to_version": found.after,
        "patch": found.patch,
        "events": [event(one) for one in found.events],
    }
