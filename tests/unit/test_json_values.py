"""JSON values to Avro values and back: what is taken, what is refused, and where."""

from __future__ import annotations

import io
import math
from contextlib import suppress
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from fastavro import parse_schema, schemaless_reader, schemaless_writer
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import Invalid
from bridge.log.json_values import from_json, instant, to_json
from bridge.times import FIRST, LAST, rfc3339

MICROS = {"type": "long", "logicalType": "timestamp-micros"}
MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
LOCAL = {"type": "long", "logicalType": "local-timestamp-micros"}
DATE = {"type": "int", "logicalType": "date"}
TIME = {"type": "long", "logicalType": "time-micros"}
TIME_MILLIS = {"type": "int", "logicalType": "time-millis"}
UUID_TEXT = {"type": "string", "logicalType": "uuid"}
MONEY = {"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 2}
SMALL = {"type": "fixed", "name": "Small", "size": 1, "logicalType": "decimal", "precision": 2, "scale": 0}
COLOUR = {"type": "enum", "name": "Colour", "symbols": ["red", "green"]}
PAIR = {"type": "fixed", "name": "Pair", "size": 2}
TREE = {
    "type": "record",
    "name": "Tree",
    "fields": [
        {"name": "colour", "type": COLOUR, "default": "red"},
        {"name": "below", "type": ["null", {"type": "array", "items": "Tree"}], "default": None},
        {"name": "again", "type": ["null", "Colour"], "default": None},
    ],
}


def record(field: Any, **more: Any) -> Any:
    return {"type": "record", "name": "t.R", "fields": [{"name": "f", "type": field, **more}]}


def stored(field: Any, value: Any) -> Any:
    """The value after from_json, Avro's bytes, and back."""
    schema = parse_schema(record(field), {})
    out = io.BytesIO()
    schemaless_writer(out, schema, from_json(schema, {"f": value}))
    out.seek(0)
    return schemaless_reader(out, schema, None)["f"]  # type: ignore[call-overload,index]


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("null", None, None),
        ("boolean", True, True),
        ("int", -(2**31), -(2**31)),
        ("long", 2**63 - 1, 2**63 - 1),
        ("double", 1, 1.0),
        ("float", 0.5, 0.5),
        ("string", "h\u00e9\0", "h\u00e9\0"),
        ("bytes", "aGk=", b"hi"),
        (PAIR, "aGk=", b"hi"),
        (COLOUR, "green", "green"),
        (MICROS, "2026-01-31T12:30:00.123456+02:00", datetime(2026, 1, 31, 10, 30, 0, 123456, tzinfo=UTC)),
        (MICROS, 0, datetime(1970, 1, 1, tzinfo=UTC)),
        (MICROS, FIRST, datetime.min.replace(tzinfo=UTC)),
        (MICROS, LAST, datetime.max.replace(tzinfo=UTC)),
        (MILLIS, "1969-12-31T23:59:59.999Z", datetime(1969, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)),
        (LOCAL, "2026-01-31T12:30:00", datetime(2026, 1, 31, 12, 30)),
        (DATE, "2026-01-31", date(2026, 1, 31)),
        (DATE, 0, date(1970, 1, 1)),
        (TIME, "12:30:00.5", time(12, 30, 0, 500000)),
        (TIME_MILLIS, "12:30:00.5", time(12, 30, 0, 500000)),
        (UUID_TEXT, "12345678123456781234567812345678", UUID("12345678123456781234567812345678")),
        (MONEY, "-10.25", Decimal("-10.25")),
        (MONEY, 1e3, Decimal(1000)),
        (MONEY, "0E+99999999", Decimal(0)),
        (SMALL, 99, Decimal(99)),
        (["null", "string"], None, None),
        (["null", MICROS], 1, datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=UTC)),
        (["string", "long"], 5, 5),
        (["null", "bytes", "string"], "hi", "hi"),
        (["null", "bytes", "string"], {"string": "aGk="}, "aGk="),
        (["int", "string", COLOUR], {"t.Colour": "red"}, "red"),
        ({"type": "map", "values": "int"}, {"a": 1}, {"a": 1}),
        ({"type": "array", "items": ["null", "int"]}, [1, None], [1, None]),
    ],
)
def test_a_json_value_becomes_an_avro_value(field: Any, value: Any, expected: Any) -> None:
    found = stored(field, value)
    assert found == expected
    assert type(found) is type(expected)


def test_a_type_may_hold_itself_and_has_defaults() -> None:
    inner = {"colour": "red", "below": None, "again": "green"}
    assert stored(TREE, {"below": [{"again": "green"}]}) == {"colour": "red", "below": [inner], "again": None}


