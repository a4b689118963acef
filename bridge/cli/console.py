"""What the commands print: results on standard output, everything else on standard error; `--json` is one value."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Annotated, Any, TypeVar

import msgspec
import typer
import uvloop
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bridge.settings import Settings
from bridge.wiring import Base, Platform, open_base, open_platform

T = TypeVar("T")

err = Console(stderr=True, highlight=False)
WIDE = 200
"""Columns of a table that goes to a file or a pipe."""

out = Console(highlight=False, width=None if sys.stdout.isatty() else WIDE)

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def write_json(value: Any) -> None:
    """One JSON value on one line."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")


def write_table(columns: Sequence[str], rows: Iterable[Sequence[object]], wrap: bool = False) -> None:
    """A table; numbers stand on the right. What does not fit is cut in the widest columns first.

    `wrap` is for a last column of sentences, of which none may be hidden: it takes as many lines as it needs.
    """
    found = [tuple(row) for row in rows]
    cells = [["" if value is None else str(value) for value in row] for row in found]
    natural = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    table = Table(box=None, header_style="bold", pad_edge=False)
    for number, (name, width) in enumerate(zip(columns, fit(natural, out.width - 2 * len(columns)), strict=True)):
        numeric = bool(found) and all(isinstance(row[number], int | float) for row in found)
        last = wrap and number == len(columns) - 1
        table.add_column(
            name,
            width=width,
            justify="right" if numeric else "left",
            no_wrap=not last,
            overflow="fold" if last else "ellipsis",
        )
    for row in cells:
        table.add_row(*map(Text, row))
    out.print(table)


def fit(widths: Sequence[int], room: int) -> list[int]:
    """The widths, none of them below one, with the widest made narrower until all have room."""
    fitting = [max(width, 1) for width in widths]
    while sum(fitting) > room and max(fitting, default=1) > 1:
        fitting[fitting.index(max(fitting))] -= 1
    return fitting


def with_platform(work: Callable[[Platform], Awaitable[T]], settings: Settings | None = None) -> T:
    """Runs the work with everything that reads and writes need, and closes it again."""

    async def run() -> T:
        async with open_platform(settings or Settings()) as platform:
            return await work(platform)

    return uvloop.run(run())


def with_base(work: Callable[[Base], Awaitable[T]]) -> T:
    """Runs the work with clients for Kafka and the registry, and closes them again."""

    async def run() -> T:
        async with open_base(Settings()) as base:
            return await work(base)

    return uvloop.run(run())
