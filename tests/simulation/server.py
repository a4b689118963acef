"""A store whose server fails over and forgets its last commits, as owners' connections see it; it asserts I6 itself."""

from __future__ import annotations

from bridge.errors import Fenced
from bridge.store.contract import Mark, Writes
from bridge.store.memory import MemoryStore
from tests.simlog import Passing

NAMED = True
"""Whether commits compare the owner's name beside the mark; a mutation says no."""


class Server:
    """The server of one space: who owns it, and what it was after each change that it may go back to."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.owner: object = None
        self._displaced: set[object] = set()
        self._past: list[tuple[object, object]] = []  # state and owner
        self._applied: list[Mark] = []

    @property
    def changes(self) -> int:
        """How many changes there were that can be lost."""
        return len(self._past)

    def took(self, name: object) -> None:
        """An owner took the space over."""
        self.remember()
        self.owner = name

    def check(self, name: object, mark: Mark) -> None:
        """I6: who commits is the latest owner, and commits once. Raises Fenced where a fail-over has displaced it."""
        if name is not self.owner:
            assert name in self._displaced or not NAMED, f"I6: {mark} was committed by one who is not the owner"
            if NAMED:
                raise Fenced("another owner has this epoch, since a fail-over")
        assert name is self.owner, f"I6: two owners have the mark {mark}"
        assert mark not in self._applied, f"I6: a commit on {mark} was applied twice"

    def applied(self, mark: Mark) -> None:
        """A commit was applied on this mark."""
        self._applied.append(mark)

    def remember(self) -> None:
        """What is now, before a change, may be gone back to."""
        self._past.append((self.store.state, self.owner))

    def fail_over(self, changes: int) -> None:
        """Forgets the last changes: another server goes on, which had not heard of them."""
        (state, owner), *lost = self._past[-changes:]
        self._displaced |= {self.owner, *(one for _, one in lost)} - {owner}
        del self._past[-changes:]
        self.store.state = state  # type: ignore[assignment]
        self.owner = owner
        self._applied = [mark for mark in self._applied if mark < self.store.state.mark]


class Connection(Passing):
    """The store as one owner has it."""

    def __init__(self, server: Server) -> None:
        super().__init__(server.store)
        self._server = server
        self._name = object()

    async def own(self) -> Mark:
        """See the contract."""
        self._name = object()
        self._server.took(self._name)
        return await self._store.own()

    async def commit(self, mark: Mark, position: int, writes: Writes) -> Mark:
        """See the contract."""
        self._server.store._compare(mark, self._server.store.state.mark)
        self._server.check(self._name, mark)
        self._server.remember()
        after = await self._store.commit(mark, position, writes)
        self._server.applied(mark)
        return after

    async def beat(self, mark: Mark) -> None:
        """See the contract."""
        if self._name is not self._server.owner:
            raise Fenced("another owner has taken the space")
        await self._store.beat(mark)

    async def wipe(self, mark: Mark) -> Mark:
        """See the contract."""
        self._server.store._compare(mark, self._server.store.state.mark)
        self._server.check(self._name, mark)
        self._server.remember()
        return await self._store.wipe(mark)
