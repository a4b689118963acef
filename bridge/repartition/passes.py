"""The three times that logs are read whole: to copy, to compare, to fill the new topic. All block: use a thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from bridge.errors import LighthouseError
from bridge.log.admission import Verdict
from bridge.log.record import Place, partition_of
from bridge.repartition.journal import Verified
from bridge.repartition.ledger import Ledger
from bridge.repartition.reading import ends, reading
from bridge.repartition.writing import Writer
from bridge.settings import Settings

Tell = Callable[[str, int, int], None]
"""Is told what is being done, how many records are done, and how many there are; raises what ends it."""

EVERY = 1000
"""Records between two of these."""


@dataclass(frozen=True)
class Log:
    """A topic that holds the category, with the ends of those of its partitions that do."""

    topic: str
    category: str
    ends: Sequence[int]

    @property
    def records(self) -> int:
        """How many records there are, control records among them."""
        return sum(self.ends)

    def place(self, partition: int) -> Place:
        """A partition as admission wants it."""
        return Place(self.topic, self.category, partition, len(self.ends))

    @property
    def places(self) -> list[Place]:
        """All of them."""
        return [self.place(number) for number in range(len(self.ends))]


@dataclass(frozen=True)
class Passes:
    """What the passes have in common; `directory` is where they keep what they need to know."""

    settings: Settings
    directory: Path
    tell: Tell

    def copy(self, source: Log, target: str, partitions: int) -> None:
        """Writes what is admitted in the source to the partitions of the target, in the order of effective time.

        That order is the same in each run, so what an earlier one has written is a beginning, and is left out. Each
        partition ends with a tick of the latest effective time there is: no answer that was final is not any more.
        """
        done = ends(self.settings, target, partitions)
        with closing(Ledger(self.directory / "copying")) as ledger, closing(Writer(self.settings, target)) as writer:
            written = [0] * partitions
            places = source.places
            with reading(self.settings, source.topic, dict(enumerate(source.ends))) as found:
                for count, (number, record) in enumerate(found.merged()):
                    if ledger.take(places[number], record) is Verdict.ADMITTED:
                        there = partition_of(record.key or b"", partitions)
                        written[there] += 1
                        if written[there] > done[there]:
                            effective = ledger.effective(number)
                            writer.write(there, record.key, record.value, record.headers, effective)
                    self._tell("copying", count, source.records)
            for there in range(partitions):
                if written[there] + 1 > done[there]:
                    writer.tick(there, latest(ledger, source))
            writer.flush()

    def compare(self, source: Log, copy: Log) -> Verified:
        """Admits both from the beginning, and compares every stream. Raises LighthouseError where they differ."""
        with closing(Ledger(self.directory / "source")) as old, closing(Ledger(self.directory / "copy")) as new:
            self._read(source, old, "reading the source")
            self._read(copy, new, "reading the copy")
            totals = old.totals()
            if new.totals() != totals:
                raise LighthouseError(f"the copy is not the same history: {old.difference(new)}")
            effective = latest(old, source)
            check_clean(new, copy, effective)
            judged = (old.verdicts[one] for one in (Verdict.CONFLICT, Verdict.DUPLICATE, Verdict.MALFORMED))
            return Verified(list(copy.ends), totals, effective, sum(old.verdicts.values()), *judged)

    def fill(self, copy: Log, topic: str, verified: Verified) -> None:
        """Writes the copy to a new topic, record by record, and holds that against what the copy was found to be."""
        with closing(Writer(self.settings, topic)) as writer:
            with reading(self.settings, copy.topic, dict(enumerate(copy.ends))) as found:
                for count, (number, record) in enumerate(found):
                    writer.write(number, record.key, record.value, record.headers, record.time)
                    self._tell("filling the new topic", count, copy.records)
            writer.flush()
        made = Log(topic, copy.category, ends(self.settings, topic, len(copy.ends)))
        with closing(Ledger(self.directory / "filled")) as ledger:
            self._read(made, ledger, "reading the new topic")
            if list(made.ends) != verified.ends or ledger.totals() != verified.totals:
                raise LighthouseError(f"topic {topic} does not hold what its copy holds: run the command again")
            check_clean(ledger, made, verified.effective)

    def _read(self, log: Log, ledger: Ledger, what: str) -> None:
        places = log.places
        with reading(self.settings, log.topic, dict(enumerate(log.ends))) as found:
            for count, (number, record) in enumerate(found):
                ledger.take(places[number], record)
                self._tell(what, count, log.records)

    def _tell(self, what: str, done: int, of: int) -> None:
        if done % EVERY == 0 or done + 1 == of:
            self.tell(what, done + 1, of)


def latest(ledger: Ledger, log: Log) -> int:
    """The latest effective time of a log, in microseconds."""
    return max((ledger.effective(number) for number in range(len(log.ends))), default=0)


def check_clean(ledger: Ledger, log: Log, effective: int) -> None:
    """Raises LighthouseError unless there are the admitted appends, and a last tick in each partition, and no more."""
    found = {verdict: count for verdict, count in ledger.verdicts.items() if count}
    wanted = {Verdict.ADMITTED: ledger.appends, Verdict.TICK: len(log.ends)}
    if found != {verdict: count for verdict, count in wanted.items() if count}:
        told = ", ".join(f"{count} {verdict.value}" for verdict, count in found.items())
        raise LighthouseError(f"{log.topic} holds {told}: more than was written to it")
    if wrong := [number for number in range(len(log.ends)) if ledger.effective(number) != effective]:
        raise LighthouseError(f"{log.topic}-{wrong[0]} does not end at the effective time of the old topic")
