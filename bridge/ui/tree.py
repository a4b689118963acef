"""Two values as one tree with marks: what is there, what is new, what has gone. Pure.

A large state is not drawn whole: a branch shows its first hundred entries and every one that changed, branches without
changes are closed, and what is closed is asked for when it is opened.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bridge.ui.words import leaf
from bridge.views import Mark

MOST = 100
"""Entries of a branch that are shown at once, beside those that changed."""
MOST_CHANGED = 200
OPEN = 12
"""A branch with at most so many entries is open from the start."""
DEEP = 24

ABSENT: Any = type("Absent", (), {"__repr__": lambda _: "ABSENT"})()
"""What stands where there is no value; None is a value."""


@dataclass(frozen=True, slots=True)
class Node:
    """An entry. A branch has `count` entries; its children are None while they were not asked for.

    `pointer` is the branch's address (RFC 6901), `was` the text before a change.
    """

    label: str
    mark: Mark
    pointer: str
    text: str = ""
    was: str = ""
    count: int | None = None
    changes: int = 0
    children: Branch | None = None
    opens: str = ""

    @property
    def is_branch(self) -> bool:
        """Whether it has entries of its own, be they none."""
        return self.count is not None


@dataclass(frozen=True, slots=True)
class Branch:
    """Entries in order, and how many more there are behind those that were asked for."""

    nodes: Sequence[Node]
    more: int = 0
    next: int = 0


def grow(old: Any, new: Any, pointer: str = "", skip: int = 0, depth: int = 0) -> Branch:
    """The entries of a branch, `skip` of those that did not change left out at the front."""
    keys = _keys(old, new)
    changed = [key for key in keys if _at(old, key) != _at(new, key)]
    marked = set(changed[:MOST_CHANGED])
    window = set(keys[skip : skip + MOST])
    shown = [key for key in keys if key in window or (key in marked and not skip)]
    nodes = [_node(key, _at(old, key), _at(new, key), pointer, depth) for key in shown]
    following = skip + MOST
    return Branch(nodes, max(0, len(keys) - following), following)


def find(value: Any, pointer: str) -> Any:
    """What lies at a pointer, ABSENT where nothing does."""
    for step in pointer.split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        value = _at(value, int(step) if isinstance(value, list | tuple) and step.isdecimal() else step)
    return value


def _node(key: Any, old: Any, new: Any, pointer: str, depth: int) -> Node:
    mark = marked(old, new)
    here = f"{pointer}/{str(key).replace('~', '~0').replace('/', '~1')}"
    value = old if new is ABSENT else new
    if not _is_branch(value):
        return Node(str(key), mark, here, leaf(value), leaf(old) if mark is Mark.CHANGED else "")
    before = old if _is_branch(old) else ABSENT
    changes = sum(1 for _ in _changes(before, value)) if mark is not Mark.SAME else 0
    inside = depth < DEEP and (changes > 0 or len(value) <= OPEN)
    was = leaf(old) if mark is Mark.CHANGED and before is ABSENT else ""
    children = grow(before if mark is not Mark.REMOVED else value, value, here, 0, depth + 1) if inside else None
    return Node(str(key), mark, here, "", was, len(value), changes, children)


def marked(old: Any, new: Any) -> Mark:
    """What became of a value."""
    if old is ABSENT:
        return Mark.ADDED
    if new is ABSENT:
        return Mark.REMOVED
    return Mark.SAME if old is new or old == new else Mark.CHANGED


def _changes(old: Any, new: Any) -> Iterator[Any]:
    return (key for key in _keys(old, new) if _at(old, key) != _at(new, key))


def _is_branch(value: Any) -> bool:
    return isinstance(value, Mapping | list | tuple)


def _keys(old: Any, new: Any) -> list[Any]:
    """Those of the new value in its order, then those that have gone."""
    if isinstance(new, Mapping):
        gone = [key for key in old if key not in new] if isinstance(old, Mapping) else []
        return [*new, *gone]
    longest = max(len(new) if _is_branch(new) else 0, len(old) if isinstance(old, list | tuple) else 0)
    return list(range(longest))


def _at(value: Any, key: Any) -> Any:
    if isinstance(value, Mapping):
        return value.get(key, ABSENT)
    if isinstance(value, list | tuple) and isinstance(key, int):
        return value[key] if 0 <= key < len(value) else ABSENT
    return ABSENT
