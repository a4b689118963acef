"""The category's schema: one `Append` record around the union of the category's event types (DESIGN 4).

Composed from `schemas/<category>/*.avsc` in one fixed serialisation, since different white space is a new schema id.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastavro.schema import SchemaParseException, parse_schema

from bridge.errors import SchemaError

Schema = dict[str, Any]

ENVELOPE: list[Schema] = [
    {"name": "actor", "type": "string", "doc": "Who wrote the append."},
    {
        "name": "time",
        "type": {"type": "long", "logicalType": "timestamp-micros"},
        "doc": "Event time: when it happened, as the writer says.",
    },
    {"name": "correlation", "type": "string", "default": "", "doc": "What this belongs to; empty for nothing."},
    {"name": "causation", "type": "string", "default": "", "doc": "What led to this; empty for nothing."},
    {"name": "metadata", "type": {"type": "map", "values": "string"}, "default": {}, "doc": "The writer's own notes."},
]


def compose(category: str, events: list[Schema]) -> Schema:
    """The `Append` schema of a category with these event types, in the order given."""
    union = {"name": "events", "type": {"type": "array", "items": events}, "doc": "1 to 1,000 events, all or none."}
    doc = f"Events of one stream of category {category}, written all or none."
    return {
        "type": "record",
        "name": "Append",
        "namespace": f"lighthouse.{category}",
        "doc": doc,
        "fields": [*ENVELOPE, union],
    }


def event_types(schema: Schema) -> list[Schema]:
    """The event types of an `Append` schema, in the order of its union, each with the namespace that it lies in.

    A registry may give a schema back without the namespaces that the one around it says already.
    """
    around = {"namespace": schema["namespace"]} if "namespace" in schema else {}
    return [event if "." in event["name"] else around | event for event in schema["fields"][-1]["type"]["items"]]


def canonical(schema: Schema) -> str:
    """The one serialisation that is registered: sorted keys, no white space, defaults and docs kept."""
    return json.dumps(schema, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def load(category: str, folder: Path) -> Schema:
    """Composes a category from its folder; raises SchemaError naming the file that is wrong.

    New event types come last in the order of their names; the union's order may change between versions, since a
    reader resolves a branch by its name.
    """
    events = [_event(file, category) for file in sorted(folder.glob("*.avsc"))]
    if not events:
        raise SchemaError(f"category {category} has no event types: {folder} holds no .avsc file")
    schema = compose(category, events)
    try:
        parse_schema(schema)
    except (SchemaParseException, ValueError, TypeError, KeyError) as error:  # fastavro's words for one and the same
        raise SchemaError(f"category {category} is not a valid Avro schema: {error!r}") from error
    return schema


def _event(file: Path, category: str) -> Schema:
    try:
        schema = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SchemaError(f"{file} is not JSON: {error}") from error
    for problem in _problems(schema, file, category):
        raise SchemaError(f"{file}: {problem}")
    return dict(schema)


def _problems(schema: Any, file: Path, category: str) -> Iterator[str]:
    if not isinstance(schema, dict) or schema.get("type") != "record":
        yield "an event type must be an Avro record"
        return
    if schema.get("name") != file.stem:
        yield f"the record is named {schema.get('name')!r}, not {file.stem!r} like the file"
    if schema.get("namespace") != f"lighthouse.{category}":
        yield f"the namespace is {schema.get('namespace')!r}, not 'lighthouse.{category}'"
    if not isinstance(schema.get("version"), int) or schema["version"] < 1:
        yield "the integer attribute `version` (1, 2, …) is missing"
    if not schema.get("doc"):
        yield "the record has no doc"
    for field in schema.get("fields", ()):
        if not isinstance(field, dict):
            yield f"field {field!r} is not an object"
        elif not field.get("doc"):
            yield f"field {field.get('name')!r} has no doc"
