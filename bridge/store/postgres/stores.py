"""The PostgreSQL adapter: the spaces of a database, as one process sees them.

Every commit is one statement that compares the mark, under the lock of the mark's row: a stale writer waits for that
row and is then refused. See statements.py.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace

from bridge.errors import Fenced
from bridge.settings import Settings
from bridge.store.contract import UNOWNED, Mark, Writes
from bridge.store.poller import Reached, not_reached
from bridge.store.postgres.answers import NOWHERE, mark_of, unpack
from bridge.store.postgres.link import Limits, Link
from bridge.store.postgres.statements import BEAT, COMMIT, MARK, MARK_AND_ROWS, OWN, WIPE
from bridge.store.postgres.sweeper import Sweeper
from bridge.store.postgres.view import PostgresView
from bridge.store.postgres.watch import PostgresWatch
from bridge.store.ranges import sorted_rows
from bridge.store.watching import FarStore, FarStores


class PostgresStore(FarStore):
    """One space."""

    def __init__(self, space: str, link: Link, watch: PostgresWatch, sweeper: Sweeper) -> None:
        super().__init__(space)
        self._link = link
        self._watch = watch
        self._sweeper = sweeper
        self._id = NOWHERE
        self._owner = uuid.UUID(int=0)

    def view(self) -> PostgresView:
        """See the contract. Raises LighthouseError for a closed store."""
        self._check_open()
        return PostgresView(self.space, self._link)

    async def own(self) -> Mark:
        """See the contract. The owner gets a name of its own, which every commit and beat of this object compares."""
        self._check_open()
        owner = uuid.uuid4()
        async with self._link.connection() as connection:
            row = await connection.fetchrow(OWN, self.space, owner)
        assert row is not None
        self._id, self._owner = row["id"], owner
        self._sweeper.begin()
        return mark_of(row)

    async def commit(self, mark: Mark, position: int, writes: Writes) -> Mark:
        """See the contract. Where the reply is lost, the commit may have been done: the mark tells (P5)."""
        rows = sorted_rows(writes)
        keys, values = [key for key, _ in rows], [value for _, value in rows]
        arguments = (*self._expected(mark), position, keys, values, sorted(writes.deletes))
        self._check_open()
        async with self._link.connection() as connection:
            written = await connection.fetchval(COMMIT, *arguments)
        return await self._followed(mark, position, written)

    async def wipe(self, mark: Mark) -> Mark:
        """See the contract. The rows are removed behind it, by the sweeper."""
        self._check_open()
        async with self._link.connection() as connection:
            written = await connection.fetchval(WIPE, *self._expected(mark))
        after = await self._followed(mark, UNOWNED.position, written)
        self._id = written or NOWHERE
        self._sweeper.begin()
        return after

    def _expected(self, mark: Mark) -> tuple[int, uuid.UUID, int, int, int]:
        return self._id, self._owner, mark.epoch, mark.commit, mark.position

    async def _followed(self, mark: Mark, position: int, written: int | None) -> Mark:
        if not written:
            found = await self._mark()
            raise Fenced(f"{self.space} has the mark {found}, not {mark}; another owner or commit came before")
        return Mark(mark.epoch, mark.commit + 1, position)

    async def beat(self, mark: Mark) -> None:
        """See the contract."""
        self._check_open()
        async with self._link.connection() as connection:
            if await connection.fetchval(BEAT, self._id, self._owner, mark.epoch) is None:
                raise Fenced(f"{self.space} has another owner than that of {mark}")

    def _be_watched(self, hurry: bool) -> None:
        self._watch.add(self, hurry)

    async def _last_look(self, position: int, timeout: float, keys: Sequence[bytes]) -> Reached:
        async with self._link.connection() as connection:
            mark, rows = unpack(await connection.fetch(MARK_AND_ROWS, self.space, keys))
        if mark.position < position:
            raise not_reached(self.space, position, mark, timeout)
        return mark, [rows.get(key) for key in keys]

    async def _mark(self) -> Mark:
        async with self._link.connection() as connection:
            row = await connection.fetchrow(MARK, self.space)
        return UNOWNED if row is None else mark_of(row)


class PostgresStores(FarStores[PostgresStore]):
    """The spaces of one database."""

    def __init__(self, url: str, settings: Settings) -> None:
        """`url` is a libpq URL; what it does not know goes to the server as a setting, e.g. `?search_path=events`."""
        limits = Limits.of(settings)
        self._link = Link(url, limits)
        lookout = Link(url, replace(limits, connections=1, statement=limits.read))
        self._watch = PostgresWatch(lookout)
        self._sweeper = Sweeper(self._link)
        super().__init__(self._sweeper, self._watch, lookout, self._link)

    def _make(self, space: str) -> PostgresStore:
        return PostgresStore(space, self._link, self._watch, self._sweeper)
