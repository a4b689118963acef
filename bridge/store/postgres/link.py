"""Connections to PostgreSQL: a bounded pool, a time limit for every wait, one error for who cannot be served."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import TypeAlias

import asyncpg

from bridge.errors import LighthouseError, Unavailable
from bridge.settings import Settings
from bridge.urls import RESERVED, without_secret

Connection: TypeAlias = "asyncpg.Connection | asyncpg.pool.PoolConnectionProxy"

BROKEN = (
    asyncpg.InternalClientError,  # what asyncpg says when a server dies under it
    asyncpg.PostgresConnectionError,
    asyncpg.ReadOnlySQLTransactionError,  # a standby: the name may lead to another server by now
    OSError,
    TimeoutError,
)
"""After these a connection is not used again."""

FAILURES = (*BROKEN, asyncpg.PostgresError, asyncpg.InterfaceError)
MISSING = (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError)
VERSIONS = "lighthouse_version"
"""The table with the version of the database's schema."""

VERSION = "0001"
"""The version that this code reads and writes: the newest of `migrations`."""

MIGRATE = "run `lighthouse store migrate` of the newest release"
IDLE = 60.0
"""Seconds after which a connection that nobody uses is closed."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one process: connections, and seconds for a statement, for a read and for getting a connection."""

    connections: int
    statement: float
    read: float
    connect: float
    durable: bool

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """As the settings say; a read leaves a request the time to say that there is no answer."""
        return cls(
            settings.postgres_pool,
            settings.postgres_statement_timeout,
            min(settings.postgres_statement_timeout, settings.deadline / 2),
            settings.postgres_connect_timeout,
            settings.postgres_durable,
        )


class _Plain(asyncpg.Connection):  # type: ignore[misc]
    """A connection that is not reset when it goes back: nothing here leaves anything behind."""

    def get_reset_query(self) -> str:
        return ""


class Link:
    """The connections of one process to one database. Opened by the first who needs one."""

    def __init__(self, url: str, limits: Limits) -> None:
        self.limits = limits
        self._url = url
        self._pool: asyncpg.Pool | None = None
        self._opening = asyncio.Lock()
        self._closed = False

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection of the pool. Raises Unavailable where none comes in time, or where it fails inside."""
        connection = await self.acquire()
        try:
            with using(connection):
                yield connection
        finally:
            await self.release(connection)

    async def acquire(self) -> Connection:
        """A connection that must be given back with `release`. Raises Unavailable."""
        with explained():
            async with asyncio.timeout(self.limits.connect):
                return await (await self._opened()).acquire(timeout=self.limits.connect)

    async def release(self, connection: Connection) -> None:
        """Gives a connection back; one that is in the middle of something is closed instead."""
        assert self._pool is not None
        with explained():
            await self._pool.release(connection)

    async def _opened(self) -> asyncpg.Pool:
        if self._closed:
            raise LighthouseError("the stores in PostgreSQL are closed; open them again")
        if self._pool is None:
            async with self._opening:
                if self._pool is None:
                    self._pool = await self._open()
        return self._pool

    async def _open(self) -> asyncpg.Pool:
        limits = self.limits
        pool = asyncpg.create_pool(
            self._url,
            min_size=0,
            max_size=limits.connections,
            max_inactive_connection_lifetime=IDLE,
            connection_class=_Plain,
            timeout=limits.connect,
            # the server's own limit comes first, and leaves the connection open
            command_timeout=limits.statement + 1.0,
            server_settings=server_settings(limits),
        )
        try:
            await pool
            with addressed(self._url):
                connection = await pool.acquire(timeout=limits.connect)
            with closed_where_broken(connection):
                found = await connection.fetchval(f"SELECT version_num FROM {VERSIONS}")
            await pool.release(connection)
            if found != VERSION:
                raise LighthouseError(f"the database has version {found} of the schema, not {VERSION}: {MIGRATE}")
        except BaseException:
            pool.terminate()
            raise
        return pool

    async def close(self) -> None:
        """Closes every connection; waits for those in use for as long as a statement may take."""
        self._closed = True
        if self._pool is not None:
            try:
                async with asyncio.timeout(self.limits.statement):
                    await self._pool.close()
            except FAILURES:
                self._pool.terminate()


def terminate(connection: Connection) -> None:
    """Ends a connection that is not used again; one that the server has ended already is no error."""
    with suppress(asyncpg.InterfaceError):
        connection.terminate()


@contextmanager
def closed_where_broken(connection: Connection) -> Iterator[None]:
    """Closes a connection over which something may still come, or nothing ever again."""
    try:
        yield
    except (*BROKEN, asyncio.CancelledError):
        terminate(connection)
        raise


def server_settings(limits: Limits) -> dict[str, str]:
    """What each connection asks of the server.

    A commit need not wait for the disk: Kafka is the durable copy, and a position never gets ahead of its rows.
    """
    milliseconds = str(round(limits.statement * 1000))
    return {
        "application_name": "lighthouse",
        "statement_timeout": milliseconds,
        "idle_in_transaction_session_timeout": milliseconds,  # a stopped reader must not hold back the cleaning up
        "synchronous_commit": "on" if limits.durable else "off",
        "jit": "off",
        "plan_cache_mode": "force_generic_plan",
        "enable_seqscan": "off",  # what is read is known by its key
        "enable_hashjoin": "off",
        "enable_mergejoin": "off",
        "enable_bitmapscan": "off",
    }


@contextmanager
def addressed(url: str) -> Iterator[None]:
    """Raises LighthouseError, without the password, for a URL that asyncpg cannot take apart."""
    try:
        yield
    except asyncpg.InterfaceError:
        raise
    except ValueError:
        raise LighthouseError(f"{without_secret(url)!r} names no PostgreSQL: {RESERVED}") from None


@contextmanager
def explained() -> Iterator[None]:
    """Raises Unavailable for whatever PostgreSQL, or the way to it, does wrong."""
    try:
        yield
    except MISSING as error:
        raise LighthouseError(f"the database has no tables of ours ({error}): {MIGRATE}") from error
    except FAILURES as error:
        raise Unavailable(f"PostgreSQL: {str(error) or type(error).__name__}") from error


@contextmanager
def using(connection: Connection) -> Iterator[None]:
    """Raises Unavailable for whatever goes wrong inside, and closes a connection that cannot be used again."""
    with explained(), closed_where_broken(connection):
        yield
