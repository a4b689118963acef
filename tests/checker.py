"""The checker: every request with its answer, against the log and against the history (DESIGN 5, I1-I7).

The log is read by a plain consumer and judged by a naive admission (`tests.faults.reference`); the history is read
through the store, and compared byte by byte with one that the real owner builds anew from the log.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
from fastavro import parse_schema

from bridge.cache import Cache, StateCache
from bridge.history.reader import At, StateAt
from bridge.log.record import Place, Record
from bridge.log.schemas import Schemas
from bridge.spaces import Space
from bridge.store import keys, rows
from bridge.store.contract import Store
from bridge.store.memory import MemoryStores
from bridge.wiring import Platform, identities
from streams.builds import Projecting
from streams.owner import Code, LogEnds, Owner
from tests.faults.journal import REFUSED, Attempt, Journal, Outcome
from tests.faults.reference import LogRecord, Reference, log_below

CATEGORY = "project"
CAUGHT_UP = 30.0
REBUILD_BATCH = 313
"""An odd size, so that batches are cut elsewhere than they were the first time."""


@dataclass
class Checker:
    """Checks one run. Answers marked final are asked for during the run and once more at its end (I7)."""

    platform: Platform
    journal: Journal = field(default_factory=Journal)
    finals: list[tuple[str, At, StateAt]] = field(default_factory=list)
    references: list[Reference] = field(default_factory=list)

    async def remember(self, streams: Sequence[str]) -> None:
        """Asks for states at a version and at a time, and keeps the answers that are final."""
        for stream in streams:
            head = (await self.platform.history.info(stream)).head
            for at in (At(version=head.next // 2), At(time=(head.first + head.last) // 2)):
                answer = await self.platform.history.state(stream, at)
                if answer.final:
                    self.finals.append((stream, at, answer))

    async def check(self) -> dict[str, object]:
        """Waits until the stores have caught up, holds I1-I7 against them, and answers the run's report."""
        began = time.monotonic()
        self.references = references = [await self._partition(space) for space in self._spaces()]
        admitted = {id_: append for one in references for id_, append in one.admitted.items()}
        check_acknowledged(self.journal, admitted)
        check_refused(self.journal, {append.attempt for append in admitted.values() if append.attempt})
        check_winners(self.journal)
        await self._check_finals()
        void = [why for one in references for why in one.void.values()]
        return {
            **self.journal.summary(),
            "records": sum(one.end for one in references),
            "admitted": len(admitted),
            "void": {why: void.count(why) for why in sorted(set(void))},
            "finals": len(self.finals),
            "checked in": round(time.monotonic() - began, 2),
        }

    def _spaces(self) -> Iterator[Space]:
        return (
            self.platform.spaces.at(CATEGORY, number) for number in range(self.platform.spaces.categories[CATEGORY])
        )

    async def _partition(self, space: Space) -> Reference:
        settings = self.platform.base.settings
        place = space.place
        await space.store.wait(await self.platform.reader.end(place.topic, place.partition), CAUGHT_UP)
        await until_built(space.store)
        position, history = await rows_of(space.store)
        where = (settings.kafka_bootstrap, place.topic, place.partition, position)
        log = await log_below(*where)
        reference = Reference(place.topic, place.partition, place.partitions, RawSchemas(settings.registry_url))
        for record in log:
            reference.take(record)
        check_history(history, reference)
        rebuilt = await rebuild(self.platform, place, log)
        check_equal(history, rebuilt, parked(history) | parked(rebuilt))
        return reference

    async def _check_finals(self) -> None:
        for stream, at, answer in self.finals:
            now = await self.platform.history.state(stream, at)
            assert (now.version, now.final, now.state) == (answer.version, True, answer.state), f"I7: {stream} at {at}"


