"""Projections: what live batches, slices, kills, parks, skips and rebuilds lead to is the naive fold, byte for byte."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge import states
from bridge.builtin import BUILT_IN
from bridge.cache import Cache
from bridge.decisions import BuildAnswered, BuildBegun, BuildDropped, Decisions, EventSkipped, RetryAsked
from bridge.events import RecordedEvent
from bridge.feed.order import Most, page
from bridge.log.record import Record, partition_of
from bridge.projection import Projection, Rows, projected
from bridge.store import keys
from bridge.store.contract import View
from bridge.store.rows import Progress, unpack_old
from streams.builds import Projecting
from tests.model.bench import Bench, Draft, deposit, numbered, records
from tests.model.world import KNOWN, PLACE, UNKNOWN, now

PATIENT = settings(deadline=None)
T = TypeVar("T")


@dataclass(frozen=True)
class Balance:
    """What a stream has, and the events that led to it."""

    amount: int = 0
    events: int = 0


def project_balance(event: RecordedEvent, rows: Rows[Balance]) -> None:
    """A row a stream, and one for its notes; a stream at a multiple of seven has no row."""
    before = rows.get(event.stream) or Balance()
    amount = before.amount + event.data["amount"]
    if amount % 7 == 0:
        rows.delete(event.stream)
    else:
        rows.put(event.stream, Balance(amount, before.events + 1))
    noted = rows.get(f"{event.stream}#{event.data['memo']}") or Balance()
    rows.put(f"{event.stream}#{event.data['memo']}", Balance(amount, noted.events + 1))


def project_memos(event: RecordedEvent, rows: Rows[int]) -> None:
    """What each memo moved; a row is read only where another one says so."""
    memo = event.data["memo"]
    total = (rows.get(memo) or 0) + event.data["amount"]
    rows.put(memo, total)
    if total % 3 == 0:
        rows.put("threes", (rows.get("threes") or 0) + 1)


def choosy(event: RecordedEvent, rows: Rows[int]) -> None:
    """Cannot take an amount of 13, and has put a row when it finds out."""
    rows.put(event.stream, (rows.get(event.stream) or 0) + event.data["amount"])
    if event.data["amount"] == 13:
        raise ValueError("thirteen")


BALANCES = Projection("balances", 1, project_balance, Balance, ("account",), versioned=True)
MEMOS = Projection("memos", 1, project_memos, int, merge=lambda one, other: one + other)
CHOOSY = Projection("choosy", 1, choosy, int)
OTHERS = Projection("others", 1, project_memos, int, ("somebody-else",), merge=max)


def project_many_memos(events: Sequence[RecordedEvent], rows: Rows[int]) -> None:
    for event in events:
        project_memos(event, rows)


MANY = Projection("many", 1, project_memos, int, merge=max, project_many=project_many_memos)
EVERYTHING = (BALANCES, MEMOS, OTHERS, MANY, *BUILT_IN)

STREAMS = [name for name in map("account/{}".format, "abcdefgh") if partition_of(name.encode(), PLACE.partitions) == 0]
DRAFTS = st.lists(
    st.builds(
        lambda stream, amounts, memo, expected, id_: Draft(
            stream, [deposit(amount, memo) for amount in amounts], expected, id_
        ),
        st.sampled_from(STREAMS),
        st.lists(st.integers(-20, 20), min_size=1, max_size=3),
        st.sampled_from(["x", "y", "z"]),
        st.sampled_from([None, None, None, 0, 1]),
        st.integers(1, 25),
    ),
    min_size=1,
    max_size=30,
)
STEPS = st.lists(st.sampled_from(["batch", "batch", "slice", "kill"]), max_size=60)


def projecting(*projections: Projection[Any], decisions: Decisions | None = None, cached: int = 5) -> Projecting:
    """With a cache so small that rows are read again."""
    reading = [projection for projection in projections if projection.reads("account")]
    return Projecting(reading, decisions or Decisions(), Cache(cached, 1000))


def events_of(bench: Bench) -> list[RecordedEvent]:
    """The admitted events."""

    async def read(view: View) -> list[RecordedEvent]:
        found = await page(view, bench.schemas, PLACE.partition, most=Most(rows=10_000))
        assert not found.more
        return [item for item in found.events if isinstance(item, RecordedEvent)]

    return on_view(bench, read)


def on_view(bench: Bench, read: Callable[[View], Coroutine[Any, Any, T]]) -> T:
    async def reading() -> T:
        async with bench.stores.open(PLACE.space).view() as view:
            return await read(view)

    return now(reading())


def rows_of(bench: Bench, projection: Projection[Any], generation: int = 0) -> dict[bytes, bytes]:
    """The build's rows, with what they have been."""
    prefix = keys.projection(projection.name, keys.build(projection.version, generation))
    return {key[len(prefix) :]: raw for key, raw in bench.rows().items() if key.startswith(prefix)}


