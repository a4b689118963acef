"""How all spaces that somebody waits on are looked at: a statement for all marks at once (P6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bridge.store.contract import UNOWNED, Mark
from bridge.store.poller import Waiter, Waiters
from bridge.store.postgres.answers import mark_of, unpack
from bridge.store.postgres.link import Connection, Link
from bridge.store.postgres.statements import MARK_AND_ROWS, MARKS
from bridge.store.watching import Watch, Watched


class PostgresWatch(Watch[Watched]):
    """See Watch."""

    def __init__(self, link: Link) -> None:
        super().__init__()
        self._link = link

    async def _look(self, spaces: Sequence[Watched]) -> None:
        waiting = {space.space: space.waiters for space in spaces}
        async with self._link.connection() as connection:
            owned = {row["space"]: row for row in await connection.fetch(MARKS, list(waiting))}
            for name, waiters in waiting.items():
                row = owned.get(name)
                mark = UNOWNED if row is None else mark_of(row)
                if due := waiters.due(mark.position):
                    await _serve(connection, waiters, due, name, mark)


async def _serve(connection: Connection, waiters: Waiters, due: Sequence[Waiter], space: str, mark: Mark) -> None:
    """Gives each what it wants, as one statement finds it. Whoever begins to wait meanwhile is not among them."""
    keys = sorted({key for waiter in due for key in waiter.keys})
    rows: Mapping[bytes, bytes] = {}
    try:
        if keys:
            reached, rows = unpack(await connection.fetch(MARK_AND_ROWS, space, keys))
            if reached.position < mark.position:  # wiped in between
                waiters.put_back(due)
                return
            mark = reached
    except BaseException:
        waiters.put_back(due)  # to be told with all others
        raise
    for waiter in due:
        waiter.give(mark, lambda keys: [rows.get(key) for key in keys])
