"""What was read and when appends were answered, against the log: prefixes, read-your-writes, real-time order. Pure."""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence

from tests.campaign.remote import Read
from tests.faults.journal import Attempt, Outcome
from tests.faults.reference import Admitted, Reference


class Prefixes:
    """Each stream's head after each admitted append, by the append's offset."""

    def __init__(self, references: Iterable[Reference]) -> None:
        self._offsets: dict[str, list[int]] = {}
        self._heads: dict[str, list[int]] = {}
        for reference in references:
            for append in reference.admitted.values():  # in the order of the log
                self._offsets.setdefault(append.stream, []).append(append.offset)
                self._heads.setdefault(append.stream, []).append(append.first + append.count)

    def head(self, stream: str, offset: int) -> int:
        """The head that the stream has when everything below the offset is applied."""
        known = bisect_left(self._offsets.get(stream, []), offset)
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
    found: dict[int, list[float]] = {}
    for attempt in attempts:
        if attempt.appended is not None:
            found.setdefault(attempt.appended.position.partition, []).append(attempt.ended)
    return {partition: _longest(sorted(times), since, until) for partition, times in found.items()}


def _longest(times: Sequence[float], since: float, until: float) -> float:
    inside = [since, *(one for one in times if since < one < until), until]
    return max(late - early for early, late in itertools.pairwise(inside))


def admitted_of(references: Iterable[Reference]) -> Mapping[bytes, Admitted]:
    """Every append that counts, by its id."""
    return {id_: append for one in references for id_, append in one.admitted.items()}
