"""Hot rows: which of a commit's rows are hot, and what brings a hot space up to its history. Pure.

A hot space follows the history commit by commit. What it lacks is copied in slices: first keys that it is known to
have missed, then whole prefixes, one after the other. A slice was read at some commit of the history, and goes to the
hot space together with all changes up to that commit and beyond: so what has been copied is always of one position.
Only while there are missed keys are its rows of several; then it is not `following`, and nobody reads from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from msgspec.structs import replace

from bridge.store import keys
from bridge.store.contract import Row, Writes
from bridge.store.rows import Changed, Hot, Progress

STANDING = (keys.CLOCK, keys.STOPPED, keys.REBUILD)
"""The rows by which readers judge a partition; the progress of hot builds is told beside them."""

MOST_KEYS = 20_000
"""Keys that one commit's row names; of a commit that changed more it is only said that it did."""

LARGEST = 4_000
LARGEST_BYTES = 8 * 1024 * 1024
"""Rows in one commit of the hot space, and what they have in bytes; changes of more are read again, in slices."""

MOST_MISSED = 200_000
"""Keys that are read again one by one; beyond these everything is copied afresh."""

Values = Mapping[bytes, bytes | None]
"""Rows as they are to be; None for one that is to be removed."""

ROW = ord("r")


@dataclass(frozen=True)
class Kept:
    """What of a partition is hot: heads, the states of one decider version, and projections, by their names."""

    decider: int | None = None
    projections: tuple[str, ...] = ()

    @cached_property
    def streams(self) -> tuple[bytes, ...]:
        """The prefixes of heads and states."""
        states = () if self.decider is None else (keys.states(self.decider),)
        return (keys.HEADS, *states)

    @cached_property
    def written(self) -> tuple[bytes, ...]:
        """The prefixes of all that the projections have written."""
        return tuple(keys.PROJECTIONS + keys.name(name) for name in self.projections)

    @cached_property
    def progress(self) -> tuple[bytes, ...]:
        """The prefixes of the projections' progress."""
        return tuple(keys.PROGRESS + keys.name(name) for name in self.projections)

    def holds(self, key: bytes) -> bool:
        """Whether this row is hot. What a row has been is not: that is the history's to tell."""
        if key.startswith(self.streams):
            return True
        return key.startswith(self.written) and key[key[1] + 10] == ROW  # behind tag, name and build

    def tells(self, key: bytes) -> bool:
        """Whether this row is one by which readers judge."""
        return key in STANDING or key.startswith(self.progress)

    def wanted(self, progress: Mapping[bytes, bytes]) -> list[bytes]:
        """The prefixes that are to be there: those of streams, and of builds that are live."""
        live = [key for key, raw in sorted(progress.items()) if Progress.unpack(raw).live]
        return [*self.streams, *(keys.rows(keys.projection(*keys.unpack_progress(key))) for key in live)]

    def named(self, rows: Values) -> list[bytes]:
        """The keys of rows, without those of states whose heads are among them."""
        return [key for key in rows if key[:1] != keys.STATES or keys.HEADS + key[9:] not in rows]

    def expanded(self, named: Iterable[bytes]) -> set[bytes]:
        """The keys again: a head stands for its stream's state as well."""
        found = set(named)
        if self.decider is not None:
            states = self.streams[1]
            found |= {states + key[1:] for key in found if key[:1] == keys.HEADS}
        return found


@dataclass(frozen=True, slots=True)
class Change:
    """What one commit of the history, by this owner, changed in hot rows and in those by which readers judge.

    `at` is when it was told, on the loop's clock.
    """

    owner: bytes
    commit: int
    position: int
    rows: Values
    standing: Values
    at: float = 0.0

    @property
    def bytes(self) -> int:
        """What its values take in memory."""
        return sum(len(value) for value in self.rows.values() if value is not None)


def change_of(kept: Kept, owner: bytes, where: tuple[int, int], writes: Writes) -> Change:
    """The change that a commit makes; `where` is its number and its position."""
    rows: dict[bytes, bytes | None] = {}
    standing: dict[bytes, bytes | None] = {}
    for key, value in writes.puts.items():
        if kept.holds(key):
            rows[key] = value
        elif kept.tells(key):
            standing[key] = value
    rows |= dict.fromkeys(filter(kept.holds, writes.deletes))
    standing |= dict.fromkeys(filter(kept.tells, writes.deletes))
    return Change(owner, *where, rows, standing)


def told(kept: Kept, change: Change) -> Changed:
    """What the history keeps of a change until the hot space has it."""
    named = kept.named(change.rows)
    return Changed(change.owner, many=True) if len(named) > MOST_KEYS else Changed(change.owner, named)


def missed(kept: Kept, hot: Hot, commit: int, rows: Sequence[Row]) -> set[bytes] | None:
    """The keys that changed since the hot space was last told; `rows` are all changes from that commit on.

    None where they do not reach back to that very commit, or not up to the history's last one, `commit`: then it is
    not known what the space lacks. An owner that knows nothing of hot rows leaves such a gap.
    """
    if [key for key, _ in rows] != [keys.change(number) for number in range(hot.commit, commit + 1)] or not rows:
        return None
    first, *later = (Changed.unpack(raw) for _, raw in rows)
    if first.owner != hot.owner or any(change.many for change in later):
        return None
    named = {key for change in later for key in change.keys}
    return kept.expanded(named) if len(named) <= MOST_MISSED else None


