"""`projections`: how they stand, their rows, and what a person decides of them."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from bridge import present, times
from bridge.cli.console import JsonFlag, err, out, with_platform, write_json, write_table
from bridge.cli.deciding import decided, decider
from bridge.decisions import Build
from bridge.errors import Invalid, NotFound
from bridge.present import BuildAnswer, ProjectionAnswer
from bridge.query.reader import Span, When
from bridge.wiring import Platform

app = typer.Typer(help="Projections: how they stand, their rows, rebuild, retry, skip.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The projection's name.")]
Version = Annotated[int | None, typer.Option(min=1, help="A registered version; the newest if not given.")]
BuildText = Annotated[str, typer.Argument(metavar="BUILD", help="Version and generation, e.g. 2.0.")]

LOOK = 0.5
"""Seconds between two looks at a rebuild."""


@app.command("list")
def list_(json: JsonFlag = False) -> None:
    """List the projections with their builds: which answers, how far each is, what is parked."""

    async def work(platform: Platform) -> list[ProjectionAnswer]:
        names = platform.projections.names
        return [present.of_projection(await platform.projections.status(name)) for name in names]

    found = with_platform(work)
    if json:
        write_json(found)
        return
    columns = ("projection", "build", "answers", "state", "lag", "seconds", "done", "left", "parked")
    write_table(columns, [_shown(one, build) for one in found for build in one.builds], wrap=True)


def _shown(one: ProjectionAnswer, build: BuildAnswer) -> tuple[object, ...]:
    left = "" if build.eta_seconds is None else f"{build.eta_seconds:.0f} s"
    parked = "; ".join(f"{why.event} in {why.category}-{why.partition}: {why.error}" for why in build.parked)
    name = f"{build.version}.{build.generation}"
    standing = build.state, build.lag_records, f"{build.lag_seconds:.1f}", f"{build.progress:.0%}"
    return one.name, name, "yes" if build.answering else "", *standing, left, parked


@app.command()
def rows(
    name: Name,
    key: Annotated[str, typer.Argument(help="One row's key; all rows if not given.")] = "",
    prefix: Annotated[str, typer.Option(help="Only keys that begin so.")] = "",
    after: Annotated[str, typer.Option(help="Only rows behind this key.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 100,
    as_of: Annotated[str | None, typer.Option(help="As of this date or time, of a versioned projection.")] = None,
    json: JsonFlag = False,
) -> None:
    """Show a projection's rows, now or as of a time."""
    time = None if as_of is None else times.parse(as_of, "as_of")
    if key:
        row = with_platform(lambda platform: platform.projections.row(name, key, When(time)))
        value = present.of_row(row, time)
        write_json(value) if json else out.print_json(data=value.row)
        return
    page = with_platform(lambda platform: platform.projections.rows(name, Span(prefix, after, limit), When(time)))
    shown = present.of_rows(page, time)
    if json:
        write_json(shown)
        return
    write_table(("key", "row"), ((one.key, one.row) for one in shown.rows))
    err.print(f"[dim]{len(shown.rows)} rows{f'; go on with --after {shown.next}' if shown.next else ''}[/dim]")


@app.command()
def rebuild(
    name: Name,
    version: Version = None,
    wait: Annotated[bool, typer.Option(help="Stay until the new build answers.")] = True,
    json: JsonFlag = False,
) -> None:
    """Build a projection's rows once more, beside those that answer until the new ones are complete."""

    async def work(platform: Platform) -> ProjectionAnswer:
        await platform.steering.rebuild(name, version, decider())
        newest = platform.base.catalog.versions(name)
        wanted = (await platform.projections.decisions()).of(name).newest(version or max(newest))
        if wait:
            await _watch(platform, name, wanted)
        return present.of_projection(await platform.projections.status(name))

    found = with_platform(work)
    if json:
        write_json(found)
        return
    out.print(f"{name} answers from build {found.version}.{found.generation}")


async def _watch(platform: Platform, name: str, wanted: Build) -> None:
    """A bar until the build answers. Raises NotFound when it parks, with the error."""
    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task(f"{name} {wanted[0]}.{wanted[1]}", total=1.0)
        while True:
            status = await platform.projections.status(name)
            build = next((one for one in status.builds if one.build == wanted), None)
            if status.answering >= wanted:
                return
            if build is not None:
                shown = present.of_build(build)
                if shown.parked:
                    raise NotFound(f"{name} stands still at {shown.parked[0].event}: {shown.parked[0].error}")
                bar.update(task, completed=shown.progress)
            await asyncio.sleep(LOOK)


@app.command()
def retry(name: Name, version: Version = None, json: JsonFlag = False) -> None:
    """Try the events again at which a projection stands still."""
    decided(lambda platform, asked: platform.steering.retry(name, version, asked), json)


@app.command()
def skip(
    name: Name,
    event: Annotated[str | None, typer.Argument(help="The event's id; not needed where it stands at one only.")] = None,
    json: JsonFlag = False,
) -> None:
    """Let a projection go on without an event that it stands at, now and in every rebuild of this version."""
    decided(lambda platform, asked: platform.steering.skip(name, event, asked), json)


@app.command()
def answer(name: Name, build: BuildText, json: JsonFlag = False) -> None:
    """Let a complete build answer, also an older one."""
    decided(lambda platform, asked: platform.steering.answer(name, _build(build), asked), json)


@app.command()
def drop(name: Name, build: BuildText, json: JsonFlag = False) -> None:
    """Remove the rows of a build that does not answer."""
    decided(lambda platform, asked: platform.steering.drop(name, _build(build), asked), json)


def _build(text: str) -> Build:
    version, _, generation = text.partition(".")
    if not version.isdecimal() or not (generation or "0").isdecimal():
        raise Invalid("build", f"{text[:40]!r} is no build; write version.generation, e.g. 2.0")
    return int(version), int(generation or 0)
