from __future__ import annotations

from typing import Any

import pytest

from bridge.errors import SchemaError, TooLarge, Undecodable
from bridge.events import Envelope
from bridge.log.avro import MAX_ENVELOPE, CategorySchema, decode, encode, read_envelope, read_event
from bridge.log.compose import compose
from bridge.log.envelope import zigzag
from bridge.log.record import PREFIX
from tests.model.world import COMPOSED

SCHEMA = CategorySchema(7, COMPOSED)
DEPOSITED, WITHDRAWN = SCHEMA.by_type["Deposited"], SCHEMA.by_type["Withdrawn"]
ENVELOPE = Envelope("ann", 1_700_000_000_000_001, "c", "d", {"k": "v"})
VALUE = encode(SCHEMA, ENVELOPE, [(DEPOSITED, {"amount": 3, "memo": "m"}), (WITHDRAWN, {"amount": 2})])
HEAD = VALUE[: VALUE.index(zigzag(2) + zigzag(DEPOSITED.index))]
"""The value up to its array."""


def test_what_is_written_is_read() -> None:
    decoded = decode(SCHEMA, VALUE, 2)
    assert [(one.branch.type, one.data) for one in decoded.events] == [
        ("Deposited", {"amount": 3, "memo": "m"}),
        ("Withdrawn", {"amount": 2}),
    ]
    assert decoded.said == ENVELOPE
    assert read_envelope(decoded.envelope) == ENVELOPE
    assert PREFIX.unpack_from(VALUE) == (0, 7)


def test_each_event_is_read_from_its_own_bytes() -> None:
    for one in decode(SCHEMA, VALUE, 2).events:
        assert read_event(SCHEMA, one.raw) == one


@pytest.mark.parametrize("cut", range(5, len(VALUE)))
def test_every_cut_is_undecodable(cut: int) -> None:
    with pytest.raises(Undecodable):
        decode(SCHEMA, VALUE[:cut], 2)


@pytest.mark.parametrize("more", [b"\0", b"x", VALUE])
def test_bytes_behind_the_append_are_undecodable(more: bytes) -> None:
    with pytest.raises(Undecodable, match="stand behind"):
        decode(SCHEMA, VALUE + more, 2)


@pytest.mark.parametrize("count", [0, 1, 3, 1000])
def test_another_count_is_undecodable(count: int) -> None:
    with pytest.raises(Undecodable, match=rf"holds 2 events, the header says {count}"):
        decode(SCHEMA, VALUE, count)


@pytest.mark.parametrize("number", [len(SCHEMA.branches), 2**40])
def test_an_unknown_event_type_is_undecodable(number: int) -> None:
    with pytest.raises(Undecodable, match="no event type number"):
        decode(SCHEMA, HEAD + zigzag(1) + zigzag(number) + b"\2\0", 1)


def test_a_negative_event_type_is_undecodable() -> None:
    with pytest.raises(Undecodable, match="no event type number -1"):
        decode(SCHEMA, HEAD + zigzag(1) + b"\1\2\0", 1)


def test_an_endless_number_is_undecodable_at_once() -> None:
    """Python's integers have no end: four megabytes of 0xff would be an afternoon of shifting."""
    with pytest.raises(Undecodable, match="more than ten bytes"):
        decode(SCHEMA, HEAD + b"\xff" * 200_000, 1)


def test_more_events_than_the_header_says_are_not_even_read() -> None:
    """Two bytes an event: four megabytes would become two million objects before they were counted."""
    value = HEAD + zigzag(100_000) + zigzag(WITHDRAWN.index) + b"\2"
    with pytest.raises(Undecodable, match="holds 100000 events, the header says 1"):
        decode(SCHEMA, value, 1)


def test_text_that_is_no_utf8_is_undecodable() -> None:
    with pytest.raises(Undecodable, match="UnicodeDecodeError"):
        decode(SCHEMA, VALUE.replace(b"\2m", b"\2\xff"), 2)


@pytest.mark.parametrize(
    "data", [{}, {"amount": "3"}, {"amount": None}, {"amount": 2**63}, {"amount": 1, "memo": 5}, {"memo": "x"}]
)
def test_an_event_that_does_not_fit_its_type(data: dict[str, Any]) -> None:
    with pytest.raises(SchemaError, match="does not fit its type Deposited"):
        encode(SCHEMA, ENVELOPE, [(DEPOSITED, data)])


@pytest.mark.parametrize(
    "envelope",
    [Envelope("\ud800", 0), Envelope("ann", 2**63), Envelope("ann", 0, metadata={"k": 5})],  # type: ignore[dict-item]
)
def test_an_envelope_that_does_not_fit_its_type(envelope: Envelope) -> None:
    with pytest.raises(SchemaError, match="the envelope does not fit"):
        encode(SCHEMA, envelope, [(DEPOSITED, {"amount": 1})])


def test_the_longest_envelope() -> None:
    """The history keeps the envelope with each event, its length in two bytes."""
    size = MAX_ENVELOPE - len(zigzag(MAX_ENVELOPE)) - len(b"\0\0\0\0")
    longest = encode(SCHEMA, Envelope("a" * size, 0), [(DEPOSITED, {"amount": 1})])
    assert len(decode(SCHEMA, longest, 1).envelope) == MAX_ENVELOPE
    with pytest.raises(TooLarge, match="65536 bytes"):
        encode(SCHEMA, Envelope("a" * (size + 1), 0), [(DEPOSITED, {"amount": 1})])


def test_a_longer_envelope_of_a_foreign_producer_is_undecodable() -> None:
    value = SCHEMA.prefix + zigzag(70_000) + b"a" * 70_000 + b"\0\0\0\0" + VALUE[len(HEAD) :]
    with pytest.raises(Undecodable, match="envelope has"):
        decode(SCHEMA, value, 2)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "record", "name": "Other", "fields": []},
        {**COMPOSED, "fields": COMPOSED["fields"][:-1]},
        {**COMPOSED, "fields": list(reversed(COMPOSED["fields"]))},
        {},
    ],
)
def test_a_schema_that_is_no_append(schema: dict[str, Any]) -> None:
    with pytest.raises(SchemaError, match="is not an Append of this format"):
        CategorySchema(1, schema)


def test_branches_are_named_shortly_and_versioned() -> None:
    schema = CategorySchema(1, compose("x", [{**event(name), "version": 3} for name in ("B", "A")]))
    assert [(one.type, one.version, one.index) for one in schema.branches] == [("B", 3, 0), ("A", 3, 1)]


def event(name: str) -> dict[str, Any]:
    return {"type": "record", "name": name, "namespace": "lighthouse.x", "fields": []}
