"""`events`, `state`, `diff`: a stream's past, read from the history."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Annotated, Any

import typer
from rich.markup import escape

from bridge import present, times
from bridge.cli.console import JsonFlag, err, out, with_platform, write_json, write_table
from bridge.errors import Invalid
from bridge.events import StreamId
from bridge.history.events import Range
from bridge.history.reader import NOW, At, Diff, Page, StateAt
from bridge.history.times import ClockName
from bridge.wiring import Platform

Stream = Annotated[str, typer.Argument(help="The stream, category/id.")]
Clock = Annotated[ClockName, typer.Option(help="The clock of --as-of: the log's own, or the writers' event time.")]
AsOf = Annotated[str | None, typer.Option(help="As of this date or time (UTC if it names no zone).")]

LAST = 2**62


class Direction(str, Enum):
    """Oldest or newest event first."""

    FORWARD = "forward"
    BACKWARD = "backward"


def events(
    stream: Stream,
    from_version: Annotated[int, typer.Option(min=0, help="The first version.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 100,
    as_of: AsOf = None,
    clock: Clock = ClockName.EFFECTIVE,
    direction: Annotated[Direction, typer.Option(help="Oldest or newest first.")] = Direction.FORWARD,
    json: JsonFlag = False,
) -> None:
    """List a stream's events, one a line (JSON Lines with --json)."""
    span = Range(from_version, LAST, limit, direction is Direction.BACKWARD)
    page = with_platform(lambda platform: _events(platform, stream, span, _at(as_of, clock)))
    shown = [present.of_event(event) for event in page.events]
    if json:
        for one in shown:
            write_json(one)
        return
    columns = ("version", "type", "event_time", "actor")
    write_table((*columns, "data"), ([*(getattr(one, name) for name in columns), _short(one.data)] for one in shown))
    rest = f"; go on at version {page.next}" if page.next is not None else ""
    err.print(f"[dim]{len(shown)} of {page.head} events of {stream}{rest}[/dim]")


async def _events(platform: Platform, stream: str, span: Range, at: At) -> Page:
    return await platform.history.events(stream, span, at)


def _short(data: Any) -> str:
    text = ", ".join(f"{name}={value!r}" for name, value in data.items())
    return text if len(text) <= 120 else text[:117] + "…"


def state(
    stream: Stream,
    version: Annotated[int | None, typer.Option(min=0, help="After this version's event.")] = None,
    as_of: AsOf = None,
    clock: Clock = ClockName.EFFECTIVE,
    commit: Annotated[str | None, typer.Option(help="At this commit: short for --bookmark commit=SHA.")] = None,
    bookmark: Annotated[str | None, typer.Option(help="At a named point, NAME=VALUE.")] = None,
    json: JsonFlag = False,
) -> None:
    """Show a stream's state, now or at any past moment."""
    mark = f"commit={commit}" if commit is not None else bookmark
    if sum(given is not None for given in (version, as_of, mark)) > 1:
        raise Invalid("state", "give one of --version, --as-of, --commit and --bookmark")
    at = At(version=version) if version is not None else _at(as_of, clock)

    async def work(platform: Platform) -> tuple[StateAt, Iterable[str] | None]:
        point = await _bookmark(platform, stream, mark) if mark is not None else at
        found = await platform.history.state(stream, point)
        lines = platform.base.catalog.listings.get(StreamId.parse(stream).category)
        return found, lines(found.state) if lines is not None else None

    found, lines = with_platform(work)
    _show_state(found, at, lines, json)


def _show_state(found: StateAt, at: At, lines: Iterable[str] | None, json: bool) -> None:
    if json:
        write_json(present.of_state(found, at.time))
        return
    err.print(f"[dim]{found.stream} after version {found.version}{', final' if found.final else ''}[/dim]")
    if lines is None:
        out.print_json(data=present.of_state(found, at.time).state)
        return
    for line in lines:
        typer.echo(line)


async def _bookmark(platform: Platform, stream: str, text: str) -> At:
    """The version that `NAME=VALUE` names in the stream."""
    name, _, value = text.partition("=")
    mark = platform.base.catalog.bookmark(StreamId.parse(stream).category, name)
    return At(version=await platform.history.find(stream, mark.type, mark.field, value))


def _at(as_of: str | None, clock: ClockName) -> At:
    return NOW if as_of is None else At(time=times.parse(as_of, "as_of"), clock=clock)


def diff(
    stream: Stream,
    start: Annotated[str, typer.Option("--from", help="A version, or a date or time.")],
    stop: Annotated[str, typer.Option("--to", help="A version, or a date or time; now if not given.")] = "",
    clock: Clock = ClockName.EFFECTIVE,
    json: JsonFlag = False,
) -> None:
    """Show what changed in a stream's state between two moments."""
    before, after = _point(start, "from", clock), _point(stop, "to", clock) if stop else NOW

    async def work(platform: Platform) -> Diff:
        return await platform.history.diff(stream, before, after)

    found = with_platform(work)
    if json:
        write_json(present.of_diff(found))
        return
    err.print(f"[dim]{stream} from version {found.before} to {found.after}: {len(found.events)} events[/dim]")
    for step in found.patch:
        _show_step(step)


COLOURS = {"add": "green", "remove": "red", "replace": "yellow"}


def _show_step(step: dict[str, Any]) -> None:
    value = escape(repr(step["value"])) if "value" in step else escape(str(step.get("from", "")))
    colour = COLOURS.get(step["op"], "cyan")
    out.print(f"[{colour}]{step['op']:8}[/{colour}] {escape(step['path'])} {value}")


def _point(text: str, path: str, clock: ClockName) -> At:
    return At(version=int(text)) if text.isdigit() else At(time=times.parse(text, path), clock=clock)
