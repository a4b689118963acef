"""A file tree out of paths, with the marks of what changed. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bridge.ui.tree import MOST, MOST_CHANGED, Branch, Node
from bridge.views import File, Mark

ALL_OPEN = 60
"""A tree of at most so many files is open from the start."""


@dataclass
class _Folder:
    folders: dict[str, _Folder] = field(default_factory=dict)
    files: list[tuple[str, File]] = field(default_factory=list)
    count: int = 0
    changes: int = 0


def files_tree(files: Sequence[File], chosen: str = "", inside: str = "", skip: int = 0) -> Branch:
    """The entries of a folder (`inside`, "" for the root): folders first, open on the way to a change or the chosen."""
    root = _built(files)
    for part in inside.split("/") if inside else ():
        root = root.folders.get(part, _Folder())
    way = chosen if chosen.startswith(f"{inside}/" if inside else "") else ""
    return _branch(root, inside, way, skip, everything=len(files) <= ALL_OPEN)


def changed(files: Sequence[File]) -> list[File]:
    """The files with a mark."""
    return [file for file in files if file.mark is not Mark.SAME]


def _built(files: Sequence[File]) -> _Folder:
    root = _Folder()
    for file in files:
        *parents, name = file.path.split("/")
        here, counts = root, file.mark is not Mark.SAME
        for part in parents:
            here.count += 1
            here.changes += counts
            here = here.folders.setdefault(part, _Folder())
        here.count += 1
        here.changes += counts
        here.files.append((name, file))
    return root


def _branch(folder: _Folder, path: str, chosen: str, skip: int, everything: bool) -> Branch:
    entries: list[tuple[str, _Folder | File]] = [*sorted(folder.folders.items()), *sorted(folder.files, key=_name)]
    marked = [name for name, entry in entries if _changes(entry)][:MOST_CHANGED]
    shown = {name for name, _ in entries[skip : skip + MOST]} | ({*marked} if not skip else set())
    nodes = [_node(name, entry, path, chosen, everything) for name, entry in entries if name in shown]
    return Branch(nodes, max(0, len(entries) - skip - MOST), skip + MOST)


def _name(entry: tuple[str, File]) -> str:
    return entry[0]


def _changes(entry: _Folder | File) -> bool:
    return entry.changes > 0 if isinstance(entry, _Folder) else entry.mark is not Mark.SAME


def _node(name: str, entry: _Folder | File, path: str, chosen: str, everything: bool) -> Node:
    here = f"{path}/{name}" if path else name
    if isinstance(entry, File):
        return Node(name, entry.mark, here, entry.note, entry.was, opens=entry.path)
    inside = everything or entry.changes > 0 or chosen.startswith(f"{here}/")
    children = _branch(entry, here, chosen, 0, everything) if inside else None
    mark = Mark.CHANGED if entry.changes else Mark.SAME
    return Node(name, mark, here, "", "", entry.count, entry.changes, children)
