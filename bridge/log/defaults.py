"""Avro's defaults as values. In a schema they are JSON; fastavro's resolution hands them on as they stand there.

So a default of bytes would come as text, one of a timestamp as a number, one of a record without its own defaults:
never what the same value would be when it is read from bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastavro.read import LOGICAL_READERS


def default_value(schema: Any, default: Any, named: Mapping[str, Any]) -> Any:
    """The default of a field of this parsed type, as fastavro reads that value; new with every call."""
    if isinstance(schema, list):
        return None if default is None else default_value(_branch(schema), default, named)
    if isinstance(schema, str):
        schema = named.get(schema, {"type": schema})
    value = _plain(schema, default, named)
    logical = LOGICAL_READERS.get(f"{schema['type']}-{schema.get('logicalType')}")
    return value if logical is None else logical(value, schema, None)


def _branch(union: list[Any]) -> Any:
    """The branch that a default which is not null belongs to: the first (Avro 1.12), null being passed over."""
    return next(branch for branch in union if branch != "null")


def _plain(schema: Mapping[str, Any], default: Any, named: Mapping[str, Any]) -> Any:
    match schema["type"]:
        case "bytes" | "fixed":
            return default.encode("latin-1")  # its characters are the bytes (Avro 1.12, fields)
        case "float" | "double":
            return float(default)
        case "array":
            return [default_value(schema["items"], item, named) for item in default]
        case "map":
            return {key: default_value(schema["values"], item, named) for key, item in default.items()}
        case "record":
            given = {field["name"]: default.get(field["name"], field.get("default")) for field in schema["fields"]}
            return {
                field["name"]: default_value(field["type"], given[field["name"]], named) for field in schema["fields"]
            }
    return default
