"""Event types' own schemas: complete, and the bytes of an append's events are theirs."""

from __future__ import annotations

import io
from typing import Any

from fastavro import parse_schema, schemaless_reader

from bridge.events import Envelope
from bridge.log.avro import CategorySchema, decode, encode
from bridge.log.compose import compose
from bridge.log.envelope import read_long
from bridge.log.published import event_schemas, subject, topic

MONEY = {
    "type": "record",
    "name": "Money",
    "fields": [
        {"name": "amount", "type": "long"},
        {"name": "unit", "type": {"type": "enum", "name": "other.Unit", "symbols": ["EUR", "CHF"]}},
    ],
}


def event(name: str, *fields: dict[str, Any]) -> dict[str, Any]:
    return {"type": "record", "name": name, "namespace": "lighthouse.bill", "version": 1, "fields": list(fields)}


BILL = compose(
    "bill",
    [
        event("Billed", {"name": "sum", "type": MONEY}, {"name": "tip", "type": ["null", "Money"]}),
        event(
            "Paid",
            {"name": "sums", "type": {"type": "array", "items": "Money"}},
            {"name": "more", "type": {"type": "map", "values": "lighthouse.bill.Money"}},
            {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
            {"name": "unit", "type": "other.Unit"},
        ),
        event("Closed", {"name": "unit", "type": ["null", "other.Unit"]}, {"name": "note", "type": "string"}),
    ],
)
TIP = ["null", "lighthouse.bill.Money"]
VALUES: list[dict[str, Any]] = [
    {"sum": {"amount": 5, "unit": "EUR"}, "tip": {"amount": 1, "unit": "CHF"}},
    {"sums": [{"amount": 6, "unit": "CHF"}], "more": {"x": {"amount": 7, "unit": "EUR"}}, "at": 9, "unit": "EUR"},
    {"unit": "CHF", "note": "n"},
]


def test_each_is_read_alone() -> None:
    category = CategorySchema(1, BILL)
    branches = [(branch, value) for branch, value in zip(category.branches, VALUES, strict=True)]
    found = decode(category, encode(category, Envelope("ann", 1), list(branches)), 3)
    for own, slice_, value in zip(event_schemas(BILL), found.events, VALUES, strict=True):
        body = slice_.raw[read_long(slice_.raw, 0)[1] :]
        read: Any = schemaless_reader(io.BytesIO(body), parse_schema(own), None)
        assert {**read, "at": value.get("at")} == {**value, "at": value.get("at")}


def test_what_names_nothing_else_is_as_it_was() -> None:
    plain = event("Noted", {"name": "text", "type": "string", "doc": "What."}, {"name": "n", "type": ["null", "int"]})
    assert event_schemas(compose("bill", [plain])) == [plain]


def test_the_registry_s_way_to_write_it_makes_no_difference() -> None:
    """Apicurio leaves out a namespace that is inherited, and splits a name with dots."""
    money: dict[str, Any] = {**MONEY, "namespace": "lighthouse.bill"}
    told: dict[str, Any] = compose("bill", [{**one} for one in BILL["fields"][-1]["type"]["items"]])
    for one in told["fields"][-1]["type"]["items"]:
        del one["namespace"]
    told["fields"][-1]["type"]["items"][0]["fields"] = [{"name": "sum", "type": money}, {"name": "tip", "type": TIP}]
    assert event_schemas(told) == event_schemas(BILL)
    assert all(one["namespace"] == "lighthouse.bill" for one in event_schemas(told))


def test_names() -> None:
    assert topic("lighthouse", "bill") == "lighthouse.bill.events"
    assert subject("lighthouse", "bill", "Paid") == "lighthouse.bill.events-Paid"
