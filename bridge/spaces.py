"""Which partition a stream lies in, and the store and the state of affairs there, as the readers and writers see it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bridge.errors import NoOwner, NotFound, Rebuilding, Unavailable
from bridge.hot import HotRows
from bridge.log.record import Place, partition_of, topic_of
from bridge.store import keys
from bridge.store.contract import UNOWNED, Mark, Store, Stores, View
from bridge.store.rows import Clock, Identity


@dataclass(frozen=True, slots=True)
class Limits:
    """In seconds: a session of an owner, the deadline of a request, and how far a clock may be ahead."""

    session: float
    deadline: float
    clock_skew: float


PATIENCE = 5.0
"""Seconds to wait for a store that does not tell how far it is."""

STANDING = (keys.STOPPED, keys.REBUILD, keys.CLOCK, keys.IDENTITY)
"""The rows by which a partition is judged, beside its mark and its owner's beat."""


class Space:
    """One partition: its place, its store, its hot rows if there are any, and the appends in flight to it."""

    def __init__(self, place: Place, store: Store, hot: HotRows | None = None) -> None:
        self.place = place
        self.store = store
        self.hot = hot
        self._flights: dict[object, float] = {}
        self._known: bytes | None = None

    async def mark(self) -> Mark:
        """How far the store is. Those who ask at once, of whatever spaces, may share one look at it.

        Raises LighthouseError where it does not tell within seconds.
        """
        return await self.store.wait(UNOWNED.position, PATIENCE)

    async def check_readable(self, view: View) -> None:
        """Raises Unavailable where the history was never begun, is stopped, or is being built again (H3)."""
        self._check_readable(view, await view.get_many(STANDING))

    async def check_writable(self, view: View, limits: Limits) -> None:
        """A4: the same, and raises Unavailable where nobody would apply an append in time."""
        await self.read_writable(view, limits, ())

    async def read_writable(self, view: View, limits: Limits, rows: Sequence[bytes]) -> list[bytes | None]:
        """The values of these rows, after `check_writable` on what was read with them."""
        found = await view.get_many((*STANDING, *rows))
        self._check_readable(view, found)
        if view.beat_age > limits.session:
            raise NoOwner(f"{self.place.space} has no living owner: start a processor")
        if self.oldest > limits.deadline / 2:
            raise NoOwner(f"{self.place.space} lags: an append has been waiting for {self.oldest:.1f} s")
        ahead = Clock.unpack(found[2]).effective / 1e6 - time.time()
        if ahead > limits.clock_skew:
            raise Unavailable(f"the broker's clock is {ahead:.0f} s ahead: effective time would stand still", ahead)
        return found[len(STANDING) :]

    def _check_readable(self, view: View, standing: Sequence[bytes | None]) -> None:
        stopped, target, _, identity, *_ = standing
        if stopped is not None:
            raise Unavailable(stopped.decode(), retry_after=10.0)
        if identity != self._known:
            self._recognise(identity)
        position = view.mark.position
        if position < 0:
            raise NoOwner(f"{self.place.space} has no history yet: no processor has opened it")
        if target is not None and position < (end := int.from_bytes(target, "big")):
            raise Rebuilding(f"{self.place.space} is being rebuilt: {end - position} records are missing")

    def _recognise(self, identity: bytes | None) -> None:
        """A history of another partition count has other streams than this process, started before, looks for in it."""
        count = Identity.unpack(identity).partitions if identity is not None else self.place.partitions
        if count != self.place.partitions:
            raise Unavailable(
                f"{self.place.topic} has {count} partitions, and had {self.place.partitions} when this process was "
                "started: start it again",
                retry_after=10.0,
            )
        self._known = identity

    @property
    def oldest(self) -> float:
        """Seconds that the oldest append in flight from this process has been waiting."""
        return time.monotonic() - next(iter(self._flights.values())) if self._flights else 0.0

    def depart(self, flight: object) -> None:
        """Counts an append as in flight, until it arrives."""
        self._flights[flight] = time.monotonic()

    def arrive(self, flight: object) -> None:
        """The append is not in flight any more."""
        del self._flights[flight]


class Spaces:
    """All partitions of all categories. `counts` are the pinned partition counts by category."""

    def __init__(self, stores: Stores, prefix: str, counts: Mapping[str, int], hot: HotRows | None = None) -> None:
        self._stores = stores
        self._hot = hot
        self._prefix = prefix
        self._counts = dict(counts)
        self._open: dict[tuple[str, int], Space] = {}

    @property
    def categories(self) -> Mapping[str, int]:
        """Each category's number of partitions."""
        return self._counts

    def of(self, stream: str) -> Space:
        """The space that a stream lies in; raises NotFound for an unknown category."""
        category = stream.partition("/")[0]
        if category not in self._counts:
            known = ", ".join(sorted(self._counts)) or "none"
            raise NotFound(f"there is no category {category!r}; known are: {known}")
        return self.at(category, partition_of(stream.encode(), self._counts[category]))

    def at(self, category: str, partition: int) -> Space:
        """The space of a partition by its number."""
        if (found := self._open.get((category, partition))) is not None:
            return found
        place = self.place(category, partition)
        return self._open.setdefault((category, partition), Space(place, self._stores.open(place.space), self._hot))

    def place(self, category: str, partition: int) -> Place:
        """Where a partition is, without opening its store."""
        return Place(topic_of(self._prefix, category), category, partition, self._counts[category])

    def all(self) -> Iterator[Space]:
        """Every partition of every category."""
        for category, count in sorted(self._counts.items()):
            for partition in range(count):
                yield self.at(category, partition)
