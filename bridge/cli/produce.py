"""`produce`: appends from newline-delimited JSON, many in flight, each stream in its own order."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Annotated

import msgspec
import stamina
import typer
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from bridge import times
from bridge.cli.console import JsonFlag, err, out, with_platform, write_json
from bridge.errors import Invalid, LighthouseError, Unavailable, Unknown
from bridge.events import Event, StreamId
from bridge.handle import Context
from bridge.log.avro import CategorySchema
from bridge.log.json_values import from_json
from bridge.wiring import Platform

LANES = 256
QUEUED = 16
MAX_LINE = 16 * 1024 * 1024
PATIENCE = 60.0
STANDARD_INPUT = Path("-")


class Item(msgspec.Struct, forbid_unknown_fields=True):
    """One event."""

    type: str
    data: dict[str, object] = {}


class Line(msgspec.Struct, forbid_unknown_fields=True):
    """One append: `events` with type and data, or one event's `type` and `data` in short."""

    stream: str
    type: str = ""
    data: dict[str, object] = {}
    events: list[Item] = []
    expected_version: int | None = None
    key: str = ""
    actor: str = ""
    time: str = ""
    metadata: dict[str, str] = {}


Sent = tuple[int, bytes, Line]
"""A line's number, its text, and what it says."""


@dataclass
class Tally:
    """What became of the lines; the first few errors are kept as they are."""

    appends: int = 0
    events: int = 0
    duplicates: int = 0
    failed: int = 0
    errors: list[str] = field(default_factory=list)

    def fail(self, number: int, error: Exception) -> None:
        """Counts a line that could not be written."""
        self.failed += 1
        if len(self.errors) < 20:
            self.errors.append(f"line {number}: {error}")


@dataclass(frozen=True)
class _Run:
    platform: Platform
    actor: str
    name: str
    tally: Tally


def produce(
    file: Annotated[Path | None, typer.Argument(help="A file of JSON lines; none or - for standard input.")] = None,
    actor: Annotated[str, typer.Option(help="Who writes, where a line does not say.")] = "cli",
    name: Annotated[str, typer.Option(help="Makes keys repeatable; the file's name and size if not given.")] = "",
    json: JsonFlag = False,
) -> None:
    """Append events from JSON lines: {"stream", "type", "data"} or {"stream", "events": [{"type", "data"}]}.

    A line without a key gets one from the input's name and the line's number and text: running the same file twice
    adds nothing, and a run that was interrupted is simply started again. Give standard input a name with --name.
    """
    tally = Tally()
    file = None if file == STANDARD_INPUT else file

    async def work(platform: Platform) -> None:
        run = _Run(platform, actor, name or _name_of(file), tally)
        with _source(file) as source, _progress(file) as (progress, task):
            async for done in _lanes(run, source):
                progress.update(task, completed=done, description=f"{tally.events:,} events")

    with_platform(work)
    _report(tally, json)


def _name_of(file: Path | None) -> str:
    return f"{file.resolve().name}:{file.stat().st_size}" if file is not None and file.exists() else os.urandom(8).hex()


def _source(file: Path | None) -> IO[bytes]:
    try:
        return file.open("rb") if file is not None else os.fdopen(os.dup(sys.stdin.fileno()), "rb")
    except OSError as error:
        raise Invalid("file", f"{file} cannot be read: {error}") from error


@contextmanager
def _progress(file: Path | None) -> Iterator[tuple[Progress, TaskID]]:
    """A bar over the input's bytes, with rate and time left; standard input has no end to tell."""
    columns = (BarColumn(), TaskProgressColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    total = file.stat().st_size if file is not None else None
    with Progress(TextColumn("{task.description}"), *columns, console=err, transient=True) as bar:
        yield bar, bar.add_task("0 events", total=total)


async def _lanes(run: _Run, source: IO[bytes]) -> AsyncIterator[int]:
    """Spreads the lines over lanes by stream, so that a stream keeps its order; yields the bytes read so far."""
    lanes: list[asyncio.Queue[Sent | None]] = [asyncio.Queue(QUEUED) for _ in range(LANES)]
    async with asyncio.TaskGroup() as group:
        for lane in lanes:
            group.create_task(_lane(run, lane))
        read = 0
        for number, raw in _lines(source):
            read += len(raw)
            if raw.strip() and (line := _parsed(run, number, raw)) is not None:
                await lanes[hash(line.stream) % LANES].put((number, raw, line))
            if number % 100 == 0:
                yield read
        for lane in lanes:
            await lane.put(None)
    yield read


def _lines(source: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    number = 0
    while raw := source.readline(MAX_LINE):
        number += 1
        yield number, raw


def _parsed(run: _Run, number: int, raw: bytes) -> Line | None:
    """The line, or None for one that is no append, which is counted as failed."""
    try:
        return msgspec.json.decode(raw, type=Line)
    except msgspec.DecodeError as error:
        run.tally.fail(number, Invalid("", str(error)))
        return None


async def _lane(run: _Run, lane: asyncio.Queue[Sent | None]) -> None:
    while (item := await lane.get()) is not None:
        try:
            await _append(run, *item)
        except LighthouseError as error:
            run.tally.fail(item[0], error)


async def _append(run: _Run, number: int, raw: bytes, line: Line) -> None:
    handler = run.platform.handler
    schema = await run.platform.base.schemas.writer(StreamId.parse(line.stream).category)
    items = line.events or [Item(line.type, line.data)]
    events = [_event(schema, item, f"events.{place}") for place, item in enumerate(items)]
    key = line.key or hashlib.blake2b(b"%s:%d:%s" % (run.name.encode(), number, raw), digest_size=16).hexdigest()
    context = Context(line.actor or run.actor, key, _time(line.time), metadata=line.metadata)
    async for attempt in stamina.retry_context(on=(Unavailable, Unknown), timeout=PATIENCE, attempts=None):
        with attempt:
            done = await handler.append(line.stream, events, line.expected_version, context)
    run.tally.appends += 1
    run.tally.events += len(events)
    run.tally.duplicates += done.duplicate


def _event(schema: CategorySchema, item: Item, path: str) -> Event:
    branch = schema.branch(item.type, f"{path}.type")
    return Event(item.type, from_json(branch.schema, item.data, f"{path}.data"))


def _time(text: str) -> int | None:
    return times.parse(text, "time") if text else None


def _report(tally: Tally, json: bool) -> None:
    if json:
        write_json(msgspec.to_builtins(tally))
    else:
        out.print(f"{tally.appends:,} appends, {tally.events:,} events, {tally.duplicates:,} of them written before")
        for error in tally.errors:
            err.print(f"[red]{error}[/red]")
        if tally.failed > len(tally.errors):
            err.print(f"[red]and {tally.failed - len(tally.errors)} more[/red]")
    if tally.failed:
        raise typer.Exit(1)
