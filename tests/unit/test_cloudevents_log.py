from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka
from cloudevents.core.formats.json import JSONFormat

from bridge import present
from bridge.api import cloudevents as over_http
from bridge.events import Envelope, RecordedEvent
from bridge.feed.order import Unreadable
from bridge.log import cloudevents
from bridge.log.producer import Outgoing

TIME = 1_700_000_000_000_001
DATA: list[dict[str, Any]] = [
    {"amount": 7, "memo": "ü", "nothing": None},
    {"at": datetime(2024, 5, 1, 12, 30, tzinfo=UTC), "raw": b"\0\xff", "price": Decimal("10.250")},
    {"id": UUID(int=5), "odd": [float("nan"), float("inf")], "notes": {"a": {"b": [1, 2]}}},
]


def event(data: dict[str, Any], correlation: str = "", actor: str = "ann") -> RecordedEvent:
    envelope = Envelope(actor, TIME, correlation)
    return RecordedEvent("account/a/b", 3, "Deposited", data, envelope, bytes(16), 2, 1, 40, TIME + 5, TIME, 1)


def received(sent: Outgoing) -> Any:
    headers = {name: value for name, value in sent.headers if isinstance(value, bytes)}
    return from_kafka(KafkaMessage(headers, sent.key, sent.value), JSONFormat())


@pytest.mark.parametrize("data", DATA)
def test_a_record_says_what_the_api_says(data: dict[str, Any]) -> None:
    one = event(data, "c1")
    sent = cloudevents.outgoing("copies", one, cloudevents.json_value(one), cloudevents.JSON)
    assert (sent.topic, sent.partition, sent.key) == ("copies", -1, b"account/a/b")
    told = msgspec.to_builtins(over_http.of_event(one))
    found = received(sent)
    assert msgspec.json.decode(sent.value) == msgspec.json.decode(msgspec.json.encode(told.pop("data")))
    assert found.get_time() == datetime.fromisoformat(told.pop("time"))
    expected = {name: str(value) for name, value in told.items()}
    attributes = {name: str(value) for name, value in found.get_attributes().items()}
    assert attributes.pop("partitionkey") == one.stream
    assert attributes.pop("time")
    assert attributes == expected


def test_attributes_without_a_value_are_left_out() -> None:
    names = dict(cloudevents.outgoing("t", event({}, actor=""), b"{}", cloudevents.JSON).headers)
    assert not {"ce_correlationid", "ce_causationid", "ce_actor"} & names.keys()
    assert names[cloudevents.ID] == f"{'00' * 16}:2".encode()


def test_avro_bytes_stay_as_they_are() -> None:
    sent = cloudevents.outgoing("t", event({}), b"\0\0\0\0\1abc", cloudevents.AVRO)
    assert sent.value == b"\0\0\0\0\1abc"
    assert dict(sent.headers)["content-type"] == b"application/avro"


@pytest.mark.parametrize("data", DATA)
def test_the_text_of_many_streams_is_that_of_one_with_its_stream(data: dict[str, Any]) -> None:
    one = event(data)
    found = msgspec.json.decode(present.encode_found(one))
    assert found.pop("stream") == one.stream
    assert found == msgspec.json.decode(msgspec.json.encode(present.of_event(one)))


def test_an_event_that_cannot_be_read_as_a_cloudevent() -> None:
    one = Unreadable("account/a", 3, bytes(16), 2, 1, 40, TIME, "no such schema")
    found = over_http.of_found(one)
    assert (found.type, found.id, found.data) == ("lighthouse.unreadable", one.id, {"error": "no such schema"})
