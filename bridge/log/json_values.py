"""Between JSON values and Avro values, as a schema's types say.

| Avro | JSON |
|---|---|
| bytes, fixed | base64 (RFC 4648, 4) |
| timestamp-millis, timestamp-micros | RFC 3339, or an integer in the type's own unit since 1970 UTC |
| local-timestamp-… | the same without an offset, or an integer |
| date, time-millis, time-micros | `2026-01-31`, `12:30:00.5`, or an integer |
| decimal | `"10.25"`, or a number |
| uuid | text |
| union | the plain value, which the first branch that takes it gets; `{"<type>": value}` names the branch |

Whatever passes can be read again by every owner: a time that no calendar holds would pass Avro, but park its stream.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from fastavro import parse_schema

from bridge.errors import Invalid
from bridge.times import EPOCH, FIRST, LAST, MICROSECOND

T = TypeVar("T")
Read = Callable[[Any], Any]
"""From a JSON value to an Avro value; raises Invalid with the path below the value."""

DAY = 86_400_000_000
FLOAT_MAX = 3.4028234663852886e38


def from_json(schema: Any, value: Any, path: str = "") -> Any:
    """The Avro value of a JSON value. Raises Invalid with the path of the bad field, which begins with `path`."""
    return below(path, reader(schema), value)


def to_json(value: Any) -> Any:
    """The JSON value of an Avro value as fastavro reads it; NaN and the infinities have none and become null."""
    return msgspec.to_builtins(value, str_keys=True)


def reader(schema: Any) -> Read:
    """The reader of a schema's values, compiled once. The schema must not be changed afterwards."""
    found = _compiled.get(id(schema))
    if found is None:
        found = _compiled[id(schema)] = (schema, _compile(schema))
    return found[1]


_compiled: dict[int, tuple[Any, Read]] = {}
"""By identity; each entry keeps its schema, so that no id is given out twice."""


def _compile(schema: Any) -> Read:
    parsed = schema if isinstance(schema, dict) and "__named_schemas" in schema else parse_schema(schema, {})
    return _Compiler(parsed.get("__named_schemas", {}) if isinstance(parsed, dict) else {}).read(parsed)


def below(step: str, read: Read, value: Any) -> Any:
    """Reads a part of a value; an error's path gets the part's name in front."""
    try:
        return read(value)
    except Invalid as error:
        raise Invalid(".".join(part for part in (step, error.path) if part), error.message) from None


