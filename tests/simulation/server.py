"""A store whose server fails over and forgets its last commits, as owners' connections see it; it asserts I6 itself."""

from __future__ import annotations

from bridge.store.contract import Mark, Writes
from bridge.store.memory import MemoryStore, _State
from tests.simlog import Passing


class Server:
    """The server of one space: who owns it, and what it was before each change that it may go back to."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self._owner: object = None
        self._past: list[tuple[_State, object]] = []
        self._applied: list[Mark] = []

    @property
    def changes(self) -> int:
        """How many changes there were that can be lost."""
        return len(self._past)

    def took(self, name: object, before: _State) -> None:
        """An owner took the space over."""
        self._past.append((before, self._owner))
        self._owner = name

    def applied(self, name: object, mark: Mark, before: _State) -> None:
        """I6: who commits is the latest owner, and commits once."""
        assert name is self._owner, f"I6: {mark} was committed by one who is not the owner"
        assert mark not in self._applied, f"I6: a commit on {mark} was applied twice"
        self._past.append((before, self._owner))
        self._applied.append(mark)

    def fail_over(self, changes: int) -> None:
        """Forgets the last changes: another server goes on, which had not heard of them."""
        self.store.state, self._owner = self._past[-changes]
        del self._past[-changes:]
        self._applied = [mark for mark in self._applied if mark < self.store.state.mark]


class Connection(Passing):
    """The store as one process has it."""

    def __init__(self, server: Server) -> None:
        super().__init__(server.store.beside())
        self._server = server
        self._name = object()

    async def own(self) -> Mark:
        """See the contract."""
        before, self._name = self._server.store.state, object()
        mark = await self._store.own()
        self._server.took(self._name, before)
        return mark

    async def commit(self, mark: Mark, position: int, writes: Writes) -> Mark:
        """See the contract."""
        before = self._server.store.state
        after = await self._store.commit(mark, position, writes)
        self._server.applied(self._name, mark, before)
        return after

    async def wipe(self, mark: Mark) -> Mark:
        """See the contract."""
        before = self._server.store.state
        after = await self._store.wipe(mark)
        self._server.applied(self._name, mark, before)
        return after