def current(bench: Bench, projection: Projection[Any], generation: int = 0) -> dict[str, Any]:
    """The rows as they are now, decoded."""
    found = rows_of(bench, projection, generation)
    return {key[1:].decode(): states.decode(raw, projection.row) for key, raw in found.items() if key[:1] == b"r"}


def progress_of(bench: Bench, projection: Projection[Any], generation: int = 0) -> Progress:
    key = keys.progress(projection.name, keys.build(projection.version, generation))
    return Progress.unpack(bench.rows()[key])


def busy(bench: Bench) -> bool:
    return bench.owner.building


def go(bench: Bench, log: Sequence[Record], steps: Sequence[str], sizes: Iterator[int]) -> None:
    """Plays the steps until the log is applied and every build is done."""
    for step in [*steps, *["batch"] * len(log)]:
        if step == "batch" and bench.owner.mark.position < len(log):
            bench.take(log[bench.owner.rewind() : bench.owner.mark.position + next(sizes)])
        elif step == "slice" and bench.owner.building:
            bench.build(next(sizes))
        elif step == "kill":
            bench.deploy()
    bench.built()


@PATIENT
@given(drafts=DRAFTS, steps=STEPS, data=st.data())
def test_live_rows_are_the_naive_fold_and_a_clean_rebuild(
    drafts: list[Draft], steps: list[str], data: st.DataObject
) -> None:
    log, sizes = records(drafts), iter(lambda: data.draw(st.integers(1, 5)), 0)
    bench = Bench(projecting=projecting(*EVERYTHING))
    go(bench, log, steps, sizes)
    events = events_of(bench)
    for projection in (BALANCES, MEMOS, MANY, *BUILT_IN):
        assert current(bench, projection) == projected(projection, events)
        assert progress_of(bench, projection).live
    clean = Bench(projecting=projecting(*EVERYTHING, cached=1000)).built()
    clean.take_all(log)
    late = Bench().take_all(log)
    late.projecting = projecting(*EVERYTHING)
    late.deploy()
    late.built()
    for projection in (BALANCES, MEMOS, MANY, *BUILT_IN):
        assert rows_of(bench, projection) == rows_of(clean, projection) == rows_of(late, projection)
    assert not [key for key in bench.rows() if key.startswith(keys.projection("others", keys.build(1, 0)))]


@PATIENT
@given(drafts=DRAFTS, steps=STEPS, data=st.data())
def test_old_rows_are_what_the_rows_were(drafts: list[Draft], steps: list[str], data: st.DataObject) -> None:
    bench = Bench(projecting=projecting(BALANCES))
    go(bench, records(drafts), steps, iter(lambda: data.draw(st.integers(1, 5)), 0))
    events = events_of(bench)
    found = rows_of(bench, BALANCES)
    for time in sorted({event.effective for event in events}):
        expected = projected(BALANCES, [event for event in events if event.effective <= time])
        then: dict[str, bytes | None] = {}
        for key in sorted(key for key in found if key[:1] == b"v" and int.from_bytes(key[-8:], "big") <= time):
            then[key[1:-9].decode()] = unpack_old(found[key])
        assert {key: states.decode(raw, Balance) for key, raw in then.items() if raw is not None} == expected