@dataclass(frozen=True, slots=True)
class Slice:
    """Rows as they were at a commit of the history: missed keys, or, with a prefix, all behind the cursor up to `last`.

    An empty `last` says that the prefix has no more.
    """

    commit: int
    rows: Values
    prefix: bytes = b""
    last: bytes = b""


@dataclass(frozen=True, slots=True)
class Removal:
    """Rows of a doomed prefix that are there; `last` says that these are all."""

    prefix: bytes
    keys: Sequence[bytes]
    last: bool


@dataclass
class Copy:
    """A hot space as its follower knows it: its row, what it has missed, and the progress of its builds.

    `last` is the last change that was merged: that far it is once nothing is missing.
    """

    kept: Kept
    hot: Hot
    position: int
    missing: set[bytes] = field(default_factory=set)
    progress: dict[bytes, bytes] = field(default_factory=dict)
    last: Change | None = None

    def __post_init__(self) -> None:
        self._size = 0
        self.missing = {key for key in self.missing if self.has(key)}
        self._tidy()

    def has(self, key: bytes) -> bool:
        """Whether the row of this key is to be there: of a prefix being copied all that changes, from the start."""
        return key.startswith(tuple(filter(None, (*self.hot.complete, self.hot.copying))))

    @property
    def hopeless(self) -> bool:
        """Whether so much was missed that to copy everything afresh is the shorter way, and the smaller one."""
        return len(self.missing) > MOST_MISSED

    @property
    def next_prefix(self) -> bytes:
        """The prefix that is to be copied next, or on; empty where all are complete."""
        hot = self.hot
        there = {*hot.complete, *hot.doomed}
        return hot.copying or next((one for one in self.kept.wanted(self.progress) if one not in there), b"")

    @property
    def busy(self) -> bool:
        """Whether there is anything to be copied or removed."""
        return bool(self.missing or self.hot.doomed or self.next_prefix)

    def merge(self, changes: Sequence[Change], found: Slice | None = None, removal: Removal | None = None) -> Writes:
        """One commit of the hot space: the slice, and the changes in their order, up to the slice's commit at least.

        Those that the slice has seen are merged as well: the last one of each row comes to what the slice holds.
        """
        writes, self._size = Writes(), 0
        if removal is not None:
            self._remove(writes, removal)
        if found is not None:
            self._copy(writes, found)
        for change in changes:
            self._take(writes, change)
        self._finish(writes)
        return writes

    def _take(self, writes: Writes, change: Change) -> None:
        """One change; of a very large one only the keys, for a commit is to be short."""
        self.last = change
        rows = {key: value for key, value in change.rows.items() if self.has(key)}
        size = sum(len(value) for value in rows.values() if value is not None)
        if len(writes.puts) + len(writes.deletes) + len(rows) > LARGEST or self._size + size > LARGEST_BYTES:
            self.missing |= rows.keys()
        else:
            self.missing -= rows.keys()
            self._size += size
            _write(writes, rows)
        _write(writes, change.standing)
        for key, value in change.standing.items():
            if key[:1] == keys.PROGRESS:
                self.progress.pop(key, None)
                self.progress |= {} if value is None else {key: value}
        if any(key[:1] == keys.PROGRESS for key in change.standing):
            self._tidy()

    def _copy(self, writes: Writes, found: Slice) -> None:
        hot = self.hot
        if not found.prefix:
            _write(writes, {key: value for key, value in found.rows.items() if self.has(key)})
            self.missing -= found.rows.keys()
        elif found.prefix == self.next_prefix:
            _write(writes, found.rows)
            if found.last:
                self.hot = replace(hot, copying=found.prefix, cursor=found.last)
            else:
                self.hot = replace(hot, complete=[*hot.complete, found.prefix], copying=b"", cursor=b"")

    def _remove(self, writes: Writes, removal: Removal) -> None:
        writes.deletes.update(removal.keys)
        if removal.last:
            self.hot = replace(self.hot, doomed=[one for one in self.hot.doomed if one != removal.prefix])

    def _tidy(self) -> None:
        """Prefixes that are not wanted any more are removed, and copied anew if they are wanted again."""
        hot, wanted = self.hot, self.kept.wanted(self.progress)
        there = [*hot.complete, *([hot.copying] if hot.copying else [])]
        doomed = [one for one in there if one not in wanted]
        if doomed:
            complete = [one for one in hot.complete if one in wanted]
            copying, cursor = (hot.copying, hot.cursor) if hot.copying in wanted else (b"", b"")
            self.hot = Hot(hot.owner, hot.commit, hot.following, complete, copying, cursor, [*hot.doomed, *doomed])
            self.missing = {key for key in self.missing if self.has(key)}

    def _finish(self, writes: Writes) -> None:
        """While keys are missing, the space says that it is where it was, so that whoever comes next misses none."""
        if self.missing:
            self.hot = replace(self.hot, following=False)
        elif self.last is not None:
            self.hot = replace(self.hot, following=True, owner=self.last.owner, commit=self.last.commit)
            self.position = self.last.position
        writes.put(keys.HOT, self.hot.pack())


def _write(writes: Writes, rows: Values) -> None:
    for key, value in rows.items():
        if value is None:
            writes.delete(key)
        else:
            writes.put(key, value)
