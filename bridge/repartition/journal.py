"""What was done, as records in the last partition of the copy: whoever goes on with it, from wherever, reads them."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from bridge.errors import LighthouseError
from bridge.repartition.ledger import Totals
from bridge.repartition.reading import ends, reading
from bridge.repartition.writing import Writer
from bridge.settings import Settings


class Begun(msgspec.Struct, frozen=True, tag="begun"):
    """The topic as it was: its cluster and id, partitions and replicas, and the settings that are its own.

    `groups` are the consumer groups that have a place in it, which lies behind all that there is for them.
    """

    cluster: str
    topic: str
    before: int
    after: int
    replicas: int
    config: dict[str, str]
    groups: list[str]


class Closed(msgspec.Struct, frozen=True, tag="closed"):
    """Nobody can write to the topic any more: where its partitions end, and since when (seconds since 1970)."""

    ends: list[int]
    since: float


class Verified(msgspec.Struct, frozen=True, tag="verified"):
    """The copy is the same history: where its partitions end, what it holds, its effective time (microseconds).

    `read` and the counts are of the records of the old topic.
    """

    ends: list[int]
    totals: Totals
    effective: int
    read: int
    conflicts: int
    duplicates: int
    malformed: int


class Switching(msgspec.Struct, frozen=True, tag="switching"):
    """From here on the copy is what the category is: it cannot be given up any more."""


class GivenUp(msgspec.Struct, frozen=True, tag="given up"):
    """From here on it is undone: the topic stays what the category is."""


Decided = Switching | GivenUp


class Filled(msgspec.Struct, frozen=True, tag="filled"):
    """The topic is the new one, and has all that the copy has. From here on it is never filled again."""

    topic: str


Entry = Begun | Closed | Verified | Switching | GivenUp | Filled
_decoder: msgspec.json.Decoder[Entry] = msgspec.json.Decoder(Entry)


@dataclass
class Journal:
    """The steps that were done, in the topic of the copy. Its methods block; raise Unavailable, LighthouseError.

    Whether it is switched or given up is `decided` by who comes first: one partition has one order for everybody.
    """

    settings: Settings
    topic: str
    partition: int
    begun: Begun | None = None
    closed: Closed | None = None
    verified: Verified | None = None
    decided: Decided | None = None
    filled: Filled | None = None

    def read(self) -> None:
        """Reads all that was written."""
        end = ends(self.settings, self.topic, self.partition + 1)[self.partition]
        with reading(self.settings, self.topic, {self.partition: end}) as found:
            for _, record in found:
                self._keep(_decoded(self.topic, record.value or b""))

    def write(self, entry: Entry) -> None:
        """Adds a step, for good."""
        self._add(entry)
        self._keep(entry)

    def decide(self, wanted: Decided) -> Decided:
        """Adds a decision where there is none; answers the one that counts, which may be somebody else's."""
        self.read()
        if self.decided is None:
            self._add(wanted)
            self.read()
        assert self.decided is not None
        return self.decided

    def _add(self, entry: Entry) -> None:
        writer = Writer(self.settings, self.topic)
        try:
            writer.write(self.partition, None, msgspec.json.encode(entry), (), 0)
            writer.flush()
        finally:
            writer.close()

    def _keep(self, entry: Entry) -> None:
        match entry:
            case Begun():
                self.begun = entry
            case Closed():
                self.closed = entry
            case Verified():
                self.verified = entry
            case Switching() | GivenUp():
                self.decided = self.decided or entry
            case Filled():
                self.filled = entry


def _decoded(topic: str, raw: bytes) -> Entry:
    try:
        return _decoder.decode(raw)
    except msgspec.DecodeError as error:
        raise LighthouseError(f"{topic} holds what no repartition has written: {error}") from error
