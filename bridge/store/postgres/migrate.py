"""The database's schema is brought up to date by alembic, which only those import who do that."""

from __future__ import annotations

from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from bridge.errors import LighthouseError
from bridge.store.postgres.link import VERSION, Limits, addressed, explained, server_settings

SCRIPTS = Path(__file__).with_name("migrations")
LOCK = 0x6C69676874686F75
"""Of two who migrate at once, one waits for the other."""


async def migrate(url: str, limits: Limits) -> str:
    """Makes the tables, or brings them up to date; answers the version. Harmless when nothing is to be done.

    Raises Unavailable, and LighthouseError for a wrong URL, or a database that belongs to a newer release.
    """

    async def connect() -> asyncpg.Connection:
        with addressed(url):
            return await asyncpg.connect(url, timeout=limits.connect, server_settings=server_settings(limits))

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        with explained():
            async with engine.begin() as connection:
                return await connection.run_sync(_upgrade)
    finally:
        await engine.dispose()


def _upgrade(connection: Connection) -> str:
    connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, VERSION)
    except CommandError as error:
        raise LighthouseError(f"the database's schema is not one that this release knows: {error}") from error
    return VERSION
