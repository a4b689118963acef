"""R2-R4 over whole logs, and a digest of every stream. Heads, append ids and digests lie on disk.

So memory does not grow with the log; on disk it takes about 100 bytes an append and 150 a stream.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from struct import Struct

import lmdb
import msgspec

from bridge.errors import LighthouseError
from bridge.log.admission import Verdict, judge
from bridge.log.record import AppendRecord, Malformed, Place, Record, parse

DIGEST = 32
MAP = 1 << 40
"""Bytes that the file may come to have; it is sparse."""

EVERY = 20_000
"""Appends between two commits: what is not committed lies in memory."""

_STREAM = Struct(f">Q{DIGEST}s")
_STEP = Struct(">Qq")
_PART = Struct(">cH")
_MODULUS = 1 << 8 * DIGEST


class Totals(msgspec.Struct, frozen=True):
    """What a log's admitted appends are. Two logs with the same `digest` have the same history of every stream.

    A stream's digest is a chain over its appends: version, effective time, append id, request hash and all the rest of
    the headers, and the value with events, event time and envelope. `digest` is the sum of those, in any order.
    """

    streams: int
    appends: int
    events: int
    digest: str


class Ledger:
    """The admission of one log, of all its partitions together. Use it in one thread; raises LighthouseError."""

    def __init__(self, directory: Path) -> None:
        """Begins an empty one in the directory, whatever lies there."""
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        self.verdicts: Counter[Verdict] = Counter()
        self.appends = self.events = 0
        self._directory = directory
        self._clocks: dict[int, int] = {}
        self._lmdb = lmdb.open(
            str(directory), map_size=MAP, sync=False, metasync=False, writemap=True, lock=False, readahead=False
        )
        self._write = self._lmdb.begin(write=True)

    def effective(self, partition: int) -> int:
        """The partition's effective time so far, in microseconds."""
        return self._clocks.get(partition, 0)

    def take(self, place: Place, record: Record) -> Verdict:
        """Judges the next record of a partition."""
        effective = self._clocks[place.partition] = max(record.time, self.effective(place.partition))
        parsed = parse(record, place)
        if isinstance(parsed, AppendRecord):
            verdict = self._judge(place.partition, record, parsed, effective)
        else:
            verdict = Verdict.MALFORMED if isinstance(parsed, Malformed) else Verdict.TICK
        self.verdicts[verdict] += 1
        return verdict

    def _judge(self, partition: int, record: Record, append: AppendRecord, effective: int) -> Verdict:
        seen, stream = _PART.pack(b"a", partition) + append.append, b"s" + append.stream.encode()
        head, digest = _unpack(self._write.get(stream))
        verdict = judge(append, head, self._write.get(seen) is not None)
        if verdict is Verdict.ADMITTED:
            chained = _chained(digest, head, effective, record)
            self._put(seen, b"")
            self._put(stream, _STREAM.pack(head + append.count, chained))
            self.appends, self.events = self.appends + 1, self.events + append.count
            if self.appends % EVERY == 0:
                self._write.commit()
                self._write = self._lmdb.begin(write=True)
        return verdict

    def _put(self, key: bytes, value: bytes) -> None:
        try:
            self._write.put(key, value)
        except lmdb.Error as error:
            raise LighthouseError(f"{self._directory} cannot be written: {error}; free some space") from error

    def totals(self) -> Totals:
        """What was admitted so far."""
        count = total = 0
        for stream, head, digest in self._streams():
            count += 1
            one = blake2b(_STREAM.pack(head, digest) + stream.encode(), digest_size=DIGEST).digest()
            total = (total + int.from_bytes(one, "big")) % _MODULUS
        return Totals(count, self.appends, self.events, f"{total:0{2 * DIGEST}x}")

    def difference(self, other: Ledger) -> str | None:
        """The first stream whose history is another there, and how; None where all are the same."""
        theirs = other._streams()
        for stream, head, digest in self._streams():
            found = next(theirs, None)
            if found is None or found[0] > stream:
                return f"{stream} is missing"
            if found[0] < stream:
                return f"{found[0]} is one too many"
            if found != (stream, head, digest):
                return f"{stream} has {found[1]} events, not the {head} that it should have, or others"
        found = next(theirs, None)
        return None if found is None else f"{found[0]} is one too many"

    def _streams(self) -> Iterator[tuple[str, int, bytes]]:
        cursor = self._write.cursor()
        if cursor.set_range(b"s"):
            for key, value in cursor:
                yield key[1:].decode(), *_unpack(value)

    def close(self) -> None:
        """Removes what lies on disk."""
        self._write.abort()
        self._lmdb.close()
        shutil.rmtree(self._directory, ignore_errors=True)


def _unpack(raw: bytes | None) -> tuple[int, bytes]:
    """The stream's head, and the digest so far."""
    return _STREAM.unpack(raw) if raw is not None else (0, bytes(DIGEST))


def _chained(digest: bytes, version: int, effective: int, record: Record) -> bytes:
    chain = blake2b(digest, digest_size=DIGEST)
    chain.update(_STEP.pack(version, effective))
    for name, value in record.headers:
        for part in (name.encode(), value or b""):
            chain.update(len(part).to_bytes(4, "big") + part)
    chain.update(record.value or b"")
    return chain.digest()
