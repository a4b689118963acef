"""What must hold of a group whatever happens: I1 to I7, rows of projections and their answers included."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import reduce
from operator import add

from bridge.decisions import Build
from bridge.errors import (
    Conflict,
    KeyReused,
    NotFound,
    NotReached,
    Refused,
    Unavailable,
    Unknown,
)
from bridge.events import Position
from bridge.log.record import Place
from bridge.query.reader import Row
from bridge.store import keys
from bridge.store.rows import Progress
from tests.model.answers import Crash, answered
from tests.model.checks import acknowledged, refused
from tests.model.world import Attempt
from tests.simulation.cluster import ACCOUNTS, PLACES, Cluster, Query, category_of
from tests.simulation.projected import NAMES, as_of, encoded, folded, under


class Checks:
    """The invariants of a cluster; it remembers what was answered, and what had been live."""

    def __init__(self, world: Cluster) -> None:
        self.world = world
        self.final: dict[tuple[str, int], int | None] = {}
        self.judged = Counter[str]()
        self._checked: dict[Place, tuple[object, int]] = {}
        self._complete: set[tuple[str, Build, Place]] = set()
        self._answering: dict[str, Build] = {}
        self._decided = 0

    def check(self) -> None:
        """Every invariant, as things are now. Raises AssertionError."""
        for member in self.world.members:
            if not member.dead and member.task.done() and (error := member.task.exception()) is not None:
                kind = AssertionError if isinstance(error, AssertionError) else Crash
                raise kind(f"a process died of {error!r}") from error
        self._answers_hold()
        for place in ACCOUNTS:
            self._space_holds(place)
        self._switches_hold()
        self._queries_hold()

    # Appends: I1, I2

    def _answers_hold(self) -> None:
        for attempt in self.world.attempts:
            if attempt.task.done() and not attempt.judged:
                attempt.judged = True
                self._judge(attempt)
        for flight in self.world.void:
            place = PLACES[flight.outgoing.partition]
            admitted = self.world.told(place).admitted()
            assert not admitted.keys() & set(flight.offsets), f"I2: {flight.outgoing} was refused, then admitted"

    def _judge(self, attempt: Attempt) -> None:
        error = attempt.task.exception()
        if error is None:
            attempt.answer = attempt.task.result()
            acknowledged(attempt, attempt.answer, self.world.judged(attempt))
        elif isinstance(error, Unknown):
            return
        else:
            answered(error, Conflict, Refused, KeyReused, Unavailable)
            refused(attempt, error, self.world.attempts)
            self.world.void.extend(attempt.flights)

    # Spaces: I3, I4, I5

    def _space_holds(self, place: Place) -> None:
        state, known = self.world.state(place), len(self.world.registry.known)
        if (before := self._checked.get(place)) is not None and before[0] is state and before[1] == known:
            return
        self._checked[place] = state, known
        told = self.world.told(place, state.mark.position)
        appends = {key[1:] for key in state.rows if key[:1] == b"a"}
        assert appends == set(told.wins), f"I5: appends of {place.space}"
        events = sum(key[:1] == b"e" for key in state.rows)
        assert events == sum(map(len, told.streams.values())), f"I3: versions of {place.space}"
        for key, raw in under(state, keys.PROGRESS).items():
            self._build_holds(place, key, Progress.unpack(raw))

    def _build_holds(self, place: Place, key: bytes, progress: Progress) -> None:
        """I4: the rows of a build are the fold up to where it is."""
        name, number = keys.unpack_progress(key)
        version, generation = keys.unpack_build(number)
        if (version, generation) in self.world.decided().of(name).dropped:
            return
        state = self.world.state(place)
        end = (max(state.mark.position, 0), 0) if progress.live else (progress.offset, progress.index)
        told = [one for one in self.world.in_order(place) if one[1].place < end]
        prefix = keys.projection(name, number)
        expected = encoded(prefix, folded(name, version, told))
        found = under(state, prefix)
        assert found == expected, (
            f"I4: {name} {version}.{generation} in {place.space} at {end}: {found}, not {expected}"
        )
        if progress.live or progress.complete:
            self._complete.add((name, (version, generation), place))

    # Builds: B3

    def _switches_hold(self) -> None:
        """A build answers only once it was live in every partition."""
        length = self.world.log.length(PLACES[-1].topic, 0)
        if self._decided == length:
            return
        self._decided = length
        decided = self.world.decided()
        for name in NAMES:
            answering = decided.of(name).answering
            if answering is not None and answering != self._answering.get(name):
                self._answering[name] = answering
                missing = [place.space for place in ACCOUNTS if (name, answering, place) not in self._complete]
                assert not missing, f"B3: {name} {answering} answers, and was never live in {missing}"

    # Answers: read your writes, I7

    def _queries_hold(self) -> None:
        for query in self.world.queries:
            if query.task.done() and not query.judged:
                query.judged = True
                self._answer_holds(query)
        whole = {place: self.world.in_order(place) for place in ACCOUNTS} if self.final else {}
        for (key, at), value in self.final.items():
            assert as_of("past", 1, whole[self.world.place_of(key)], key, at) == value, f"I7: past {key} at {at}"

    def _answer_holds(self, query: Query) -> None:
        error = query.task.exception()
        if error is None:
            row: Row = query.task.result()
            self._was_asked_for(query, row.seen.positions)
            self._row_holds(query, row)
        elif isinstance(error, NotFound):
            assert isinstance(error.position, tuple), f"{query} is not told of when it is that there is no row"
            self._was_asked_for(query, error.position)
            self._no_row_holds(query, error.position)
        else:
            answered(error, Unavailable, NotReached)
            self.judged["none"] += 1

    def _was_asked_for(self, query: Query, positions: Sequence[Position]) -> None:
        """An answer is read where the row may be, and no earlier than was wanted (read your writes)."""
        at = {(category_of(one), one.partition): one.offset for one in positions}
        assert at.keys() == {(place.category, place.partition) for place in self.world.holding(query)}, query
        for where, wanted in (query.when.wanted or {}).items():
            assert at.get(where, wanted) >= wanted, f"{query} was answered from {at}"

    def _row_holds(self, query: Query, row: Row) -> None:
        if row.seen.behind:
            self.judged["behind"] += 1
            return
        self.judged["row"] += 1
        known = self._known(query, row.seen.build[0], row.seen.positions)
        assert known, f"{query} was answered with {row.value}, of nothing"
        assert reduce(add, known) == row.value, f"{query} was answered with {row.value}, not {known}"
        if row.seen.final and query.when.time is not None:
            self.final[query.key, query.when.time] = row.value

    def _no_row_holds(self, query: Query, positions: Sequence[Position]) -> None:
        """It does not say by which build; the first version has no row that a newer one does not have."""
        self.judged["no row" if positions else "nowhere"] += 1
        known = self._known(query, 1, positions)
        assert not known, f"{query} was answered with no row, not {known}"

    def _known(self, query: Query, version: int, positions: Sequence[Position]) -> list[int]:
        """What the partitions held of a row at these positions."""
        parts = []
        for position in positions:
            told = [
                one for one in self.world.in_order(ACCOUNTS[position.partition]) if one[1].place < (position.offset, 0)
            ]
            if query.when.time is not None:
                told = [one for one in told if one[1].effective <= query.when.time]
            parts.append(folded(query.name, version, told).now.get(query.key))
        return [part for part in parts if part is not None]

    # The end

    def missing(self) -> list[str]:
        """What is not as it must be once all is well."""
        found = []
        decided = self.world.decided()
        newest = max((one.catalog for one in self.world.alive()), key=lambda one: len(one.projections))
        for place in PLACES:
            state, end = self.world.state(place), self.world.log.length(place.topic, place.partition)
            if state.mark.position < end:
                found.append(f"{place.space} is at {state.mark.position} of {end}")
        for name in NAMES:
            versions = newest.versions(name)
            wanted = max(decided.of(name).builds(versions))
            if (decided.of(name).answering or (0, 0)) < wanted:
                found.append(f"{name} {wanted} does not answer")
            for place in ACCOUNTS:
                raw = self.world.state(place).rows.get(keys.progress(name, keys.build(*wanted)))
                if raw is None or not Progress.unpack(raw).live:
                    found.append(f"{name} {wanted} is not live in {place.space}")
        found += [
            "not all is known that was decided" for one in self.world.alive() if one.follower.decisions != decided
        ]
        found += ["an attempt was not answered"] * (not all(one.task.done() for one in self.world.attempts))
        return found

    def at_the_end(self) -> None:
        """I4: each space holds what a clean rebuild holds, beside projections."""
        for place in PLACES:
            found, clean = self.world.state(place).rows, self.world.rebuilt_at(place).rows
            assert _history(found) == _history(clean), f"I4: {place.space}"


def _history(rows: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """A space without its projections."""
    return {key: row for key, row in rows.items() if key not in keys.PASSING and key[:1] not in (b"p", keys.PROGRESS)}
