"""`store`: the databases in which histories are kept."""

from __future__ import annotations

import asyncio

import typer

from bridge.cli.console import JsonFlag, out, write_json
from bridge.errors import LighthouseError
from bridge.local.addresses import located
from bridge.settings import Settings
from bridge.store.factory import migrate_stores

app = typer.Typer(help="The stores of histories.", no_args_is_help=True)


@app.command()
def migrate(json: JsonFlag = False) -> None:
    """Make the tables of the history's database, or bring them up to date; harmless when they are."""
    settings = located(Settings())
    version = asyncio.run(migrate_stores(settings.history_store, settings))
    if version is None:
        raise LighthouseError("the history's store has no tables: only PostgreSQL does")
    if json:
        write_json({"version": version})
        return
    out.print(f"the database has version {version} of the schema")
