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
    """The schemas of a category's event types, in the order of its union, each complete."""
    events = event_types(schema)
    known = {name: found for event in events for name, found in _definitions(event, "")}
    return [_whole(event, "", known, set()) for event in events]


def _definitions(schema: Any, namespace: str) -> Iterator[tuple[str, Schema]]:
    """Every named type by its full name, with its namespace."""
    if isinstance(schema, list):
        for one in schema:
            yield from _definitions(one, namespace)
    if not isinstance(schema, dict):
        return
    if schema["type"] in NAMED:
        name, namespace = _name(schema, namespace)
        yield name, {**schema, "namespace": namespace}
    for inner in _inside(schema).values():
        yield from _definitions(inner, namespace)


def _name(schema: Schema, namespace: str) -> tuple[str, str]:
    """A named type's full name, and the namespace that its parts inherit."""
    before, _, last = schema["name"].rpartition(".")
    namespace = before or schema.get("namespace", namespace)
    return f"{namespace}.{last}", namespace


def _inside(schema: Schema) -> dict[str, Any]:
    """The types that a type consists of, by where they stand."""
    if schema["type"] == "record":
        return {"fields": [field["type"] for field in schema["fields"]]}
    return {key: schema[key] for key in ("type", "items", "values") if key in schema and schema[key] not in NAMED}


def _whole(schema: Any, namespace: str, known: Mapping[str, Schema], defined: set[str]) -> Any:
    """The schema with a definition in place of the first mention of each type that is defined elsewhere."""
    if isinstance(schema, str):
        name = schema if "." in schema else f"{namespace}.{schema}"
        return _whole(known[name], namespace, known, defined) if name in known.keys() - defined else schema
    if isinstance(schema, list):
        return [_whole(one, namespace, known, defined) for one in schema]
    if schema["type"] in NAMED:
        name, namespace = _name(schema, namespace)
        defined.add(name)
    if schema["type"] == "record":
        fields = [{**field, "type": _whole(field["type"], namespace, known, defined)} for field in schema["fields"]]
        return {**schema, "fields": fields}
    return {**schema, **{key: _whole(one, namespace, known, defined) for key, one in _inside(schema).items()}}
