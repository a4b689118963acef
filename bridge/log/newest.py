"""Events of older schemas in the shape of a category's newest one, which is the schema that this code comes with.

Within one version of an event type Avro's resolution does it: new fields have defaults, renamed ones aliases. From an
older version the type's upcasts lead to the newest one, and what they leave out is filled in as Avro would.
"""

from __future__ import annotations

import copy
import io
from collections.abc import Mapping
from functools import partial
from typing import Any

from fastavro import parse_schema, schemaless_reader

from bridge.errors import SchemaError
from bridge.log.avro import Branch, CategorySchema, Upgrade
from bridge.log.compose import Schema, event_types
from bridge.log.defaults import default_value
from bridge.log.envelope import read_long
from bridge.upcast import Steps, chain

_NO_MATTER = ("aliases", "default", "doc", "order", "version")
"""Attributes in which two schemas may differ that read the same bytes as the same values."""


class Newest:
    """A category's newest schema, and the upcasts to it. Raises what Python does for a default of another type."""

    def __init__(self, schema: Schema, steps: Steps) -> None:
        self._branches = CategorySchema(0, schema).by_type  # no id: it need not be registered yet
        self._meanings = _meanings(schema)
        self._steps = steps
        parsed = [branch.schema for branch in self._branches.values()]
        self._named: Mapping[str, Any] = parsed[0]["__named_schemas"]
        self._readers, self._shared = _with_values(parsed, self._named)

    def category_schema(self, schema_id: int, schema: Schema) -> CategorySchema:
        """A schema of the category from the registry, with what takes its events to the newest shape.

        Raises SchemaError where the chain of upcasts has a gap.
        """
        return CategorySchema(schema_id, schema, partial(self._upgrade, _meanings(schema)))

    def _upgrade(self, meanings: Mapping[str, Any], written: Branch) -> Upgrade | None:
        """None where events are what they should be already, or were written by newer code than this."""
        newest = self._branches.get(written.type)
        if newest is None or written.version > newest.version:
            return None
        if written.version < newest.version:
            return self._upcast(written, newest)
        if meanings[written.type] == self._meanings[written.type]:
            return None
        resolve = partial(_read, written.schema, self._readers[newest.index])
        return (lambda raw: copy.deepcopy(resolve(raw))) if self._shared else resolve

    def _upcast(self, written: Branch, newest: Branch) -> Upgrade:
        change = chain(self._steps, written.type, written.version, newest.version)

        def upgrade(raw: bytes) -> dict[str, Any]:
            changed = change(_read(written.schema, None, raw))  # read afresh, so that a change cannot reach `data`
            try:
                return self._record(newest.schema, changed)
            except _Lacking as lacking:
                what = f"the upcasts of {written.type} from version {written.version} to {newest.version}"
                raise SchemaError(f"{what} answer with {lacking}") from None

        return upgrade

    def _fitted(self, schema: Any, value: Any) -> Any:
        """A value as its newest type has it. In a union of several types nobody can say which one it is: as it is."""
        if isinstance(schema, str):
            schema = self._named.get(schema, schema)
        if isinstance(schema, list):
            types = [branch for branch in schema if branch != "null"]
            return self._fitted(types[0], value) if len(types) == 1 and value is not None else value
        match schema:
            case {"type": "record"}:
                return self._record(schema, value)
            case {"type": "array", "items": items} if isinstance(value, list):
                return [self._fitted(items, item) for item in value]
            case {"type": "map", "values": values} if isinstance(value, Mapping):
                return {key: self._fitted(values, item) for key, item in value.items()}
        return value

    def _record(self, schema: Mapping[str, Any], value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise _Lacking(f"{type(value).__name__} where the record {_short(schema)} belongs")
        return {field["name"]: self._field(schema, field, value) for field in schema["fields"]}

    def _field(self, schema: Mapping[str, Any], field: Mapping[str, Any], value: Mapping[str, Any]) -> Any:
        for name in (field["name"], *field.get("aliases", ())):
            if name in value:
                return self._fitted(field["type"], value[name])
        if "default" not in field:
            raise _Lacking(f"no {field['name']} for {_short(schema)}, which has no default for it")
        return default_value(field["type"], field["default"], self._named)


class _Lacking(Exception):
    """What an upcast answered is not of the newest shape."""


def _read(written: Any, newest: Any, raw: bytes) -> dict[str, Any]:
    """The fields from an event's own bytes, which begin with its number in the union."""
    source = io.BytesIO(raw)
    source.seek(read_long(raw, 0)[1])
    data: Any = schemaless_reader(source, written, newest)
    return dict(data)


def _with_values(parsed: list[Any], named: Mapping[str, Any]) -> tuple[list[Any], bool]:
    """The schemas with values as their defaults, for fastavro's resolution; and whether events would share some.

    A default that is a container would be the same object in each event.
    """
    records = [name for name, schema in named.items() if schema["type"] == "record"]
    readers, copied = copy.deepcopy((parsed, dict(named)))
    shared = False
    for name in records:
        for field, made in zip(named[name]["fields"], copied[name]["fields"], strict=True):
            if "default" in field:
                made["default"] = default_value(field["type"], field["default"], named)
                shared = shared or isinstance(made["default"], list | dict)
    return readers, shared


def _meanings(schema: Schema) -> dict[str, Any]:
    """By event type, what decides how bytes are read as values: the type with all that it names, in its own place."""
    named: dict[str, Any] = {}
    return {
        event["name"].rpartition(".")[2]: _bare(parse_schema(event, named, expand=True))
        for event in event_types(schema)
    }


def _bare(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_bare(one) for one in schema]
    if isinstance(schema, dict):
        kept = schema.keys() - set(_NO_MATTER)
        return {key: _bare(schema[key]) for key in kept if not key.startswith("__")}
    return schema


def _short(schema: Mapping[str, Any]) -> str:
    return str(schema["name"]).rpartition(".")[2]