@pytest.mark.parametrize(
    ("field", "value", "path"),
    [
        ("null", 0, "f"),
        ("boolean", 1, "f"),
        ("int", True, "f"),
        ("int", 2**31, "f"),
        ("long", -(2**63) - 1, "f"),
        ("long", 1.0, "f"),
        ("long", "1", "f"),
        ("double", True, "f"),
        ("double", 10**400, "f"),
        ("double", math.nan, "f"),
        ("float", 1e39, "f"),
        ("string", 1, "f"),
        ("string", "\ud800", "f"),
        ("bytes", "a", "f"),
        ("bytes", "\u00e9", "f"),
        (PAIR, "aGkh", "f"),
        (COLOUR, "blue", "f"),
        (MICROS, "2026-01-31", "f"),
        (MICROS, "2026-01-31T12:30:00", "f"),
        (MICROS, LAST + 1, "f"),
        (MILLIS, FIRST, "f"),
        (MICROS, True, "f"),
        (LOCAL, "2026-01-31T12:30:00Z", "f"),
        (LOCAL, "x", "f"),
        (DATE, 2**31 - 1, "f"),
        (DATE, "x", "f"),
        (TIME, 86_400_000_000, "f"),
        (TIME, "12:30:00Z", "f"),
        (TIME, "x", "f"),
        (UUID_TEXT, "x", "f"),
        (MONEY, "10.255", "f"),
        (MONEY, "10000.00", "f"),
        (MONEY, "1E+99999999", "f"),
        (MONEY, "NaN", "f"),
        (MONEY, "x", "f"),
        (MONEY, None, "f"),
        ({**SMALL, "precision": 2, "scale": 1, "name": "Odd"}, "1E+2", "f"),
        (["null", "string"], 1, "f"),
        (["string", "long"], None, "f"),
        ({"type": "map", "values": "int"}, {"a": "x"}, "f.a"),
        ({"type": "map", "values": "int"}, [], "f"),
        ({"type": "array", "items": "int"}, [1, "x"], "f.1"),
        ({"type": "array", "items": "int"}, {}, "f"),
        (TREE, {"below": [{}, {"below": [{"colour": "blue"}]}]}, "f.below.1.below.0.colour"),
        (TREE, {"size": 1}, "f.size"),
        (record("int") | {"name": "Inner"}, {}, "f.f"),
        (record("int") | {"name": "Inner"}, [], "f"),
    ],
)
def test_what_a_type_does_not_hold_is_refused_with_its_path(field: Any, value: Any, path: str) -> None:
    schema = parse_schema(record(field), {})
    with pytest.raises(Invalid) as caught:
        from_json(schema, {"f": value}, "events.0.data")
    assert caught.value.path == f"events.0.data.{path}"


def test_the_characters_of_a_default_are_its_bytes() -> None:
    field = {"name": "g", "type": "string"}
    schema = record("bytes", default="\u00ff\0")
    schema["fields"].append(field)
    assert from_json(schema, {"g": ""}) == {"f": b"\xff\0", "g": ""}


def test_types_of_other_event_types_are_found_by_their_names() -> None:
    named: dict[str, Any] = {}
    parse_schema({"type": "record", "name": "t.A", "fields": [{"name": "c", "type": COLOUR}]}, named)
    second = parse_schema({"type": "record", "name": "t.B", "fields": [{"name": "c", "type": "Colour"}]}, named)
    assert from_json(second, {"c": "red"}) == {"c": "red"}


def test_a_schema_may_be_a_bare_name() -> None:
    assert from_json("long", 5) == 5


VALUES = st.fixed_dictionaries(
    {
        "b": st.binary(max_size=20),
        "t": st.none() | st.datetimes(timezones=st.just(UTC)),
        "d": st.dates(),
        "m": st.decimals(-9999, 9999, places=2),
        "u": st.uuids(),
        "x": st.floats(allow_nan=False, allow_infinity=False),
        "s": st.text(st.characters(exclude_categories=["Cs"])),
        "l": st.lists(st.integers(-(2**63), 2**63 - 1), max_size=3),
    }
)
FIELDS = {
    "b": "bytes",
    "t": ["null", MICROS],
    "d": DATE,
    "m": MONEY,
    "u": UUID_TEXT,
    "x": "double",
    "s": "string",
    "l": {"type": "array", "items": "long"},
}
ALL = parse_schema(
    {"type": "record", "name": "t.All", "fields": [{"name": name, "type": each} for name, each in FIELDS.items()]}, {}
)


@given(VALUES)
def test_what_is_read_can_be_written_again(value: dict[str, Any]) -> None:
    out = io.BytesIO()
    schemaless_writer(out, ALL, from_json(ALL, to_json(value)))
    out.seek(0)
    assert schemaless_reader(out, ALL, None) == value


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=5))
def test_any_json_is_taken_or_refused(value: Any) -> None:
    for name in FIELDS:
        with suppress(Invalid):
            from_json(ALL, {name: value})


@given(st.integers(FIRST, LAST))
def test_an_instant_is_told_and_understood(micros: int) -> None:
    assert instant(rfc3339(micros)) == micros


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2020-01-01T00:00:00+02:00", "2019-12-31T22:00:00.000000Z"),
        ("2020-01-01T00:00:00 02:00", "2019-12-31T22:00:00.000000Z"),
        ("9999-12-31T23:59:59-10:00", "9999-12-31T23:59:59.999999Z"),
        ("0001-01-01T00:00:00+10:00", "0001-01-01T00:00:00.000000Z"),
    ],
)
def test_offsets(text: str, expected: str) -> None:
    assert rfc3339(instant(text)) == expected


def test_a_time_that_no_calendar_holds_is_shown_as_the_nearest() -> None:
    assert rfc3339(2**63 - 1) == "9999-12-31T23:59:59.999999Z"
