from __future__ import annotations

from typing import Any

import pytest

from bridge.errors import SchemaError
from bridge.events import Envelope
from bridge.log.avro import CategorySchema, Slice, decode, encode
from bridge.log.compose import compose, event_types
from bridge.log.newest import Newest
from bridge.upcast import Change, Steps

PLACE = {"type": "record", "name": "Place", "fields": [{"name": "city", "type": "string"}]}
ABROAD = {**PLACE, "fields": [*PLACE["fields"], {"name": "country", "type": "string", "default": "CH"}]}


def field(name: str, type_: Any = "string", **more: Any) -> dict[str, Any]:
    return {"name": name, "type": type_, **more}


def opened(version: int, *fields: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "record",
        "name": "Opened",
        "namespace": "lighthouse.x",
        "version": version,
        "doc": "d",
        "fields": list(fields),
    }


def read(old: dict[str, Any], new: dict[str, Any], data: dict[str, Any], steps: Steps | None = None) -> Slice:
    """An event written with the old schema, as a process with the new one reads it."""
    schema = Newest(compose("x", [new]), steps or {}).category_schema(1, compose("x", [old]))
    value = encode(schema, Envelope("ann", 0), [(schema.by_type["Opened"], data)])
    return decode(schema, value, 1).events[0]


def step(change: Change) -> Steps:
    return {("Opened", 1): change}


def identity(data: dict[str, Any]) -> dict[str, Any]:
    return data


@pytest.mark.parametrize(
    "new",
    [
        opened(1, field("owner")),
        {**opened(1, field("owner", doc="Said better.", default="x")), "doc": "Said better."},
    ],
)
def test_what_is_as_it_should_be_is_handed_on(new: dict[str, Any]) -> None:
    event = read(opened(1, field("owner")), new, {"owner": "Ada"})
    assert event.branch.upgrade is None
    assert event.newest is event.data


def test_namespaces_that_a_registry_leaves_out_make_no_difference() -> None:
    whole = compose(
        "x", [opened(1, field("at", PLACE)), {**opened(1, field("to", "lighthouse.x.Place")), "name": "Moved"}]
    )
    events = [{key: value for key, value in event.items() if key != "namespace"} for event in event_types(whole)]
    schema = Newest(whole, {}).category_schema(1, compose("x", events))
    assert [branch.upgrade for branch in schema.branches] == [None, None]


def test_what_newer_code_wrote_is_handed_on_as_written() -> None:
    event = read(opened(2, field("holder")), opened(1, field("owner")), {"holder": "Ada"})
    assert event.newest is event.data


def test_a_type_that_this_code_does_not_have_is_handed_on() -> None:
    old = {**opened(1, field("owner")), "name": "Begun"}
    schema = Newest(compose("x", [opened(1)]), {}).category_schema(1, compose("x", [old]))
    assert schema.by_type["Begun"].upgrade is None


def test_within_a_version_aliases_and_defaults_lead_to_the_newest_names() -> None:
    new = opened(1, field("holder", aliases=["owner"]), field("since", "long", default=7))
    event = read(opened(1, field("owner")), new, {"owner": "Ada"})
    assert event.newest == {"holder": "Ada", "since": 7}
    assert event.data == {"owner": "Ada"}


def test_a_named_type_that_another_event_defines_counts_as_its_own() -> None:
    """The text of Moved is the same in both schemas; what it says is not."""
    moved = {**opened(1, field("to", "Place")), "name": "Moved"}
    old, new = (compose("x", [opened(1, field("at", place)), moved]) for place in (PLACE, ABROAD))
    schema = Newest(new, {}).category_schema(1, old)
    value = encode(schema, Envelope("ann", 0), [(schema.by_type["Moved"], {"to": {"city": "Bern"}})])
    assert decode(schema, value, 1).events[0].newest == {"to": {"city": "Bern", "country": "CH"}}


def test_an_upcast_is_made_whole_with_defaults_and_aliases_and_keeps_nothing_else() -> None:
    new = opened(
        2,
        field("holder"),
        field("kind", aliases=["sort"]),
        field("places", {"type": "array", "items": ABROAD}),
        field("home", ["null", "Place"], default=None),
        field("named", {"type": "map", "values": "Place"}, default={"x": {"city": "Rom"}}),
    )
    old = opened(
        1,
        field("owner"),
        field("sort"),
        field("places", {"type": "array", "items": PLACE}),
        field("home", ["null", "Place"]),
    )
    data = {"owner": "Ada", "sort": "s", "places": [{"city": "Bern"}], "home": {"city": "Ulm"}}
    event = read(old, new, data, step(lambda fields: {**fields, "holder": fields["owner"].upper()}))
    assert event.newest == {
        "holder": "ADA",
        "kind": "s",
        "places": [{"city": "Bern", "country": "CH"}],
        "home": {"city": "Ulm", "country": "CH"},
        "named": {"x": {"city": "Rom", "country": "CH"}},
    }


def test_an_upcast_may_change_what_it_is_given_to_its_depths() -> None:
    def change(data: dict[str, Any]) -> dict[str, Any]:
        data["places"].append({"city": "Rom"})
        return data

    places = field("places", {"type": "array", "items": PLACE})
    event = read(opened(1, places), opened(2, places), {"places": [{"city": "Bern"}]}, step(change))
    assert event.newest == event.newest == {"places": [{"city": "Bern"}, {"city": "Rom"}]}
    assert event.data == {"places": [{"city": "Bern"}]}


@pytest.mark.parametrize("version", [1, 2])
def test_events_share_no_default(version: int) -> None:
    tags = field("tags", {"type": "array", "items": "string"}, default=["a"])
    event = read(opened(1, field("owner")), opened(version, field("owner"), tags), {"owner": "Ada"}, step(identity))
    event.newest["tags"].append("b")
    assert event.newest["tags"] == ["a"]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (identity, "answer with no holder for Opened, which has no default for it"),
        (lambda _: None, "answer with NoneType where the record Opened belongs"),
        (lambda _: {"holder": "Ada", "home": "Bern"}, "answer with str where the record Place belongs"),
    ],
)
def test_an_upcast_that_answers_something_else(change: Change, why: str) -> None:
    new = opened(2, field("holder"), field("home", PLACE, default={"city": "Bern"}))
    event = read(opened(1, field("owner")), new, {"owner": "Ada"}, step(change))
    with pytest.raises(SchemaError, match=f"the upcasts of Opened from version 1 to 2 {why}"):
        _ = event.newest


def test_a_gap_is_no_schema() -> None:
    newest = Newest(compose("x", [opened(3)]), {("Opened", 1): identity})
    with pytest.raises(SchemaError, match="no upcast leads from version 2 to 3"):
        newest.category_schema(1, compose("x", [opened(1)]))


def test_a_schema_of_another_version_needs_its_upcast_also_where_its_fields_are_the_same() -> None:
    cents = field("amount", "long")
    event = read(opened(1, cents), opened(2, cents), {"amount": 3}, step(lambda data: {"amount": data["amount"] * 100}))
    assert event.newest == {"amount": 300}


def test_a_category_schema_by_itself_upgrades_nothing() -> None:
    assert CategorySchema(1, compose("x", [opened(1)])).branches[0].upgrade is None
