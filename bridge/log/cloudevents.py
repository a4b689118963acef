"""Admitted events for other programs: CloudEvents 1.0 in Kafka's binary mode, one record an event.

The key is the stream, so that a topic keeps each stream's order; `ce_id` is the event's id, the same whoever writes it
and however often, so that a repeat can be recognised. The attributes are those of CloudEvents over HTTP.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
from cloudevents.core.bindings.kafka import to_binary
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from bridge.events import RecordedEvent, StreamId
from bridge.log.producer import Headers, Outgoing
from bridge.times import EPOCH, rfc3339

ID = "ce_id"
JSON = "application/json"
AVRO = "application/avro"

_format = JSONFormat()
_encode = msgspec.json.Encoder().encode


def outgoing(topic: str, event: RecordedEvent, value: bytes, content_type: str) -> Outgoing:
    """The record of one event. `value` are its fields as `content_type` says, e.g. `json_value(event)` as JSON."""
    message = to_binary(CloudEvent(_attributes(event, content_type), value), _format, lambda _: event.stream)
    headers: Headers = list(message.headers.items())
    return Outgoing(topic, -1, event.stream.encode(), message.value, headers)


def json_value(event: RecordedEvent) -> bytes:
    """The event's fields as JSON, as the API shows them."""
    return _encode(event.data)


def _attributes(event: RecordedEvent, content_type: str) -> dict[str, Any]:
    """All of them; those without a value are left out."""
    envelope = event.envelope
    attributes = {
        "specversion": "1.0",
        "id": event.id,
        "source": f"/v1/streams/{event.stream}",
        "type": f"lighthouse.{StreamId.parse(event.stream).category}.{event.type}",
        "subject": event.stream,
        "time": EPOCH + timedelta(microseconds=envelope.time),
        "datacontenttype": content_type,
        "streamversion": str(event.version),
        "effectivetime": rfc3339(event.effective),
        "actor": envelope.actor,
        "partition": str(event.partition),
        "offset": str(event.offset),
        "correlationid": envelope.correlation,
        "causationid": envelope.causation,
    }
    return {name: value for name, value in attributes.items() if value != ""}
