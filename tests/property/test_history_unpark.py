"""A stream that has unparked is, byte for byte, what a clean rebuild with today's schemas and code makes of it (I4)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bridge.log.record import Record
from bridge.store import keys
from bridge.store.rows import ParkedRow
from bridge.typed import Typed
from tests.model import account
from tests.model.bench import START, Bench, Draft, deposit, numbered, records
from tests.model.world import COMPOSED, UNKNOWN

PATIENT = settings(deadline=None)

LARGEST = 4
"""Events of the largest append here; a slice must be larger."""

MEMOS = st.sampled_from(["m", "n", "m", "n", account.POISON])
EVENTS = st.lists(st.builds(deposit, st.integers(1, 9), MEMOS), min_size=1, max_size=LARGEST)
DRAFTS = st.builds(
    Draft,
    st.sampled_from(["account/a", "account/b"]),
    EVENTS,
    time=st.integers(START - 50, START + 50) | st.just(-1),
    schema=st.sampled_from([1, 1, UNKNOWN]),
)
HOPELESS = st.builds(Draft, st.just("account/b"), EVENTS, cut=st.just(1)) | st.builds(
    Draft, st.just("account/b"), EVENTS, count=st.just(LARGEST + 1)
)
LOGS = st.lists(DRAFTS | HOPELESS, min_size=1, max_size=25).map(numbered)
CURABLE = st.lists(DRAFTS, min_size=1, max_size=25).map(numbered)


def learned(bench: Bench) -> Bench:
    """The missing schema arrives, and the mended code is deployed."""
    bench.registry.known[UNKNOWN] = COMPOSED
    bench.typed = Typed(account.account)
    bench.deploy()
    return bench


def clean(log: list[Record]) -> Bench:
    """A rebuild by today's code."""
    return learned(Bench()).take_all(log)


def settle(bench: Bench) -> int:
    """Attempts until nothing moves any more; answers how many changed something."""
    for attempt in range(200):
        before = bench.owner.mark
        bench.unpark()
        if bench.owner.mark == before:
            return attempt
    raise AssertionError("unparking never ends")


def parks(bench: Bench) -> dict[str, int]:
    """The parked streams and the versions they stopped at."""
    rows = bench.rows()
    return {key[2:].decode(): ParkedRow.unpack(row).version for key, row in rows.items() if key[:1] == b"k"}


def without(rows: dict[bytes, bytes], streams: dict[str, int]) -> dict[bytes, bytes]:
    """The rows that do not belong to these streams."""
    return {
        key: row
        for key, row in rows.items()
        if key[:1] in (b"a", b"o", b"t", b"m") or not any(keys.name(stream) in key for stream in streams)
    }


@settings(max_examples=150, deadline=None)
@given(LOGS, st.integers(1, 9), st.integers(LARGEST + 2, 12), st.integers(0, 25))
@example(numbered([Draft(events=[deposit(1), deposit(2, account.POISON), deposit(3)]), Draft()]), 1, 6, 1)
@example(numbered([Draft(schema=UNKNOWN, events=[deposit(1), deposit(2, account.POISON)], time=-1), Draft()]), 1, 6, 2)
def test_unparked_is_rebuilt(drafts: list[Draft], batch: int, slice_: int, late: int) -> None:
    """`late` records come only between the slices of the unparking."""
    log = records(drafts)
    early = log[: max(1, len(log) - late)]
    bench = Bench(Typed(account.broken))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("streams.unpark.SLICE", slice_)
        for start in range(0, len(early), batch):
            bench.take(early[start : start + batch])
            bench.unpark()
        learned(bench)
        for record in log[len(early) :]:
            bench.take(log[bench.owner.start : record.offset + 1])
            bench.unpark()
        settle(bench)
    rebuilt = clean(log)
    assert parks(bench) == parks(rebuilt)
    assert without(bench.rows(), parks(bench)) == without(rebuilt.rows(), parks(rebuilt))


@PATIENT
@given(CURABLE, st.integers(LARGEST + 1, 12))
def test_what_can_be_cured_is_cured(drafts: list[Draft], slice_: int) -> None:
    log = records(drafts)
    bench = learned(Bench(Typed(account.broken)).take_all(log))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("streams.unpark.SLICE", slice_)
        settle(bench)
    assert parks(bench) == {}
    assert bench.rows() == clean(log).rows()


@PATIENT
@given(LOGS)
def test_unparking_without_news_writes_nothing_more(drafts: list[Draft]) -> None:
    """Nothing has changed: after at most one attempt, which may find other words, no commit is made."""
    bench = Bench(Typed(account.broken)).take_all(records(drafts))
    before = bench.rows()
    bench.unpark()
    bench.unpark()
    mark = bench.owner.mark
    bench.unpark()
    assert bench.owner.mark == mark
    assert without(bench.rows(), parks(bench)) == without(before, parks(bench))


@PATIENT
@given(CURABLE)
def test_a_category_without_a_decider_parks_for_bytes_alone(drafts: list[Draft]) -> None:
    log = records(drafts)
    bench = Bench(None).take_all(log)
    assert parks(bench).keys() == {draft.stream for draft in drafts if draft.schema == UNKNOWN}
    bench.registry.known[UNKNOWN] = COMPOSED
    settle(bench)
    rebuilt = Bench(None)
    rebuilt.registry.known[UNKNOWN] = COMPOSED
    assert bench.rows() == rebuilt.take_all(log).rows()


def test_a_backlog_of_many_slices_is_taken_one_slice_at_a_time() -> None:
    log = records(numbered([Draft(schema=UNKNOWN), *(Draft(events=[deposit(n)] * LARGEST) for n in range(60))]))
    bench = learned(Bench().take_all(log))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("streams.unpark.SLICE", 10)
        assert settle(bench) == 30, "eight of ten rows each: the last append may be cut"
    assert bench.rows() == clean(log).rows()


def test_snapshots_of_the_backlog_are_written() -> None:
    log = records(numbered([Draft(schema=UNKNOWN), *(Draft(events=[deposit(n)] * LARGEST) for n in range(120))]))
    bench = learned(Bench().take_all(log))
    settle(bench)
    assert sum(key.startswith(keys.snapshots(1, "account/a")) for key in bench.rows()) == 4
    assert bench.rows() == clean(log).rows()


def test_a_new_decider_that_stops_earlier_moves_the_park_back() -> None:
    """The stream is parked at version 3; the next version of the decider cannot even get there."""
    log = records(numbered([Draft(events=[deposit(1, account.POISON)]), Draft(), Draft(), Draft(schema=UNKNOWN)]))
    bench = Bench().take_all(log)
    assert parks(bench) == {"account/a": 3}
    bench.typed = Typed(replace(account.broken, version=2))
    bench.deploy()
    settle(bench)
    assert parks(bench) == {"account/a": 0}
    bench.registry.known[UNKNOWN] = COMPOSED
    bench.typed = Typed(replace(account.account, version=2))
    bench.deploy()
    settle(bench)
    assert parks(bench) == {}
