"""`replay`: the events of many streams, as they happened; to the terminal, to a program, or to another topic."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, Any

import msgspec
import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from bridge import times
from bridge.cli.console import JsonFlag, err, out, with_platform, write_json
from bridge.cli.copying import Copied, check_name, copy
from bridge.errors import Invalid
from bridge.events import StreamId
from bridge.feed.filters import Filter
from bridge.feed.messages import Asked, Events, Message
from bridge.feed.pace import LONGEST
from bridge.feed.playback import Playback
from bridge.log.json_values import instant
from bridge.settings import Settings
from bridge.wiring import Platform

Report = Callable[[int, int], None]
"""Told how many events have come, and the effective time of the last one."""


def replay(
    category: Annotated[list[str] | None, typer.Option(help="Events of this category; may be repeated.")] = None,
    stream: Annotated[list[str] | None, typer.Option(help="Events of this stream; may be repeated.")] = None,
    type_: Annotated[list[str] | None, typer.Option("--type", help="Events of this type; may be repeated.")] = None,
    actor: Annotated[list[str] | None, typer.Option(help="Events that this one wrote; may be repeated.")] = None,
    correlation: Annotated[
        list[str] | None, typer.Option("--correlation-id", help="Events that belong to this; may be repeated.")
    ] = None,
    start: Annotated[str, typer.Option("--from", help="From this date or time on, as the log has it.")] = "",
    stop: Annotated[str, typer.Option("--to", help="Until this date or time; now if not given.")] = "",
    speed: Annotated[float, typer.Option(min=0, help="Times as fast as it happened; 0: as fast as possible.")] = 0.0,
    gap: Annotated[float, typer.Option(min=0.001, help="Seconds until the next event, at most.")] = LONGEST,
    follow: Annotated[bool, typer.Option("--follow", help="Go on with what is new, until Ctrl-C.")] = False,
    to_topic: Annotated[str, typer.Option(help="Write the events to this topic, as CloudEvents.")] = "",
    json: JsonFlag = False,
) -> None:
    """Replay the events of many streams in the order of the log's time, one a line (JSON Lines with --json).

    With --to-topic they are written to another topic, one record an event; what the topic has already is left out, so
    that a second run adds nothing.
    """
    wanted = _filter(category, stream, type_, actor, correlation)
    since, until = (times.parse(text, name) if text else None for text, name in ((start, "from"), (stop, "to")))
    if follow and (until is not None or to_topic):
        raise Invalid("follow", "it has no end: give neither --to nor --to-topic with it")
    if to_topic:
        _copy(to_topic, wanted, since, until, json)
        return
    _show(Asked(wanted, None, until, follow, speed, gap), since, json)


def _filter(*values: Sequence[str] | None) -> Filter:
    categories, streams, types, actors, correlations = (frozenset(some or ()) for some in values)
    return Filter(categories, frozenset(str(StreamId.parse(one)) for one in streams), types, actors, correlations)


def _show(asked: Asked, since: int | None, json: bool) -> None:
    """Prints the events as they come."""
    count = 0

    async def work(platform: Platform) -> None:
        async def tell(message: Message) -> None:
            nonlocal count
            if isinstance(message, Events):
                for _, text in message.entries:
                    _print(text, json)
                sys.stdout.flush()
                count += len(message.entries)
                report(count, instant(msgspec.json.decode(message.entries[-1][1])["effective_time"]))

        _check(platform, asked.until)
        with _progress(asked.until or platform.feed.now()) as report:
            async with Playback(platform.feed, replace(asked, start=platform.feed.at(since or 0)), tell) as playback:
                await playback.run()

    try:
        with_platform(work)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    err.print(f"[dim]{count:,} events[/dim]")


def _check(platform: Platform, until: int | None) -> None:
    if until is not None:
        platform.feed.check_time("to", until)


def _print(text: bytes, json: bool) -> None:
    if json:
        sys.stdout.write(text.decode() + "\n")
        return
    event: Mapping[str, Any] = msgspec.json.decode(text)
    where = f"[cyan]{escape(event['stream'])}[/cyan] [dim]{event['version']}[/dim]"
    what = f"[red]{escape(event['error'])}[/red]" if "error" in event else f"[bold]{event['type']}[/bold]"
    data = msgspec.json.encode(event["data"]).decode() if event["data"] is not None else ""
    line = f"[dim]{event['effective_time'][:23]}[/dim] {where} {what} {escape(data)}"
    out.print(line, no_wrap=True, overflow="ellipsis", crop=True)


@contextmanager
def _progress(until: int) -> Iterator[Report]:
    """A bar over the time that is replayed, unless the events themselves are on the screen."""
    first: int | None = None
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True, disable=sys.stdout.isatty()) as bar:
        task = bar.add_task("0 events", total=1.0)

        def report(count: int, effective: int) -> None:
            nonlocal first
            first = effective if first is None else first
            share = (effective - first) / max(until - first, 1)
            bar.update(task, completed=min(max(share, 0.0), 1.0), description=f"{count:,} events")

        yield report


def _copy(topic: str, wanted: Filter, since: int | None, until: int | None, json: bool) -> None:
    check_name(topic, Settings().topic_prefix)

    async def work(platform: Platform) -> Copied:
        _check(platform, until)
        with _progress(until or platform.feed.now()) as report:
            return await copy(platform, topic, wanted, platform.feed.at(since or 0), until, report)

    done = with_platform(work)
    if json:
        write_json(done)
    else:
        out.print(f"{done.written:,} events written to {topic}, {done.known:,} were there before")
    if done.held:
        err.print(f"[red]{done.held:,} events were held back: {escape(done.reason)}[/red]")
        raise typer.Exit(1)
