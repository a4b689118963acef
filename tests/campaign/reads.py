"""What was read and when appends were answered, against the log: prefixes, read-your-writes, real-time order. Pure."""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence

from bridge.times import rfc3339
from tests.campaign.remote import Final, Miss, Read
from tests.campaign.report import Pause
from tests.faults.journal import TOLD, Attempt, Outcome
from tests.faults.reference import Reference


class Prefixes:
    """Each stream's head after each admitted append, by the append's offset and by its time."""

    def __init__(self, references: Iterable[Reference]) -> None:
        self._offsets: dict[str, list[int]] = {}
        self._times: dict[str, list[int]] = {}
        self._heads: dict[str, list[int]] = {}
        for reference in references:
            for append in reference.admitted.values():  # in the order of the log
                self._offsets.setdefault(append.stream, []).append(append.offset)
                self._times.setdefault(append.stream, []).append(append.effective)
                self._heads.setdefault(append.stream, []).append(append.first + append.count)

    def head(self, stream: str, offset: int) -> int:
        """The head that the stream has when everything below the offset is applied."""
        known = bisect_left(self._offsets.get(stream, []), offset)
        return self._heads[stream][known - 1] if known else 0

    def as_of(self, stream: str, at: int) -> int:
        """The head that the stream had at a time in microseconds."""
        known = bisect_right(self._times.get(stream, []), at)
        return self._heads[stream][known - 1] if known else 0


def unexplained(reads: Sequence[Read], prefixes: Prefixes) -> list[str]:
    """Reads that no prefix of the log explains, or that did not see what their reader had been told (I4, RYW)."""
    wrong = []
    for read in reads:
        if (head := prefixes.head(read.stream, read.offset)) != read.head:
            wrong.append(f"{read} is at offset {read.offset}, where the log says {head}")
        if read.head < read.least:
            wrong.append(f"{read} did not see version {read.least - 1}, which its reader had been told of")
    return wrong


def misplaced(finals: Mapping[tuple[str, int], Final], prefixes: Prefixes) -> list[str]:
    """Final answers, by stream and time, of another version than the last one that the log has until then (I7)."""
    return [
        f"I7: {stream} as of {rfc3339(at)} was told as version {version}, and the log has {last} there"
        for (stream, at), (version, _) in finals.items()
        if version != (last := prefixes.as_of(stream, at) - 1)
    ]


def untold(attempts: Iterable[Attempt]) -> list[str]:
    """Requests that may have been written, and whose writer was never told."""
    asked: dict[tuple[str, str], set[Outcome]] = {}
    for attempt in attempts:
        asked.setdefault((attempt.request.stream, attempt.request.key), set()).add(attempt.outcome)
    return [
        f"{key} in {stream} was unknown to its end"
        for (stream, key), outcomes in asked.items()
        if Outcome.UNKNOWN in outcomes and not outcomes & TOLD
    ]


def out_of_order(attempts: Sequence[Attempt]) -> list[str]:
    """Appends that lie before one of the same stream that was acknowledged before they were first asked for."""
    begun: dict[tuple[str, str], float] = {}
    for attempt in attempts:
        asked = attempt.request.stream, attempt.request.key
        begun[asked] = min(attempt.began, begun.get(asked, attempt.began))
    wrong, latest = [], dict[str, list[tuple[float, int]]]()
    for attempt in sorted((one for one in attempts if one.outcome is Outcome.ACKNOWLEDGED), key=lambda one: one.ended):
        assert attempt.appended is not None
        stream, first = attempt.request.stream, attempt.appended.first_version
        known = latest.setdefault(stream, [])
        before = bisect_left(known, (begun[stream, attempt.request.key], -1))
        if before and known[before - 1][1] > first:
            wrong.append(f"{attempt} lies before version {known[before - 1][1]}, acknowledged before it was asked for")
        known.append((attempt.ended, max(first, known[-1][1] if known else -1)))
    return wrong


def gaps(attempts: Sequence[Attempt], since: float, until: float) -> dict[int, float]:
    """By partition, the longest time without an acknowledgement between two moments; both ends count."""
    by_partition = _acknowledged(attempts).items()
    return {partition: longest(times, since, until) for partition, times in by_partition}


def pauses(attempts: Sequence[Attempt], since: float, until: float) -> list[Pause]:
    """Where more than half a second passed without an acknowledgement in a partition, in the order of time."""
    found = [
        Pause(partition, round(early - since, 2), round(late - early, 2))
        for partition, times in _acknowledged(attempts).items()
        for early, late in _between(times, since, until)
        if late - early > 0.5
    ]
    return sorted(found, key=lambda one: (one.at, one.partition))


def longest(times: Iterable[float], since: float, until: float) -> float:
    """The longest time without one of these, between two moments; both ends count."""
    return max(late - early for early, late in _between(times, since, until))


def _acknowledged(attempts: Iterable[Attempt]) -> dict[int, list[float]]:
    """The times of acknowledgements by partition."""
    found: dict[int, list[float]] = {}
    for attempt in attempts:
        if attempt.appended is not None:
            found.setdefault(attempt.appended.position.partition, []).append(attempt.ended)
    return found


def _between(times: Iterable[float], since: float, until: float) -> Iterator[tuple[float, float]]:
    return itertools.pairwise([since, *sorted(one for one in times if since < one < until), until])


def longest_wait(reads: Sequence[Read], misses: Sequence[Miss], since: float, until: float) -> float:
    """The longest time from a question to its answer, or, where it had none, to the next answer about that stream."""
    answers: dict[str, list[float]] = {}
    for read in sorted(reads, key=lambda one: one.ended):
        answers.setdefault(read.stream, []).append(read.ended)
    waits = [read.ended - read.began for read in reads if since <= read.began < until]
    for miss in misses:
        if since <= miss.began < until:
            later = (ended for ended in answers.get(miss.stream, ()) if ended >= miss.ended)
            waits.append(next(later, max(until, miss.ended)) - miss.began)
    return max(waits, default=until - since)
