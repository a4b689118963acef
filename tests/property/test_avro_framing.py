"""Our framing of the array of events against fastavro's encoding of the whole `Append`."""

from __future__ import annotations

import io
import string
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from fastavro import parse_schema, schemaless_reader, schemaless_writer
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.errors import Undecodable
from bridge.events import Envelope
from bridge.log.avro import Branch, CategorySchema, decode, encode, read_envelope, read_event
from bridge.log.compose import compose
from bridge.log.envelope import read, write, zigzag

PATIENT = settings(deadline=None)

RICH: list[dict[str, Any]] = [
    {
        "type": "record",
        "name": "Measured",
        "namespace": "lighthouse.rich",
        "fields": [
            {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["HOT", "COLD"]}},
            {"name": "hash", "type": {"type": "fixed", "name": "Hash", "size": 4}},
            {"name": "value", "type": "double"},
            {"name": "small", "type": "int"},
            {"name": "sure", "type": "boolean"},
        ],
    },
    {
        "type": "record",
        "name": "Noted",
        "namespace": "lighthouse.rich",
        "fields": [
            {"name": "kind", "type": "Kind"},
            {"name": "hash", "type": ["null", "Hash"], "default": None},
            {"name": "notes", "type": {"type": "map", "values": {"type": "array", "items": "string"}}},
            {"name": "raw", "type": "bytes"},
        ],
    },
    {
        "type": "record",
        "name": "Timed",
        "namespace": "lighthouse.rich",
        "fields": [
            {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
            {"name": "day", "type": {"type": "int", "logicalType": "date"}},
            {"name": "next", "type": ["null", "Timed"], "default": None},
        ],
    },
    {"type": "record", "name": "Empty", "namespace": "lighthouse.rich", "fields": []},
]
COMPOSED = compose("rich", RICH)
SCHEMA = CategorySchema(9, COMPOSED)
WHOLE = parse_schema(COMPOSED)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
KINDS, HASHES = st.sampled_from(["HOT", "COLD"]), st.binary(min_size=4, max_size=4)
TIMES = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))
TIMED = st.recursive(
    st.fixed_dictionaries({"at": TIMES, "day": st.dates(date(1900, 1, 1)), "next": st.none()}),
    lambda timed: st.fixed_dictionaries({"at": TIMES, "day": st.dates(date(1900, 1, 1)), "next": timed}),
    max_leaves=3,
)
FIELDS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "Measured": st.fixed_dictionaries(
        {
            "kind": KINDS,
            "hash": HASHES,
            "value": st.floats(allow_nan=False),
            "small": st.integers(-(2**31), 2**31 - 1),
            "sure": st.booleans(),
        }
    ),
    "Noted": st.fixed_dictionaries(
        {
            "kind": KINDS,
            "hash": st.none() | HASHES,
            "notes": st.dictionaries(TEXT, st.lists(TEXT, max_size=3), max_size=3),
            "raw": st.binary(max_size=9),
        }
    ),
    "Timed": TIMED,
    "Empty": st.just({}),
}
EVENT = st.sampled_from(sorted(FIELDS)).flatmap(lambda name: st.tuples(st.just(name), FIELDS[name]))
EVENTS = st.lists(EVENT, min_size=1, max_size=6)
ENVELOPES = st.builds(
    Envelope,
    TEXT,
    st.integers(-(2**53), 2**53),
    TEXT,
    TEXT,
    st.dictionaries(TEXT, st.text(string.printable, max_size=9), max_size=3),
)
Named = list[tuple[str, dict[str, Any]]]


def branched(events: Named) -> list[tuple[Branch, Mapping[str, Any]]]:
    return [(SCHEMA.by_type[name], data) for name, data in events]


def whole(envelope: Envelope, events: Named) -> bytes:
    """As any Avro library writes it, with no knowledge of how we frame."""
    out = io.BytesIO(b"")
    fields = {
        "actor": envelope.actor,
        "time": envelope.time,
        "correlation": envelope.correlation,
        "causation": envelope.causation,
        "metadata": envelope.metadata,
        "events": [(f"lighthouse.rich.{name}", data) for name, data in events],
    }
    schemaless_writer(out, WHOLE, fields)
    return b"\0" + (9).to_bytes(4, "big") + out.getvalue()


@PATIENT
@given(ENVELOPES, EVENTS)
def test_the_bytes_are_those_of_the_whole_append(envelope: Envelope, events: Named) -> None:
    assert encode(SCHEMA, envelope, branched(events)) == whole(envelope, events)


