"""`topics repartition`: a category into a topic with more partitions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import Annotated, TypeVar

import msgspec
import typer
from rich.progress import Progress, TaskID

from bridge.cli.console import JsonFlag, err, out, with_base, write_json
from bridge.cli.up import servers
from bridge.errors import LighthouseError
from bridge.local import running
from bridge.repartition.steps import Repartition, Repartitioned
from bridge.settings import Settings
from bridge.store.factory import open_stores
from bridge.wiring import Base

T = TypeVar("T")
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done, and what is in the way.")]
Abandon = Annotated[bool, typer.Option("--abandon", help="Undo one that was begun and has not switched.")]


class Planned(msgspec.Struct, frozen=True):
    """What would be done, and what is in the way."""

    category: str
    before: int
    after: int
    records: int
    problems: list[str]


class Bars:
    """A progress bar for each thing that is done."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def tell(self, what: str, done: int, of: int) -> None:
        """See Tell."""
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what, total=of)
        self._progress.update(self._tasks[what], completed=done)


def repartition(
    category: Annotated[str, typer.Argument(help="The category.")],
    partitions: Annotated[
        int | None, typer.Option(min=2, max=1024, help="How many partitions it is to have: more than now.")
    ] = None,
    dry_run: DryRun = False,
    abandon: Abandon = False,
    json: JsonFlag = False,
) -> None:
    """Copy a category into more partitions, and compare every stream's history; started again, it goes on.

    End processors, reactors and APIs first, once the reactors have done all there is. Versions, times and append ids
    are kept. Afterwards start everything again: the histories are built anew.
    """
    if partitions is None and not abandon:
        raise LighthouseError("say how many partitions the category is to have: --partitions N")
    count = partitions or 0
    with ExitStack() as stack:
        _kafka(stack)
        if abandon:
            _with(category, lambda one: one.abandon())
            _show_abandoned(category, json)
        elif dry_run:
            _show_plan(_planned(category, count), json)
        else:
            _show(_with(category, lambda one: one.run(count)), json)


def _kafka(stack: ExitStack) -> None:
    """A home's own servers run for this alone where nothing else does: `lighthouse up` would start processors, too."""
    settings = Settings()
    if running(settings) is None:
        servers(settings, stack)


def _with(category: str, work: Callable[[Repartition], Awaitable[T]]) -> T:
    async def run(base: Base) -> T:
        stores = open_stores(base.settings.history_store, base.settings)
        try:
            with Progress(console=err, transient=True) as progress:
                return await work(Repartition(base, stores, category, Bars(progress).tell))
        finally:
            await stores.close()

    return with_base(run)


def _planned(category: str, after: int) -> Planned:
    found = _with(category, lambda one: one.look(after))
    return Planned(category, found.topic.partitions, after, sum(found.ends), list(found.problems))


def _show_plan(planned: Planned, json: bool) -> None:
    if json:
        write_json(planned)
    else:
        out.print(
            f"{planned.category}: {planned.before} partitions with {planned.records:,} records would become "
            f"{planned.after}"
        )
        for problem in planned.problems:
            err.print(f"[yellow]in the way: {problem}[/yellow]")
    if planned.problems:
        raise typer.Exit(1)


def _show_abandoned(category: str, json: bool) -> None:
    if json:
        write_json({"category": category, "abandoned": True})
    else:
        out.print(f"category {category} is as it was before")


def _show(done: Repartitioned, json: bool) -> None:
    if json:
        write_json(done)
        return
    out.print(
        f"{done.category}: {done.before} partitions have become {done.after}; {done.streams:,} streams with "
        f"{done.appends:,} appends and {done.events:,} events copied and compared"
    )
    out.print(
        f"of {done.read:,} records, {done.conflicts:,} conflicts, {done.duplicates:,} duplicates and "
        f"{done.malformed:,} malformed ones were not copied"
    )
    out.print("start the processes again: the histories are built anew")
