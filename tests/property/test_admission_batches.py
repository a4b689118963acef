"""Whatever a log holds and however it is cut into batches, its rows are the same, and those of a naive reading."""

from __future__ import annotations

from itertools import chain, repeat

from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.log.producer import Outgoing
from bridge.log.record import Record
from bridge.store import keys
from bridge.store.rows import AppendRow, EventRow, Head
from tests.model.bench import START, Bench, Draft, deposit
from tests.model.reference import truth
from tests.model.world import KNOWN, PARTITION, SCHEMA, now
from tests.simlog import SimLog

PATIENT = settings(deadline=None)

AMOUNTS = st.integers(-5, 9)
EVENTS = st.lists(AMOUNTS.map(deposit), min_size=1, max_size=4)
DRAFTS = st.builds(
    Draft,
    st.sampled_from(["account/a", "account/b", "account/e"]),
    EVENTS,
    st.none() | st.integers(0, 6),
    st.integers(1, 12),
    st.integers(START - 50, START + 50),
)
TICK = Outgoing(*PARTITION, None, b"", [("lh_tick", b"1")])
VOID = Outgoing(*PARTITION, b"account/a", b"garbage", [])
MOVED = st.integers(-900_000, 1_200_000)
STEPS = st.lists(st.tuples(DRAFTS | st.just(TICK) | st.just(VOID), MOVED), min_size=1, max_size=14)
SIZES = st.lists(st.integers(1, 5), min_size=1, max_size=14)
Steps = list[tuple[Draft | Outgoing, int]]


def log_of(steps: Steps) -> list[Record]:
    """The records of a log, the broker's clock moving by the given microseconds before each, sometimes back."""
    log = SimLog()
    for step, moved in steps:
        log.now += moved
        log.write(step.outgoing() if isinstance(step, Draft) else step)
    return log.read(*PARTITION, 0, len(steps))


@PATIENT
@given(STEPS, SIZES)
def test_batches_of_any_size_lead_to_the_same_rows(steps: Steps, sizes: list[int]) -> None:
    log = log_of(steps)
    assert Bench().take_all(log, chain(sizes, repeat(1))).rows() == Bench().take_all(log).rows()


@PATIENT
@given(STEPS, SIZES)
def test_a_restart_between_any_two_batches_changes_nothing(steps: Steps, sizes: list[int]) -> None:
    """The new owner has nothing in memory, and reads the last record once more to know the log again."""
    log, bench, start = log_of(steps), Bench(), 0
    for size in chain(sizes, repeat(1)):
        bench.take(log[bench.owner.start : start + size])
        start += size
        bench.deploy()
        if start >= len(log):
            break
    assert bench.rows() == Bench().take_all(log).rows()


@PATIENT
@given(STEPS, SIZES)
def test_replayed_twice_is_replayed_once(steps: Steps, sizes: list[int]) -> None:
    log, bench = log_of(steps), Bench()
    first = bench.take_all(log).rows()
    store = bench.stores.open("lighthouse.account-0")
    now(store.wipe(now(store.own())))
    bench.deploy()
    assert bench.take_all(log, chain(sizes, repeat(2))).rows() == first


@PATIENT
@given(STEPS)
def test_records_that_come_again_are_not_applied_again(steps: Steps) -> None:
    log, bench = log_of(steps), Bench()
    bench.take_all(log)
    rows, mark = bench.rows(), bench.owner.mark
    now(bench.owner.take(log))
    assert (bench.rows(), bench.owner.mark) == (rows, mark)


@settings(max_examples=200, deadline=None)
@given(STEPS, SIZES)
def test_admission_is_that_of_a_naive_reading(steps: Steps, sizes: list[int]) -> None:
    log = log_of(steps)
    rows = Bench().take_all(log, chain(sizes, repeat(1))).rows()
    told = truth(log, 0, 2, {KNOWN: SCHEMA})
    appends = {key[1:]: AppendRow.unpack(row) for key, row in rows.items() if key[:1] == b"a"}
    assert {
        append: (row.stream, row.first_version, row.count, row.request, row.offset) for append, row in appends.items()
    } == {append: (win.stream, win.first, win.count, win.request, win.offset) for append, win in told.wins.items()}
    for stream, facts in told.streams.items():
        head = Head.unpack(rows[keys.head(stream)])
        assert head == Head(len(facts), facts[0].effective, facts[-1].effective, facts[-1].event_time)
        for version, fact in enumerate(facts):
            row = EventRow.unpack(rows[keys.event(stream, version)])
            assert (row.effective, row.event_time, row.append) == (fact.effective, fact.event_time, fact.append)
            assert rows[keys.order(*fact.place)] == version.to_bytes(8, "big") + stream.encode()
    assert sum(key[:1] == b"e" for key in rows) == sum(map(len, told.streams.values()))


@PATIENT
@given(STEPS)
def test_effective_time_has_one_row_a_second_and_they_ascend(steps: Steps) -> None:
    log = log_of(steps)
    rows = Bench().take_all(log).rows()
    times = sorted((key[1:], row) for key, row in rows.items() if key[:1] == b"t")
    highest = 0
    expected = []
    for record in log:
        if record.time // 1_000_000 > highest // 1_000_000:
            expected.append((record.time.to_bytes(8, "big"), record.offset.to_bytes(8, "big")))
        highest = max(highest, record.time)
    assert times == expected
