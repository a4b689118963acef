"""Where each row lies. Keys sort as their parts do: a tag, length-prefixed names, numbers as 8 bytes big-endian.

| key | row |
|---|---|
| `h <stream>` | the stream's head (rows.Head) |
| `e <stream> <version>` | one event (rows.EventRow) |
| `a <append id>` | where an append was admitted (rows.AppendRow) |
| `o <offset> <index>` | stream and version: the admitted order |
| `t <effective time>` | offset, one a second |
| `s <decider version> <stream>` | the folded state at the head (rows.StateRow) |
| `n <decider version> <stream> <version>` | a snapshot, every 100 versions |
| `k <stream>` | a parked stream, with its error |
| `p <projection> <build> r <key>` | a projection's row; its key is the rest |
| `p <projection> <build> v <key> 0 <effective time>` | what that row was from this time on, of versioned ones |
| `q <projection> <build>` | how far a build of a projection is (rows.Progress) |
| `m …` | the partition's clock, log identity, last record, rebuild target, reason to stop, owner |
| `x <commit>` | which hot rows a commit changed (rows.Changed); only where there is a hot store |

A hot space holds copies of some of these rows under the same keys, and `m:hot`: how far it is (rows.Hot).

A stream id has at most 255 bytes, so a snapshot's key has at most 1 + 8 + 1 + 255 + 8 = 273 of LMDB's 511; a row's key
has at most 384, so that of an old row has at most 1 + 64 + 8 + 1 + 384 + 1 + 8 = 467.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct

_U64 = Struct(">Q")
_ORDER = Struct(">cQH")
pack_u64 = _U64.pack

CLOCK = b"m:clock"
IDENTITY = b"m:identity"
LAST = b"m:last"
REBUILD = b"m:rebuild"
STOPPED = b"m:stopped"
COPY = b"m:copy"
"""How far the copy of a history is that this space is being made of."""
TENURE = b"m:owner"
PASSING = (REBUILD, TENURE)
"""Rows that tell of a space and its owner. All others follow from the log alone (I4)."""
HOT = b"m:hot"
"""How far a hot space has copied its history."""
PARKED = b"k"
"""The prefix of all parked streams."""
HEADS = b"h"
"""The prefix of all streams' heads; a name's length follows, then the name."""
STATES = b"s"
"""The prefix of all streams' states; a decider version follows, then a name."""
PROJECTIONS = b"p"
"""The prefix of everything that builds have written; a projection's name follows."""
PROGRESS = b"q"
"""The prefix of all builds' progress."""
CHANGES = b"x"
"""The prefix of the rows that say which hot rows each commit changed; no part of the history."""
ORDER = b"o"
"""The prefix of the admitted order."""
TIMES = b"t"
"""The prefix of the rows that say where in the log each second of effective time begins."""


@lru_cache(maxsize=32_768)
def name(text: str) -> bytes:
    """A name of at most 255 bytes, length-prefixed, so that no name is a prefix of another's key."""
    raw = text.encode()
    return bytes((len(raw),)) + raw


def head(stream: str) -> bytes:
    """The key of a stream's head."""
    return HEADS + name(stream)


def events(stream: str) -> bytes:
    """The prefix of all events of a stream; a version's 8 bytes follow."""
    return b"e" + name(stream)


def event(stream: str, version: int) -> bytes:
    """The key of one event."""
    return b"e" + name(stream) + pack_u64(version)


def append(append_id: bytes) -> bytes:
    """The key of an append id (R2)."""
    return b"a" + append_id


def order(offset: int, index: int) -> bytes:
    """The key of one event in the admitted order."""
    return _ORDER.pack(ORDER, offset, index)


def spot(key: bytes) -> tuple[int, int]:
    """The offset and index in a key of the admitted order."""
    _, offset, index = _ORDER.unpack(key)
    return offset, index


def event_in_order(row: bytes) -> bytes:
    """The key of the event that a row of the admitted order names (rows.pack_order: version, then stream)."""
    return b"e" + bytes((len(row) - 8,)) + row[8:] + row[:8]


def time(effective: int) -> bytes:
    """The key of an effective time in microseconds."""
    return TIMES + pack_u64(effective)


def states(version: int) -> bytes:
    """The prefix of all streams' states, folded by this decider version."""
    return STATES + pack_u64(version)


def state(version: int, stream: str) -> bytes:
    """The key of a stream's latest state, folded by this decider version."""
    return states(version) + name(stream)


def snapshots(decider: int, stream: str) -> bytes:
    """The prefix of all snapshots of a stream by this decider version."""
    return b"n" + pack_u64(decider) + name(stream)


def snapshot(decider: int, stream: str, version: int) -> bytes:
    """The key of the snapshot that holds the state after this version's event."""
    return snapshots(decider, stream) + pack_u64(version)


def parked(stream: str) -> bytes:
    """The key of a parked stream's record."""
    return PARKED + name(stream)


def build(version: int, generation: int) -> int:
    """A build of a projection as one number: its version, and how often that version was begun again on request."""
    return version << 32 | generation


def unpack_build(number: int) -> tuple[int, int]:
    """(version, generation)."""
    return number >> 32, number & 0xFFFFFFFF


def projection(name_: str, build_: int) -> bytes:
    """The prefix of everything that a build of a projection has written."""
    return PROJECTIONS + name(name_) + pack_u64(build_)


def rows(prefix: bytes) -> bytes:
    """The prefix of a build's rows as they are now; `prefix` is the build's."""
    return prefix + b"r"


def row(prefix: bytes, key: str) -> bytes:
    """The key of a row as it is now; `prefix` is the build's."""
    return prefix + b"r" + key.encode()


def old_rows(prefix: bytes, key: str) -> bytes:
    """The prefix of everything that a row has been."""
    return prefix + b"v" + key.encode() + b"\0"


def old_row(prefix: bytes, key: str, effective: int) -> bytes:
    """The key of what a row has been from an effective time on."""
    return old_rows(prefix, key) + pack_u64(effective)


def progress(name_: str, build_: int) -> bytes:
    """The key of how far a build is."""
    return PROGRESS + name(name_) + pack_u64(build_)


def unpack_progress(key: bytes) -> tuple[str, int]:
    """(projection, build) of the key of a progress."""
    return key[2:-8].decode(), int.from_bytes(key[-8:], "big")


def change(commit: int) -> bytes:
    """The key of what the commit with this number changed."""
    return CHANGES + pack_u64(commit)


def hot_space(space: str) -> str:
    """The name of a partition's hot space: another than its history's, for both may lie in one database."""
    return f"{space}.hot"


def after(prefix: bytes) -> bytes | None:
    """The first key behind every key with this prefix, or None where there is none (all bytes 0xff)."""
    trimmed = prefix.rstrip(b"\xff")
    return trimmed[:-1] + bytes((trimmed[-1] + 1,)) if trimmed else None
