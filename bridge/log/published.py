"""Published events: their topics, and a schema of its own for each event type, which any Avro reader takes alone.

In a category's schema an event type may name a type that another one defines. Here each definition stands where it is
first needed, so the bytes of an event, as they lie in its append, are those of its own schema.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bridge.application import PUBLISHED
from bridge.log.compose import Schema, event_types
from bridge.log.record import topic_of

NAMED = ("record", "enum", "fixed")


def topic(prefix: str, category: str) -> str:
    """The topic of a category's published events."""
    return f"{topic_of(prefix, category)}.{PUBLISHED}"


def subject(prefix: str, category: str, type_: str) -> str:
    """The registry's subject of an event type."""
    return f"{topic(prefix, category)}-{type_}"


def event_schemas(schema: Schema) -> list[Schema]:
    """The schemas of a category's event types, in the order of its union, each complete.

    In one form, whether the registry has written the category's schema in its own way or not: a namespace stands
    where it is another than that around it, and a mention is short where it may be.
    """
    around, events = str(schema["namespace"]), event_types(schema)
    known = {name: found for event in events for name, found in _definitions(event, around)}
    return [_whole(event, around, known, set()) | {"namespace": _name(event, around)[1]} for event in events]


def _definitions(schema: Any, around: str) -> Iterator[tuple[str, Schema]]:
    """Every named type by its full name, with its namespace."""
    if isinstance(schema, list):
        for one in schema:
            yield from _definitions(one, around)
    if not isinstance(schema, dict):
        return
    if schema["type"] in NAMED:
        name, around = _name(schema, around)
        yield name, {**schema, "namespace": around}
    for inner in _inside(schema).values():
        yield from _definitions(inner, around)


def _name(schema: Schema, around: str) -> tuple[str, str]:
    """A named type's full name, and the namespace that its parts inherit."""
    before, _, last = schema["name"].rpartition(".")
    namespace = before or schema.get("namespace", around)
    return f"{namespace}.{last}", namespace


def _inside(schema: Schema) -> dict[str, Any]:
    """The types that a type consists of, by where they stand."""
    if schema["type"] == "record":
        return {"fields": [field["type"] for field in schema["fields"]]}
    return {key: schema[key] for key in ("type", "items", "values") if key in schema and schema[key] not in NAMED}


def _whole(schema: Any, around: str, known: Mapping[str, Schema], defined: set[str]) -> Any:
    """The schema with a definition in place of the first mention of each type that is defined elsewhere."""
    if isinstance(schema, list):
        return [_whole(one, around, known, defined) for one in schema]
    if isinstance(schema, str):
        name = schema if "." in schema else f"{around}.{schema}"
        if name in known.keys() - defined:
            return _whole(known[name], around, known, defined)
        return name.removeprefix(f"{around}.") if name in known else schema
    if schema["type"] in NAMED:
        return _named(schema, around, known, defined)
    return {**schema, **{key: _whole(one, around, known, defined) for key, one in _inside(schema).items()}}


def _named(schema: Schema, around: str, known: Mapping[str, Schema], defined: set[str]) -> Schema:
    name, namespace = _name(schema, around)
    defined.add(name)
    whole = {key: value for key, value in schema.items() if key != "namespace"}
    whole["name"] = name.rpartition(".")[2]
    if namespace != around:
        whole["namespace"] = namespace
    if schema["type"] == "record":
        parts = [{**field, "type": _whole(field["type"], namespace, known, defined)} for field in schema["fields"]]
        whole["fields"] = parts
    return whole
