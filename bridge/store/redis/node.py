"""One Redis server: a bounded pool of connections, and what is sent together goes over one of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeAlias

from redis.asyncio.connection import Connection
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    NoPermissionError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from bridge.errors import Unavailable
from bridge.settings import Settings

Address: TypeAlias = tuple[str, int]
Command: TypeAlias = Sequence[bytes | str | int]
Reply: TypeAlias = object
"""Bytes, numbers, lists of them, None; or a ResponseError, as a value."""

FAILURES = (RedisError, OSError, TimeoutError)


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one process: connections to each server; seconds for a connection, a command and a confirmation."""

    connections: int
    connect: float
    command: float
    replicas: int
    confirm: float

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """As the settings say."""
        return cls(
            settings.redis_pool,
            settings.redis_connect_timeout,
            settings.redis_timeout,
            settings.redis_replicas,
            settings.redis_confirm_timeout,
        )


class NotSent(Exception):
    """The server did not get the commands: nothing was done."""


class Lost(Exception):
    """The commands were sent, and no answer came: nobody knows."""


class Node:
    """A server and its connections. They are opened by those who need one, and the last one used is used next."""

    def __init__(self, address: Address, connect: Callable[[Address], Connection], limits: Limits) -> None:
        self.address = address
        self._connect = connect
        self._limits = limits
        self._free = asyncio.Semaphore(limits.connections)
        self._idle: list[Connection] = []
        self._used: set[Connection] = set()
        self._closed = False

    async def exchange(self, commands: Sequence[Command]) -> list[Reply]:
        """The replies to the commands, sent at once over one connection; an error of one is its reply.

        Raises NotSent, Lost, and Unavailable where the server does not let us in.
        """
        async with self._connection() as connection:
            try:
                await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
                replies = [await _reply(connection) for _ in commands]
            except FAILURES as error:
                raise Lost(said(self.address, error)) from error
            if any(isinstance(reply, ReadOnlyError) for reply in replies):
                await connection.disconnect(nowait=True)  # a replica: the name may lead to another server by now
            return replies

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        """A connection; one that is left with an error is closed, since something may still come over it."""
        async with self._free:
            connection = self._idle.pop() if self._idle else self._connect(self.address)
            self._used.add(connection)
            try:
                await self._ready(connection)
                yield connection
            except BaseException:
                await connection.disconnect(nowait=True)
                raise
            finally:
                self._used.discard(connection)
                if self._closed:
                    await connection.disconnect()
                elif connection.is_connected:
                    self._idle.append(connection)

    async def _ready(self, connection: Connection) -> None:
        """Connects, perhaps again: a server that went away has ended what lay idle."""
        try:
            async with asyncio.timeout(self._limits.connect):
                if connection.is_connected and await connection.can_read():
                    await connection.disconnect(nowait=True)
                await connection.connect()  # type: ignore[no-untyped-call]
        except (AuthenticationError, AuthorizationError, NoPermissionError) as error:
            raise Unavailable(f"Redis: {said(self.address, error)}") from error
        except FAILURES as error:
            raise NotSent(said(self.address, error)) from error

    async def close(self) -> None:
        """Closes every connection; whoever still waits for an answer over one is told that none comes."""
        self._closed = True
        for connection in (*self._idle, *self._used):
            await connection.disconnect()
        self._idle.clear()


async def _reply(connection: Connection) -> Reply:
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error


def said(address: Address, error: BaseException) -> str:
    """What went wrong, and where."""
    return f"{address[0]}:{address[1]}: {str(error) or type(error).__name__}"
