"""A file's content, and what changed in it, as lines. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from bridge.ui.words import size
from bridge.views import Mark

MOST_LINES = 4_000
"""Lines that are compared; the time it takes may grow with their square."""
MOST_BYTES = 1024 * 1024
AROUND = 6
"""Lines shown around a change."""
SHOWN = 2_000
"""Lines of a content without a change that are shown."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line with its number before and after; a line without a mark and a number stands for those left out."""

    mark: Mark
    old: int | None
    new: int | None
    text: str


@dataclass(frozen=True, slots=True)
class Shown:
    """A content on a page. `why` says why there are no lines, or not all."""

    lines: Sequence[Line] = ()
    added: int = 0
    removed: int = 0
    why: str = ""


def show(old: bytes | None, new: bytes | None) -> Shown:
    """The content, or the change of it where the two differ; None where there is no file."""
    if new is None and old is None:
        return Shown(why="There is no such file at this version.")
    if old == new:
        return _whole(new or b"")
    texts = [_text(content or b"") for content in (old, new)]
    if None in texts:
        return Shown(why=f"Not text: {size(len(old or b''))} before, {size(len(new or b''))} after.")
    before, after = (text.splitlines() if text else [] for text in texts)
    if len(before) + len(after) > 2 * MOST_LINES:
        return Shown(why=f"Too long to compare: {len(before):,} lines before, {len(after):,} after.")
    return _difference(before, after)


def _text(content: bytes) -> str | None:
    """The content if it is text of a size that a page can hold."""
    if len(content) > MOST_BYTES or b"\0" in content[:8000]:
        return None
    try:
        return content.decode()
    except UnicodeDecodeError:
        return None


def _whole(content: bytes) -> Shown:
    text = _text(content)
    if text is None:
        return Shown(why=f"{size(len(content))} that are not text, or too much of it.")
    lines = text.splitlines()
    shown = [Line(Mark.SAME, number, number, line) for number, line in enumerate(lines[:SHOWN], 1)]
    why = f"{len(lines) - SHOWN:,} more lines are not shown." if len(lines) > SHOWN else ""
    return Shown(shown, why=why if lines else "An empty file.")


def _difference(before: list[str], after: list[str]) -> Shown:
    groups = SequenceMatcher(None, before, after, autojunk=True).get_grouped_opcodes(AROUND)
    lines = [line for number, group in enumerate(groups) for line in _group(group, before, after, number)]
    added, removed = (sum(1 for line in lines if line.mark is mark) for mark in (Mark.ADDED, Mark.REMOVED))
    return Shown(lines, added, removed, "" if lines else "Only what is beside the lines changed.")


Opcode = tuple[str, int, int, int, int]


def _group(group: Sequence[Opcode], before: list[str], after: list[str], number: int) -> Iterator[Line]:
    if number or group[0][1]:
        yield Line(Mark.SAME, None, None, "")
    for tag, start, stop, first, last in group:
        if tag == "equal":
            for offset in range(stop - start):
                yield Line(Mark.SAME, start + offset + 1, first + offset + 1, before[start + offset])
            continue
        yield from (Line(Mark.REMOVED, place + 1, None, before[place]) for place in range(start, stop))
        yield from (Line(Mark.ADDED, None, place + 1, after[place]) for place in range(first, last))