def instant(text: str) -> int:
    """Microseconds since 1970 UTC of an RFC 3339 time; raises Invalid. An offset's `+` may come as a blank."""
    if len(text) > 6 and text[-6] == " ":
        text = f"{text[:-6]}+{text[-5:]}"
    found = _converted(datetime, "an RFC 3339 time such as 2026-01-31T12:30:00Z", text)
    if found.tzinfo is None:
        raise Invalid("", f"{text[:40]!r} has no offset: write Z behind a time in UTC")
    return min(max((found - EPOCH) // MICROSECOND, FIRST), LAST)


def _converted(kind: type[T], what: str, text: str) -> T:
    try:
        return msgspec.convert(text, kind)
    except msgspec.ValidationError:
        raise _expected(what, text) from None


def _expected(what: str, value: Any) -> Invalid:
    shown = repr(value)
    return Invalid("", f"{what} is expected, not {shown if len(shown) <= 60 else shown[:57] + '...'}")


# primitive types


def _null(value: Any) -> None:
    if value is not None:
        raise _expected("null", value)


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _expected("true or false", value)
    return value


def _integer(low: int, high: int, value: Any) -> int:
    if type(value) is not int:
        raise _expected("an integer", value)
    if not low <= value <= high:
        raise _expected(f"an integer from {low} to {high}", value)
    return value


def _real(most: float, value: Any) -> float:
    if type(value) not in (int, float):
        raise _expected("a number", value)
    try:
        number = float(value)
    except OverflowError:
        raise _expected("a number that a double can hold", value) from None
    if not -most <= number <= most:
        raise _expected(f"a number of at most {most:.4g}", value)
    return number


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise _expected("a string", value)
    if not value.isascii():
        _utf8(value)
    return value


def _utf8(value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Invalid("", "the string holds half of a surrogate pair, which UTF-8 cannot") from None


def _bytes(value: Any) -> bytes:
    try:
        return base64.b64decode(_string(value), validate=True)
    except (ValueError, binascii.Error):
        raise _expected("base64", value) from None


_int = partial(_integer, -(2**31), 2**31 - 1)
_long = partial(_integer, -(2**63), 2**63 - 1)

_PRIMITIVE: Mapping[str, Read] = {
    "null": _null,
    "boolean": _boolean,
    "int": _int,
    "long": _long,
    "float": partial(_real, FLOAT_MAX),
    "double": partial(_real, 1.7976931348623157e308),
    "string": _string,
    "bytes": _bytes,
}


# logical types


def _timestamp(unit: int, parse: Callable[[str], int], value: Any) -> int:
    """`unit`: microseconds in one step of the type."""
    if isinstance(value, str):
        return parse(value) // unit
    return _integer(-(-FIRST // unit), LAST // unit, value)


def _local(text: str) -> int:
    found = _converted(datetime, "a local time such as 2026-01-31T12:30:00", text)
    if found.tzinfo is not None:
        raise Invalid("", f"{text[:40]!r} has an offset, a local time has none")
    return (found.replace(tzinfo=UTC) - EPOCH) // MICROSECOND


def _date(value: Any) -> int:
    if not isinstance(value, str):
        return _integer(FIRST // DAY, LAST // DAY, value)
    return _converted(date, "a date such as 2026-01-31", value).toordinal() - EPOCH.toordinal()


def _time(unit: int, value: Any) -> int:
    if not isinstance(value, str):
        return _integer(0, DAY // unit - 1, value)
    found = _converted(time, "a time such as 12:30:00", value)
    if found.tzinfo is not None:
        raise Invalid("", f"{value[:40]!r} has an offset, a time of day has none")
    since = timedelta(hours=found.hour, minutes=found.minute, seconds=found.second, microseconds=found.microsecond)
    return since // MICROSECOND // unit


def _uuid(value: Any) -> str:
    try:
        return str(UUID(_string(value)))
    except ValueError:
        raise _expected("a UUID", value) from None


def _decimal(schema: Mapping[str, Any], value: Any) -> Decimal:
    if type(value) not in (int, float, str) or len(text := str(value)) > 200:
        raise _expected('a decimal such as "10.25"', value)
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise _expected('a decimal such as "10.25"', value) from None
    return _fitting(schema, number, value)


def _fitting(schema: Mapping[str, Any], number: Decimal, value: Any) -> Decimal:
    scale, precision = schema.get("scale", 0), schema["precision"]
    _, digits, exponent = number.as_tuple()
    if not isinstance(exponent, int):
        raise _expected("a finite decimal", value)
    if not any(digits):
        return Decimal(0)
    if -exponent > scale or len(digits) + exponent + scale > precision:
        raise _expected(f"a decimal of at most {precision} digits, {scale} of them behind the point", value)
    if "size" in schema and int(abs(number).scaleb(scale)).bit_length() >= 8 * schema["size"]:
        raise _expected(f"a decimal that {schema['size']} bytes can hold", value)
    return number


_LOGICAL: Mapping[tuple[str, str], Read] = {
    ("long", "timestamp-micros"): partial(_timestamp, 1, instant),
    ("long", "timestamp-millis"): partial(_timestamp, 1000, instant),
    ("long", "local-timestamp-micros"): partial(_timestamp, 1, _local),
    ("long", "local-timestamp-millis"): partial(_timestamp, 1000, _local),
    ("int", "date"): _date,
    ("int", "time-millis"): partial(_time, 1000),
    ("long", "time-micros"): partial(_time, 1),
    ("string", "uuid"): _uuid,
}


# complex types


def _enum(symbols: frozenset[str], value: Any) -> str:
    if not isinstance(value, str) or value not in symbols:
        raise _expected(f"one of {', '.join(sorted(symbols))}", value)
    return value


def _fixed(size: int, value: Any) -> bytes:
    raw = _bytes(value)
    if len(raw) != size:
        raise Invalid("", f"{size} bytes in base64 are expected, not {len(raw)}")
    return raw


def _array(read: Read, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise _expected("an array", value)
    return [below(str(index), read, item) for index, item in enumerate(value)]


def _map(read: Read, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _expected("an object", value)
    return {_string(key): below(key, read, item) for key, item in value.items()}


def _optional(read: Read, value: Any) -> Any:
    return None if value is None else read(value)


class _Record:
    """The reader of a record; filled with its fields only after it is known by name, since a type may hold itself."""

    def __init__(self, name: str) -> None:
        self._name = name.rpartition(".")[2]
        self.fields: dict[str, Read] = {}
        self.defaults: dict[str, Any] = {}

    def __call__(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _expected("an object", value)
        out = {key: self._field(key, item) for key, item in value.items()}
        if len(out) < len(self.fields):
            self._fill(out)
        return out

    def _field(self, key: str, value: Any) -> Any:
        read = self.fields.get(key)
        if read is None:
            raise Invalid(key, f"{self._name} has no such field; it has {', '.join(self.fields) or 'none'}")
        return below(key, read, value)

    def _fill(self, out: dict[str, Any]) -> None:
        for key in self.fields:
            if key not in out:
                if key not in self.defaults:
                    raise Invalid(key, f"{self._name} needs this field")
                out[key] = self.defaults[key]


class _Union:
    """The reader of a union with several branches beside null; fastavro is told the branch and never guesses."""

    def __init__(self, branches: Mapping[str, Read]) -> None:
        self._branches = branches

    def __call__(self, value: Any) -> Any:
        if value is None and "null" in self._branches:
            return None
        if isinstance(value, dict) and len(value) == 1 and (name := next(iter(value))) in self._branches:
            return (name, below(name, self._branches[name], value[name]))
        for name, read in self._branches.items():
            try:
                return (name, read(value))
            except Invalid:
                continue
        raise _expected(f"a value of {', '.join(self._branches)}", value)


class _Compiler:
    """From a parsed schema to its reader. `named` are all named types by full name, `_known` the readers of some."""

    def __init__(self, named: Mapping[str, Any]) -> None:
        self._named = named
        self._known: dict[str, Read] = {}
        self._complex: Mapping[str, Callable[[Any], Read]] = {
            "record": self._record,
            "error": self._record,
            "enum": lambda schema: partial(_enum, frozenset(schema["symbols"])),
            "fixed": lambda schema: partial(_fixed, schema["size"]),
            "array": lambda schema: partial(_array, self.read(schema["items"])),
            "map": lambda schema: partial(_map, self.read(schema["values"])),
        }

    def read(self, schema: Any) -> Read:
        """The reader of a type: a name, a union's list, or a definition."""
        if isinstance(schema, list):
            return self._union(schema)
        if isinstance(schema, str):
            return _PRIMITIVE.get(schema) or self._reference(schema)
        return self._definition(schema)

    def _definition(self, schema: Mapping[str, Any]) -> Read:
        kind, logical = schema["type"], schema.get("logicalType")
        if logical == "decimal" and kind in ("bytes", "fixed"):
            return partial(_decimal, schema)
        if (found := _LOGICAL.get((kind, logical or ""))) is not None:
            return found
        return self._complex[kind](schema) if kind in self._complex else self.read(kind)

    def _reference(self, name: str) -> Read:
        return self._known.get(name) or self.read(self._named[name])

    def _record(self, schema: Mapping[str, Any]) -> Read:
        record = self._known[schema["name"]] = _Record(schema["name"])
        for field in schema["fields"]:
            record.fields[field["name"]] = self.read(field["type"])
            if "default" in field:
                record.defaults[field["name"]] = self._default(field["type"], field["default"])
        return record

    def _default(self, schema: Any, value: Any) -> Any:
        """A default as a value: its first branch's, and for bytes its characters are the bytes (Avro 1.12, fields)."""
        if isinstance(schema, list):
            return self._default(schema[0], value)
        if isinstance(schema, str) and schema in self._named:
            return self._default(self._named[schema], value)
        kind = schema["type"] if isinstance(schema, dict) else schema
        return value.encode("latin-1") if kind in ("bytes", "fixed") and isinstance(value, str) else value

    def _union(self, branches: list[Any]) -> Read:
        named = {_name(branch): self.read(branch) for branch in branches}
        rest = [read for name, read in named.items() if name != "null"]
        return partial(_optional, rest[0]) if len(rest) == 1 and len(named) == 2 else _Union(named)


def _name(schema: Any) -> str:
    """What fastavro calls a branch: a type's name, a named type's full name."""
    if isinstance(schema, str):
        return schema
    return str(schema["name"] if "name" in schema else schema["type"])