@PATIENT
@given(drafts=DRAFTS, steps=STEPS, data=st.data())
def test_a_parked_build_stands_before_its_event_and_skips_are_heeded(
    drafts: list[Draft], steps: list[str], data: st.DataObject
) -> None:
    decisions = Decisions()
    log, sizes = records(drafts), iter(lambda: data.draw(st.integers(1, 5)), 0)
    bench = Bench(projecting=projecting(CHOOSY, MEMOS, decisions=decisions))
    go(bench, log, steps, sizes)
    events = events_of(bench)
    bad = [event for event in events if event.data["amount"] == 13]
    assert current(bench, MEMOS) == projected(MEMOS, events)
    for number, event in enumerate(bad):
        progress = progress_of(bench, CHOOSY)
        assert progress.parked is not None
        assert not progress.live
        assert (progress.parked.event, progress.parked.error) == (event.id, "ValueError: thirteen")
        good = [one for one in events[: events.index(event)] if one not in bad]
        assert current(bench, CHOOSY) == projected(CHOOSY, good)
        if data.draw(st.booleans()):
            decisions.take("system/choosy", RetryAsked(1))
            bench.built()
            assert progress_of(bench, CHOOSY).parked is not None, "the same code meets the same event"
        decisions.take("system/choosy", EventSkipped(1, event.id, event.stream, event.version, ""))
        assert bench.owner.building, f"skip {number} is heeded"
        bench.built()
    assert progress_of(bench, CHOOSY).live
    assert current(bench, CHOOSY) == projected(CHOOSY, [event for event in events if event not in bad])
    clean = Bench(projecting=projecting(CHOOSY, decisions=decisions)).take_all(log).built()
    assert rows_of(bench, CHOOSY) == rows_of(clean, CHOOSY), "a rebuild reads the skips first"


@PATIENT
@given(drafts=DRAFTS, steps=STEPS, data=st.data())
def test_a_new_version_is_built_beside_the_old_one(drafts: list[Draft], steps: list[str], data: st.DataObject) -> None:
    """B1-B4: with the old code still there, without it, again on request, and dropped."""
    decisions = Decisions()
    new = Projection("memos", 2, project_balance, Balance, merge=lambda one, _: one)
    log, sizes = records(drafts), iter(lambda: data.draw(st.integers(1, 5)), 0)
    half = len(log) // 2
    bench = Bench(projecting=projecting(MEMOS, decisions=decisions))
    go(bench, log[:half], steps, sizes)
    stale = current(bench, MEMOS)
    keeps = data.draw(st.booleans())
    bench.projecting = projecting(*([MEMOS] if keeps else []), new, decisions=decisions)
    bench.deploy()
    go(bench, log, steps, sizes)
    events = events_of(bench)
    assert current(bench, new) == projected(new, events)
    assert current(bench, MEMOS) == (projected(MEMOS, events) if keeps else stale)
    assert progress_of(bench, MEMOS).live == keeps
    decisions.take("system/memos", BuildAnswered(2, 0))
    decisions.take("system/memos", BuildBegun(2, 1))
    bench.built()
    assert rows_of(bench, new, 1) == rows_of(bench, new, 0)
    decisions.take("system/memos", BuildAnswered(2, 1))
    decisions.take("system/memos", BuildDropped(2, 0))
    decisions.take("system/memos", BuildDropped(1, 0))
    bench.built()
    assert rows_of(bench, new, 0) == {}
    assert current(bench, new, 1) == projected(new, events)
    if not keeps:
        assert rows_of(bench, MEMOS) == {}


