"""`store`: the databases in which histories are kept."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.progress import Progress, TextColumn

from bridge.cli.console import JsonFlag, err, out, with_base, write_json
from bridge.errors import LighthouseError
from bridge.local.addresses import history_at, located
from bridge.settings import Settings
from bridge.spaces import Spaces
from bridge.store.copying import copy
from bridge.store.factory import migrate_stores, open_stores
from bridge.wiring import Base, category_facts

app = typer.Typer(help="The stores of histories.", no_args_is_help=True)


@app.command()
def migrate(json: JsonFlag = False) -> None:
    """Make the tables of the history's and the hot store's database, or bring them up to date."""
    settings = located(Settings())
    version = asyncio.run(_migrated(settings))
    if version is None:
        raise LighthouseError("neither the history's store nor a hot one has tables: only PostgreSQL does")
    if json:
        write_json({"version": version})
        return
    out.print(f"the database has version {version} of the schema")


async def _migrated(settings: Settings) -> str | None:
    """The version of both, None where neither has one."""
    found = [await migrate_stores(url, settings) for url in (settings.history_store, settings.hot_store)]
    return next((version for version in found if version is not None), None)


@dataclass
class Total:
    """What was copied."""

    spaces: int = 0
    rows: int = 0
    bytes: int = 0
    earlier: int = 0


@app.command("copy")
def copy_(
    source: Annotated[str, typer.Argument(help="URL of the store that has the histories.")],
    target: Annotated[str, typer.Argument(help="URL of the store that is to have them.")],
    replace: Annotated[bool, typer.Option("--replace", help="Forget histories that the target holds.")] = False,
    json: JsonFlag = False,
) -> None:
    """Copy every history from one store to another, and compare the two; started again, it goes on.

    The processors must have ended. Afterwards set LIGHTHOUSE_HISTORY_STORE to the target, and start them again.
    """
    total = with_base(lambda base: _copy_all(base, source, target, replace))
    if json:
        write_json(total)
        return
    before = f", {total.earlier:,} of them by an earlier run" if total.earlier else ""
    out.print(f"{total.spaces} partitions, {total.rows:,} rows ({total.bytes >> 20:,} MiB) copied and compared{before}")


async def _copy_all(base: Base, source: str, target: str, replace: bool) -> Total:
    source, target = (history_at(base.settings, url) for url in (source, target))
    if source == target:
        raise LighthouseError("the source is the target")
    counts = {name: fact.partitions for name, fact in (await category_facts(base)).items()}
    stores = [open_stores(url, base.settings) for url in (source, target)]
    total = Total()
    columns = (*Progress.get_default_columns(), TextColumn("{task.fields[rows]:,} rows"))
    try:
        await migrate_stores(target, base.settings)
        spaces = list(Spaces(stores[0], base.settings.topic_prefix, counts).all())
        with Progress(*columns, console=err, transient=True) as progress:
            task = progress.add_task("copying", total=len(spaces), rows=0)
            seen = 0

            def report(rows: int) -> None:
                nonlocal seen
                seen += rows
                progress.update(task, rows=seen)

            for space in spaces:
                name = space.place.space
                try:
                    done = await copy(space.store, stores[1].open(name), base.settings.session, replace, report)
                except LighthouseError as error:
                    raise LighthouseError(f"{name}: {error}") from error
                total.spaces, total.rows = total.spaces + 1, total.rows + done.rows
                total.bytes, total.earlier = total.bytes + done.bytes, total.earlier + done.earlier
                progress.advance(task)
    finally:
        for one in stores:
            await one.close()
    return total
