"""Upcasts: the events of an old schema version in the shape of the newest, by pure functions of one step each.

An upcast is needed where Avro's own resolution (new fields with defaults, aliases, wider numbers) cannot say what
the old fields mean now. They are applied when events are read; what lies in the log never changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bridge.errors import SchemaError

Change = Callable[[dict[str, Any]], dict[str, Any]]
Steps = Mapping[tuple[str, int], Change]
"""A category's upcasts, by event type and by the version that they take events from."""


@dataclass(frozen=True)
class Upcast:
    """One step of an event type: `change` takes the fields of `version` of its schema to the shape of `version + 1`.

    `change` is pure, and is given fields of its own: it may answer with them changed. `version` is that of the .avsc.
    """

    category: str
    type: str
    version: int
    change: Change


def chain(steps: Steps, type_: str, version: int, newest: int) -> Change:
    """All steps from a version to the newest as one. Raises SchemaError at a gap."""
    changes = []
    for step in range(version, newest):
        if (type_, step) not in steps:
            raise SchemaError(f"{type_} is at version {newest}, but {_missing(step)}")
        changes.append(steps[type_, step])

    def change(data: dict[str, Any]) -> dict[str, Any]:
        for one in changes:
            data = one(data)
        return data

    return change


def problems(category: str, newest: Mapping[str, int], steps: Steps) -> Iterator[str]:
    """A sentence for each step that is missing, and for each that leads beyond the newest version of its type."""
    for type_, last in newest.items():
        for version in range(1, last):
            if (type_, version) not in steps:
                yield f"category {category}: {type_} is at version {last}, but {_missing(version)}"
    for type_, version in sorted(steps):
        if version >= newest.get(type_, 0):
            yield (
                f"category {category}: the upcast of {type_} from version {version} leads beyond its newest version, "
                f"{newest.get(type_, 0)}: raise `version` in its .avsc"
            )


def by_category(upcasts: Iterable[Upcast]) -> dict[str, dict[tuple[str, int], Change]]:
    """The steps of each category. Raises SchemaError for two of one step, and for a version below 1."""
    found: dict[str, dict[tuple[str, int], Change]] = {}
    for one in upcasts:
        steps = found.setdefault(one.category, {})
        if one.version < 1:
            raise SchemaError(
                f"category {one.category}: an upcast of {one.type} is from version {one.version}; 1 is first"
            )
        if (one.type, one.version) in steps:
            raise SchemaError(f"category {one.category}: two upcasts lead {one.type} from version {one.version}")
        steps[one.type, one.version] = one.change
    return found


def _missing(version: int) -> str:
    return f"no upcast leads from version {version} to {version + 1}"