@pytest.mark.parametrize("size", [1, 2, 4])
def test_an_event_that_cannot_be_read_holds_a_build_until_it_can(size: int) -> None:
    """Also in the middle of a batch: what came before it stays."""
    bench = Bench(projecting=projecting(BALANCES, MEMOS)).built()
    drafts = numbered(
        [Draft(STREAMS[0]), Draft(STREAMS[1], schema=UNKNOWN), Draft(STREAMS[0]), Draft(STREAMS[1], schema=KNOWN)]
    )
    bench.take_all(records(drafts), iter(lambda: size, 0))
    parked = progress_of(bench, MEMOS).parked
    assert parked is not None
    assert (parked.stream, parked.version, parked.unread) == (STREAMS[1], 0, True)
    assert current(bench, BALANCES).keys() == {STREAMS[0], f"{STREAMS[0]}#m"}
    bench.registry.known[UNKNOWN] = bench.registry.known[KNOWN]
    bench.unpark()
    bench.built()
    assert progress_of(bench, MEMOS).live
    assert current(bench, MEMOS) == projected(MEMOS, events_of(bench))
    assert current(bench, BALANCES) == projected(BALANCES, events_of(bench))


def test_while_decisions_are_not_known_live_builds_go_on_and_all_else_waits() -> None:
    log = records(numbered([Draft(), Draft(), Draft(), Draft()]))
    bench = Bench(projecting=projecting(MEMOS, BALANCES)).built()
    bench.take(log[:1])
    bench.projecting = projecting(MEMOS, MANY, decisions=(unknown := Decisions(complete=False)))
    bench.deploy()
    assert busy(bench) is False
    bench.take(log[:3])
    assert current(bench, MEMOS) == projected(MEMOS, events_of(bench)[:3])
    assert (progress_of(bench, BALANCES).live, progress_of(bench, BALANCES).offset) == (False, 1)
    unknown.complete = True
    assert busy(bench) is True
    bench.built()
    assert current(bench, MANY) == projected(MANY, events_of(bench))
    bench.projecting = projecting(MEMOS, BALANCES)
    bench.deploy()
    bench.built()
    bench.take(log[2:])
    assert current(bench, BALANCES) == projected(BALANCES, events_of(bench))


def test_what_a_row_cannot_be_parks_at_the_event_that_put_it() -> None:
    def put(event: RecordedEvent, rows: Rows[Any]) -> None:
        rows.put(event.stream, object() if event.data["memo"] == "bad" else event.version)

    def stranger(event: RecordedEvent, rows: Rows[Any]) -> None:
        rows.put("somebody/else", 1)

    def nothing(event: RecordedEvent, rows: Rows[Any]) -> None:
        rows.put(event.stream, None)

    odd, strange, void = (
        Projection(name, 1, code, Any) for name, code in (("a", put), ("b", stranger), ("c", nothing))
    )
    bench = Bench(projecting=projecting(odd, strange, void)).built()
    drafts = numbered([Draft(), Draft(events=[deposit(1), deposit(2, "bad"), deposit(3)]), Draft()])
    bench.take_all(records(drafts))
    parked = {one.name: progress_of(bench, one).parked for one in (odd, strange, void)}
    assert {name: why.version if why else None for name, why in parked.items()} == {"a": 2, "b": 0, "c": 0}
    assert current(bench, odd) == {"account/a": 1}
    assert "without a `merge`" in str(parked["b"])
    assert "delete it instead" in str(parked["c"])


def test_a_stored_row_that_does_not_fit_parks_with_a_hint() -> None:
    bench = Bench(projecting=projecting(MEMOS)).built()
    bench.take(records([Draft(id=1)]))
    bench.projecting = projecting(Projection("memos", 1, project_memos, str, merge=max))
    bench.deploy()
    bench.take(records(numbered([Draft(), Draft()])))
    parked = progress_of(bench, MEMOS).parked
    assert parked is not None
    assert "raise the projection's version" in parked.error
