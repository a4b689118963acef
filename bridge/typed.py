"""Between a decider's classes and plain values: an event's class name is its Avro type, its fields are Avro's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

from bridge import states
from bridge.decider import Decider
from bridge.errors import Invalid, LighthouseError, NotFound
from bridge.events import Event

_FIELD = re.compile("(?:missing required|contains unknown) field `(.*)`")
_KEPT = (bytes, bytearray, datetime, date, time, Decimal, UUID)
"""What Avro's logical types take as it is."""


class UnknownEvent(LighthouseError):
    """A stored event has a type that the category's decider does not name in `events`."""


class Typed:
    """One decider with its classes by name."""

    def __init__(self, decider: Decider[Any, Any, Any]) -> None:
        self.decider = decider
        self.version = decider.version
        self._evolve = decider.evolve
        self._events = {kind.__name__: kind for kind in decider.events}
        self._commands = {kind.__name__: kind for kind in decider.commands}

    def event(self, type_: str, data: Mapping[str, Any]) -> Any:
        """The event object that `evolve` takes. Raises UnknownEvent, msgspec.ValidationError."""
        kind = self._events.get(type_)
        if kind is None:
            raise UnknownEvent(f"the decider of {self.decider.category} (version {self.version}) knows no {type_}")
        return msgspec.convert(data, kind, dec_hook=states.decode_other)

    def evolve(self, state: Any, type_: str, data: Mapping[str, Any]) -> Any:
        """The state after one event: the one fold of write side, warm states and time travel."""
        return self._evolve(state, self.event(type_, data))

    def plain(self, event: Any) -> Event:
        """The event as its Avro type's name and plain fields."""
        data = msgspec.to_builtins(event, builtin_types=_KEPT, enc_hook=states.encode_other)
        return Event(type(event).__name__, data)

    def command(self, name: str, body: Any) -> Any:
        """The command object from JSON values. Raises NotFound, or Invalid with the path of the bad field."""
        kind = self._commands.get(name)
        if kind is None:
            known = ", ".join(sorted(self._commands)) or "none"
            raise NotFound(f"category {self.decider.category} has no command {name!r}; it has {known}")
        try:
            return msgspec.convert(body, kind, dec_hook=states.decode_other)
        except msgspec.ValidationError as error:
            raise invalid(error, "") from error

    def encode(self, state: Any) -> bytes:
        """The state's bytes for a row of the store."""
        return states.encode(state)

    def decode(self, raw: bytes) -> Any:
        """The state from a row of the store."""
        return states.decode(raw, self.decider.state)


def typed_by_category(deciders: Mapping[str, Decider[Any, Any, Any]]) -> dict[str, Typed]:
    """Each category's decider with its classes."""
    return {category: Typed(decider) for category, decider in deciders.items()}


def invalid(error: msgspec.ValidationError, prefix: str) -> Invalid:
    """msgspec's sentence, `Expected int, got str - at $.a[0].b`, as an Invalid with the path `a.0.b`.

    A field that is missing or unknown is the path's last step; which of an object's keys is meant msgspec never says.
    """
    message, _, place = str(error).partition(" - at ")
    path = place.strip("`").removeprefix("$").replace("[...]", "").replace("[", ".").replace("]", "").strip(".")
    field = _FIELD.search(message)
    return Invalid(".".join(part for part in (prefix, path, field[1] if field else "") if part), message)