@PATIENT
@given(ENVELOPES, EVENTS)
def test_decoding_undoes_encoding(envelope: Envelope, events: Named) -> None:
    decoded = decode(SCHEMA, encode(SCHEMA, envelope, branched(events)), len(events))
    assert [(one.branch.type, one.data) for one in decoded.events] == events
    assert read_envelope(decoded.envelope) == envelope
    assert decoded.said == envelope
    assert [read_event(SCHEMA, one.raw) for one in decoded.events] == decoded.events


@PATIENT
@given(ENVELOPES, EVENTS, st.data())
def test_any_blocks_are_read_as_one_array(envelope: Envelope, events: Named, data: st.DataObject) -> None:
    """Avro lets a writer cut an array into blocks, and say a block's size before it (count below zero)."""
    value = encode(SCHEMA, envelope, branched(events))
    straight = decode(SCHEMA, value, len(events))
    cut = value[: 5 + len(straight.envelope)]
    rest = [one.raw for one in straight.events]
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        block, rest = b"".join(rest[:size]), rest[size:]
        sized = data.draw(st.booleans())
        cut += long(-size) + zigzag(len(block)) + block if sized else long(size) + block
    cut += b"\0"
    assert decode(SCHEMA, cut, len(events)) == straight
    read: Any = schemaless_reader(io.BytesIO(cut[5:]), WHOLE, None)
    assert len(read["events"]) == len(events)


def long(number: int) -> bytes:
    """An Avro long of either sign, as fastavro writes it."""
    out = io.BytesIO()
    schemaless_writer(out, parse_schema("long"), number)
    return out.getvalue()


@PATIENT
@given(st.integers(0, 2**62))
def test_zigzag_is_avros(number: int) -> None:
    assert zigzag(number) == long(number)


@PATIENT
@given(ENVELOPES, EVENTS)
def test_every_cut_is_undecodable(envelope: Envelope, events: Named) -> None:
    value = encode(SCHEMA, envelope, branched(events))
    for size in range(5, len(value)):
        assert undecodable(value[:size], len(events)), f"cut at {size} of {len(value)}"


@PATIENT
@given(ENVELOPES, EVENTS, st.binary(min_size=1, max_size=20))
def test_bytes_behind_are_undecodable(envelope: Envelope, events: Named, more: bytes) -> None:
    assert undecodable(encode(SCHEMA, envelope, branched(events)) + more, len(events))


@PATIENT
@given(ENVELOPES, EVENTS, st.integers(0, 10))
def test_a_wrong_count_is_undecodable(envelope: Envelope, events: Named, count: int) -> None:
    value = encode(SCHEMA, envelope, branched(events))
    assert undecodable(value, count) == (count != len(events))


@PATIENT
@given(st.binary(max_size=200), st.integers(1, 5))
def test_garbage_is_decoded_or_undecodable_and_nothing_else(garbage: bytes, count: int) -> None:
    try:
        decoded = decode(SCHEMA, SCHEMA.prefix + garbage, count)
    except Undecodable:
        return
    assert len(decoded.events) == count


@PATIENT
@given(ENVELOPES, st.lists(EVENT, min_size=1, max_size=3), st.data())
def test_a_changed_byte_is_decoded_or_undecodable(envelope: Envelope, events: Named, data: st.DataObject) -> None:
    value = bytearray(encode(SCHEMA, envelope, branched(events)))
    value[data.draw(st.integers(5, len(value) - 1))] = data.draw(st.integers(0, 255))
    try:
        decoded = decode(SCHEMA, bytes(value), len(events))
    except Undecodable:
        return
    raws = b"".join(one.raw for one in decoded.events)
    assert raws in bytes(value) or len(decoded.events) > 1


def undecodable(value: bytes, count: int) -> bool:
    try:
        decode(SCHEMA, value, count)
    except Undecodable:
        return True
    return False


def test_dates_are_those_of_utc() -> None:
    at = datetime(2024, 2, 29, 12, tzinfo=UTC) + timedelta(microseconds=1)
    events: Named = [("Timed", {"at": at, "day": at.date(), "next": None})]
    assert decode(SCHEMA, encode(SCHEMA, Envelope("a", 0), branched(events)), 1).events[0].data["at"] == at


@PATIENT
@given(ENVELOPES)
def test_reading_an_envelope_undoes_writing_it(envelope: Envelope) -> None:
    raw = write(envelope)
    assert read(raw, 0) == (envelope, len(raw))