class RawSchemas:
    """The registry's schemas for the naive reference, as any tool would read them."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._known: dict[int, Any] = {}

    def __call__(self, schema_id: int) -> Any:
        """The parsed schema, or None."""
        if schema_id not in self._known:
            answer = httpx.get(f"{self._url}/schemas/ids/{schema_id}", timeout=10, trust_env=False)
            assert answer.status_code in (200, 404), answer.text
            self._known[schema_id] = parse_schema(json.loads(answer.json()["schema"])) if answer.is_success else None
        return self._known[schema_id]


async def rows_of(store: Store) -> tuple[int, dict[bytes, bytes]]:
    """Position and every row of a space, in one view."""
    async with store.view() as view:
        found: dict[bytes, bytes] = {}
        start: bytes | None = None
        while page := await view.scan(b"", start=start, limit=10_000):
            found.update(page)
            start = page[-1][0] + b"\0"
        return view.mark.position, found


async def rebuild(platform: Platform, place: Place, log: Sequence[LogRecord]) -> dict[bytes, bytes]:
    """The rows that the real owner makes of the log, in an empty store, in other batches."""
    base = platform.base
    schemas = Schemas(base.registry, base.catalog.schemas, base.settings.topic_prefix)
    typed = platform.handler.decider(f"{place.category}/any")
    stores = MemoryStores()
    decisions = await platform.projections.decisions()
    projecting = Projecting(base.catalog.reading(place.category), decisions, Cache(1000, 1 << 20))
    owner = Owner(place, stores.open(place.space), Code(schemas, typed, StateCache(100, 1 << 20), projecting))
    who = await identities(base, [place.topic])
    end = log[-1].offset + 1 if log else 0
    await owner.open(LogEnds(who[place.topic], 0, end))
    for start in range(0, len(log), REBUILD_BATCH):
        await owner.take([_record(one) for one in log[start : start + REBUILD_BATCH]])
    while owner.building:
        await owner.build(REBUILD_BATCH)
    return (await rows_of(stores.open(place.space)))[1]


async def until_built(store: Store) -> None:
    """Returns once no build of this partition is on its way any more."""
    deadline = time.monotonic() + CAUGHT_UP
    while moving := [key for key, one in (await progress_of(store)).items() if not one.live and one.parked is None]:
        assert time.monotonic() < deadline, f"still being built: {moving}"
        await asyncio.sleep(0.05)


async def progress_of(store: Store) -> dict[tuple[str, int], rows.Progress]:
    """How far each build is that was not given up: the newest of its projection in this partition."""
    async with store.view() as view:
        found = await view.scan(keys.PROGRESS)
    told = {keys.unpack_progress(key): rows.Progress.unpack(raw) for key, raw in found}
    newest = {name: max(build for one, build in told if one == name) for name, _ in told}
    return {key: one for key, one in told.items() if newest[key[0]] == key[1]}


def _record(record: LogRecord) -> Record:
    return Record(record.offset, record.key, record.value, record.headers, record.time, record.leader_epoch)


def parked(history: Mapping[bytes, bytes]) -> set[str]:
    """The parked streams of a partition."""
    return {key[2:].decode() for key in history if key[:1] == b"k"}


def check_acknowledged(journal: Journal, admitted: Mapping[bytes, Any]) -> None:
    """I1: each acknowledged append is admitted at the versions that every answer told, with the data that was asked."""
    for attempt in journal.of(Outcome.ACKNOWLEDGED):
        told = attempt.appended
        assert told is not None
        found = admitted.get(told.append)
        assert found is not None, f"I1: {attempt} is not admitted"
        versions = (found.stream, found.first, found.first + found.count - 1)
        assert versions == (told.stream, told.first_version, told.last_version), f"I1: {attempt} lies at {versions}"
        assert found.count == len(attempt.request.events), f"I1: {attempt} has {found.count} events"
        asked = [(event.type, dict(event.data)) for event in attempt.request.events]
        assert found.events == asked, f"I1: {attempt} is recorded as {found.events}"


def check_refused(journal: Journal, admitted: set[str]) -> None:
    """I2: nothing that a definitely refused attempt wrote is admitted."""
    for attempt in journal.attempts:
        if attempt.outcome in REFUSED:
            assert attempt.id not in admitted, f"I2: {attempt} was refused, and admitted"


def check_winners(journal: Journal) -> None:
    """I3: a version is told to one request only."""
    winners: dict[tuple[str, int], Attempt] = {}
    for attempt in journal.of(Outcome.ACKNOWLEDGED):
        told = attempt.appended
        assert told is not None
        for version in range(told.first_version, told.last_version + 1):
            winner = winners.setdefault((told.stream, version), attempt)
            assert winner.request == attempt.request, f"I3: {winner} and {attempt} both got version {version}"


def check_history(history: Mapping[bytes, bytes], reference: Reference) -> None:
    """I3, I4, I5: heads, events and admitted order are those of the naive admission: none skipped, none twice."""
    heads = {key[2:].decode(): rows.Head.unpack(value).next for key, value in history.items() if key[:1] == b"h"}
    assert heads == reference.heads, f"I3: {reference.topic}-{reference.partition}"
    expected = list(_expected_events(reference))
    found = [_found_event(history[keys.event(stream, version)], stream, version) for stream, version, *_ in expected]
    assert found == expected, f"I4: {reference.topic}-{reference.partition}"
    assert sum(key[:1] == b"e" for key in history) == len(expected), "I4: there are events that were not admitted"
    order = [
        (int.from_bytes(key[1:9], "big"), *rows.unpack_order(history[key]))
        for key in sorted(history)
        if key[:1] == b"o"
    ]
    assert order == [(offset, stream, version) for stream, version, offset, _, _ in expected], "I5: the admitted order"
    appends = {key[1:]: rows.AppendRow.unpack(value).offset for key, value in history.items() if key[:1] == b"a"}
    assert appends == {id_: append.offset for id_, append in reference.admitted.items()}, "I5: the append ids"


Expected = tuple[str, int, int, int, int]
"""Stream, version, offset, index in its append, effective time."""


def _expected_events(reference: Reference) -> Iterator[Expected]:
    for append in reference.admitted.values():
        for index in range(append.count):
            yield append.stream, append.first + index, append.offset, index, append.effective


def _found_event(raw: bytes, stream: str, version: int) -> Expected:
    row = rows.EventRow.unpack(raw)
    return stream, version, row.offset, row.index, row.effective


def check_equal(history: Mapping[bytes, bytes], rebuilt: Mapping[bytes, bytes], excepted: set[str]) -> None:
    """I4: the history is, byte for byte, what a clean rebuild makes; parked streams and the target excepted."""
    builds = [keys.projection(*keys.unpack_progress(key)) for key in rebuilt if key[:1] == keys.PROGRESS]
    first, second = _comparable(history, excepted), _comparable(rebuilt, excepted)
    first |= _projected(history, builds)
    second |= _projected(rebuilt, builds)
    wrong = {key for key in first.keys() | second.keys() if first.get(key) != second.get(key)}
    told = [(key, first.get(key), second.get(key)) for key in sorted(wrong)[:5]]
    assert not wrong, f"I4: {len(wrong)} rows differ from a rebuild: {told}"


def _projected(history: Mapping[bytes, bytes], builds: Sequence[bytes]) -> dict[bytes, bytes]:
    """The rows of these builds, by their prefixes."""
    return {key: value for key, value in history.items() if any(key.startswith(prefix) for prefix in builds)}


def _comparable(history: Mapping[bytes, bytes], excepted: set[str]) -> dict[bytes, bytes]:
    marks = [keys.name(stream) for stream in excepted]
    kept = {
        key: value
        for key, value in history.items()
        if key not in keys.PASSING and key[:1] not in (b"p", b"q", keys.CHANGES)
    }
    return {key: value for key, value in kept.items() if not any(mark in key for mark in marks)}
