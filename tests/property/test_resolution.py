"""What was added to a type within a version, against fastavro: its resolution, and how it reads a default's bytes."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

from fastavro import parse_schema, schemaless_reader, schemaless_writer
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.events import Envelope
from bridge.log.avro import decode, encode, read_event
from bridge.log.compose import compose
from bridge.log.newest import Newest

PATIENT = settings(deadline=None)
DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 2}
POINT = {
    "type": "record",
    "name": "Point",
    "fields": [{"name": "x", "type": "double", "default": 0}, {"name": "tag", "type": "bytes", "default": "\u00ff"}],
}


@dataclass(frozen=True)
class Added:
    """A type, a default as JSON has it, and the same value as a writer takes it."""

    type: Any
    default: Any
    written: Any


def logical(kind: str, name: str) -> Any:
    return {"type": kind, "logicalType": name}


ADDED = [
    Added("string", "s", "s"),
    Added("bytes", "\u0000\u00ff", b"\0\xff"),
    Added({"type": "fixed", "name": "Two", "size": 2}, "\u00fe\u0001", b"\xfe\1"),
    Added("double", 3, 3.0),
    Added("float", 0.5, 0.5),
    Added("boolean", True, True),
    Added({"type": "enum", "name": "Kind", "symbols": ["HOT", "COLD"]}, "COLD", "COLD"),
    Added(logical("long", "timestamp-micros"), 1_700_000_000_000_001, 1_700_000_000_000_001),
    Added(logical("int", "date"), 19_000, 19_000),
    Added(logical("string", "uuid"), "7d444840-9dc0-11d1-b245-5ffdce74fad2", "7d444840-9dc0-11d1-b245-5ffdce74fad2"),
    Added(DECIMAL, "\u0001\u0000", b"\1\0"),
    Added({"type": "array", "items": DECIMAL}, ["\u0002"], [b"\2"]),
    Added({"type": "map", "values": "bytes"}, {"k": "\u00e9"}, {"k": b"\xe9"}),
    Added(["null", "bytes"], None, None),
    Added(["bytes", "null"], "\u00e9", b"\xe9"),
    Added(POINT, {"x": 1}, {"x": 1.0, "tag": b"\xff"}),
    Added(["null", {**POINT, "name": "Spot"}], None, None),
]
KEPT = [("owner", "string", "Ada"), ("amount", "long", 5), ("points", {"type": "array", "items": "int"}, [1, 2])]


def record(fields: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "record", "name": "E", "namespace": "lighthouse.x", "version": 1, "doc": "e", "fields": fields}


def as_read(added: Added) -> Any:
    """The default as fastavro reads it from bytes."""
    schema = parse_schema({"type": "record", "name": "R", "fields": [{"name": "f", "type": added.type}]})
    out = io.BytesIO()
    schemaless_writer(out, schema, {"f": added.written})
    found: Any = schemaless_reader(io.BytesIO(out.getvalue()), schema, None)
    return found["f"]


def resolved(old: dict[str, Any], new: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
    """What fastavro's own resolution makes of the event."""
    out = io.BytesIO()
    schemaless_writer(out, parse_schema(old), data)
    found: Any = schemaless_reader(io.BytesIO(out.getvalue()), parse_schema(old), parse_schema(new))
    return dict(found)


@PATIENT
@given(
    st.lists(st.sampled_from(ADDED), max_size=5, unique_by=lambda one: repr(one.type)),
    st.sets(st.sampled_from([name for name, _, _ in KEPT])),
    st.booleans(),
)
def test_what_was_added_is_what_fastavro_makes_of_it(added: list[Added], dropped: set[str], upcast: bool) -> None:
    """With the version raised and an upcast that changes nothing, it is the same."""
    kept = [(name, type_) for name, type_, _ in KEPT if name not in dropped]
    old = record([{"name": name, "type": type_} for name, type_, _ in KEPT])
    more = [{"name": f"new{n}", "type": one.type, "default": one.default} for n, one in enumerate(added)]
    new = record([*({"name": name, "type": type_} for name, type_ in kept), *more])
    data = {name: value for name, _, value in KEPT}
    newest = Newest(compose("x", [{**new, "version": 1 + upcast}]), {("E", 1): lambda fields: fields})
    schema = newest.category_schema(4, compose("x", [old]))
    event = decode(schema, encode(schema, Envelope("ann", 0), [(schema.branches[0], data)]), 1).events[0]

    assert list(event.newest) == [*(name for name, _ in kept), *(f"new{n}" for n in range(len(added)))]
    by_fastavro = resolved(old, new, data)
    assert {name: event.newest[name] for name, _ in kept} == {name: by_fastavro[name] for name, _ in kept}
    for number, one in enumerate(added):
        found, expected = event.newest[f"new{number}"], as_read(one)
        assert (found, type(found)) == (expected, type(expected))
    assert event.data == data
    assert read_event(schema, event.raw).newest == event.newest


@PATIENT
@given(st.integers(-(2**31), 2**31 - 1), st.sampled_from(["long", "float", "double"]))
def test_a_wider_number_is_what_fastavro_makes_of_it(number: int, wider: str) -> None:
    old, new = (record([{"name": "n", "type": type_}]) for type_ in ("int", wider))
    schema = Newest(compose("x", [new]), {}).category_schema(4, compose("x", [old]))
    event = decode(schema, encode(schema, Envelope("ann", 0), [(schema.branches[0], {"n": number})]), 1).events[0]
    expected = resolved(old, new, {"n": number})
    assert (event.newest, type(event.newest["n"])) == (expected, type(expected["n"]))
