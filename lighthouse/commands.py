"""The command line of the Lighthouse."""

from __future__ import annotations

import json as jsonlib
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, cast

import typer
import uvloop
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from bridge.errors import LighthouseError, NotFound
from bridge.events import StreamId
from bridge.history.reader import History
from bridge.settings import Settings
from bridge.wiring import open_platform
from lighthouse.blobs import open_blobs
from lighthouse.git import Repository, open_repository
from lighthouse.import_git import Imported, Target, import_git
from lighthouse.project.state import Project

commands = typer.Typer(help="The Lighthouse: projects and what agents may do to them.", no_args_is_help=True)


@commands.callback()
def _group() -> None:
    """Keeps a single command a command."""


@commands.command("import-git")
def import_git_command(
    path: Annotated[Path, typer.Argument(help="A directory in the repository.")] = Path(),
    name: Annotated[str, typer.Option(help="The project's name; the directory's, if not given.")] = "",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Import a git repository's first-parent history into project/NAME; again, to import what is new."""
    with _sentences():
        imported = uvloop.run(_import(path, name))
        typer.echo(jsonlib.dumps(asdict(imported)) if json else summary(imported))


def summary(imported: Imported) -> str:
    """What an import did, for a person."""
    return "\n".join(_summary(imported))


def project_name(repository: Repository) -> str:
    """The directory's name, with `-` for what a stream's name cannot hold."""
    return re.sub(r"[^A-Za-z0-9._~@:+-]+", "-", repository.name) or "project"


class _States:
    """The read side of the import."""

    def __init__(self, history: History) -> None:
        self._history = history

    async def state(self, stream: str) -> Project | None:
        """None for a stream without events."""
        try:
            found = await self._history.state(stream)
        except NotFound:
            return None
        return cast(Project, found.state)


@asynccontextmanager
async def _open() -> AsyncIterator[Target]:
    """The platform by its settings."""
    async with open_platform(Settings()) as platform:
        settings = platform.base.settings
        blobs = open_blobs(settings.blobs, settings.root / "blobs")
        yield Target(platform.handler, _States(platform.history), blobs)


async def _import(path: Path, name: str) -> Imported:
    repository = open_repository(path)
    stream = str(StreamId.parse(f"project/{name or project_name(repository)}"))
    async with _open() as target:
        with _progress(stream) as progress:
            task = progress.add_task(stream, total=None)
            return await import_git(
                repository, stream, target, lambda done, total: progress.update(task, completed=done, total=total)
            )


def _summary(imported: Imported) -> Iterator[str]:
    rate = imported.commits / max(imported.seconds, 1e-9)
    did = (
        f"{imported.commits:,} commits ({imported.events:,} events) in {imported.seconds:.1f} s, {rate:,.0f} commits/s"
    )
    if not imported.head:
        yield f"{imported.stream}: nothing to import, the repository has no commits yet"
    else:
        yield f"{imported.stream}: {did if imported.commits else 'nothing new'}; it is at {imported.head}"
    if imported.clamped:
        yield f"{imported.clamped:,} commits are dated in the future; they were recorded as of now"
    if imported.shallow:
        yield "the clone is shallow: the project's history begins where the clone's does"


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        """Commits a second."""
        return Text(f"{task.speed or 0:,.0f}/s", style="progress.data.speed")


def _progress(stream: str) -> Progress:
    """On standard error, so that standard output stays clean for --json."""
    columns = (TextColumn(stream), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)


@contextmanager
def _sentences() -> Iterator[None]:
    """An error of ours is a sentence, not a traceback."""
    try:
        yield
    except LighthouseError as error:
        typer.secho(f"error: {error}", err=True, fg="red")
        raise typer.Exit(1) from error
