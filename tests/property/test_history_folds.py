"""From a time to a version, and from a version to a state, against the naive way."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.decider import fold
from bridge.errors import NotFound
from bridge.history.reader import At
from bridge.history.times import ClockName
from bridge.store import keys
from bridge.store.contract import Writes
from bridge.store.rows import EventRow
from tests.model import account
from tests.model.bench import START, Bench, Draft, deposit, numbered, records
from tests.model.world import PARTITION, PLACE, now
from tests.simlog import SimLog, VirtualLoop

PATIENT = settings(deadline=None)

STREAM = "account/a"
MOVES = st.lists(st.tuples(st.integers(-40_000, 40_000), st.integers(-30, 30)), min_size=1, max_size=12)


@pytest.fixture(scope="module")
def loop() -> Iterator[VirtualLoop]:
    loop = VirtualLoop()
    yield loop
    loop.close()


def timed(moves: list[tuple[int, int]]) -> Bench:
    """One event a move: by how much the broker's clock and the writer's clock differ from before."""
    log, said = SimLog(), START
    for number, (clock, event) in enumerate(moves):
        log.now += clock
        said += event
        log.write(Draft(STREAM, id=number + 1, time=said).outgoing())
    return Bench().take_all(log.read(*PARTITION, 0, 100))


def times_of(bench: Bench, clock: ClockName) -> list[int]:
    rows = sorted((key, EventRow.unpack(row)) for key, row in bench.rows().items() if key[:1] == b"e")
    return [row.effective if clock is ClockName.EFFECTIVE else row.event_time for _, row in rows]


@PATIENT
@given(moves=MOVES, clock=st.sampled_from(ClockName), data=st.data())
def test_a_time_leads_to_the_last_version_at_or_before_it(
    loop: VirtualLoop, moves: list[tuple[int, int]], clock: ClockName, data: st.DataObject
) -> None:
    bench = timed(moves)
    times = times_of(bench, clock)
    assert times == sorted(times)
    at = data.draw(st.sampled_from(times)) + data.draw(st.integers(-2, 2))
    found = bisect_right(times, at) - 1
    if found < 0:
        with pytest.raises(NotFound):
            now(bench.history(loop).state(STREAM, At(time=at, clock=clock)))
        return
    answer = now(bench.history(loop).state(STREAM, At(time=at, clock=clock)))
    assert (answer.version, answer.final) == (found, at < times[-1])
    assert answer.state.balance == found + 1


@PATIENT
@given(moves=MOVES, more=MOVES, clock=st.sampled_from(ClockName))
def test_a_final_answer_stays(
    loop: VirtualLoop, moves: list[tuple[int, int]], more: list[tuple[int, int]], clock: ClockName
) -> None:
    short, long = timed(moves), timed(moves + more)
    for at in times_of(short, clock):
        answer = now(short.history(loop).state(STREAM, At(time=at, clock=clock)))
        later = now(long.history(loop).state(STREAM, At(time=at, clock=clock)))
        assert not answer.final or (answer.version, answer.state) == (later.version, later.state)
        assert later.final or not answer.final


@settings(max_examples=20, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 90), min_size=4, max_size=7),
    batches=st.integers(1, 4),
    data=st.data(),
)
def test_snapshots_and_tail_are_the_full_fold_at_every_version(
    loop: VirtualLoop, sizes: list[int], batches: int, data: st.DataObject
) -> None:
    events: list[list[Any]] = [[deposit(number, f"m{number % 7}") for number in range(size)] for size in sizes]
    log = records(numbered(Draft(STREAM, one) for one in events))
    bench = Bench()
    for start in range(0, len(log), batches):
        bench.take(log[start : start + batches])
    flat = [account.Deposited(data_["amount"], data_["memo"]) for one in events for _, data_ in one]
    snapshots = sum(key.startswith(keys.snapshots(1, STREAM)) for key in bench.rows())
    assert snapshots == len(flat) // 100
    history = bench.history(loop)
    drawn = data.draw(st.lists(st.integers(0, len(flat) - 1), max_size=8))
    for version in {0, len(flat) - 1, *drawn, *(edge for edge in (98, 99, 100, 199, 200) if edge < len(flat))}:
        state = now(history.state(STREAM, At(version)))
        assert state.state == fold(account.account, account.Account(), flat[: version + 1]), f"at {version}"


def test_a_read_folds_at_most_ninety_nine_events(loop: VirtualLoop) -> None:
    """Without the rows below a snapshot, the versions above it are still answered."""
    bench = Bench().take_all(records([Draft(STREAM, [deposit(1)] * 350)]))
    history = bench.history(loop)
    whole = [now(history.state(STREAM, At(version))).state for version in range(200, 350)]
    store = bench.stores.open(PLACE.space)
    gone = {keys.event(STREAM, version) for version in range(200)}
    now(store.commit(store.state.mark, store.state.mark.position, Writes(deletes=gone)))
    assert [now(history.state(STREAM, At(version))).state for version in range(200, 350)] == whole
