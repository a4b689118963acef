from __future__ import annotations

import time
from collections.abc import Iterator

import jsonpatch
import pytest

from bridge import states
from bridge.errors import Invalid, NoOwner, NotFound, Parked, Rebuilding, Unavailable
from bridge.history.events import Range
from bridge.history.reader import At, History
from bridge.history.times import ClockName
from bridge.log.record import Record
from bridge.store import keys
from bridge.store.contract import Writes
from bridge.typed import Typed
from tests.model import account
from tests.model.bench import START, Bench, Draft, deposit, numbered, records
from tests.model.world import COMPOSED, PLACE, UNKNOWN, now
from tests.simlog import VirtualLoop

A = "account/a"
ALL = Range(0, 1000)


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    loop = VirtualLoop()
    yield loop
    loop.close()


def drafts() -> list[Draft]:
    """Versions 0-2 in two appends, their event times out of order."""
    return numbered([Draft(events=[deposit(1), deposit(2)], time=START + 100), Draft(events=[deposit(3)], time=START)])


@pytest.fixture
def bench() -> Bench:
    return Bench().take_all(records(drafts()))


@pytest.fixture
def history(bench: Bench, loop: VirtualLoop) -> History:
    return bench.history(loop)


def test_what_is_known_of_a_stream(history: History, bench: Bench) -> None:
    info = now(history.info(A))
    assert (info.head.next, info.head.event_time, info.parked) == (3, START + 100, None)
    assert (info.position.topic, info.position.partition, info.position.offset) == (PLACE.topic, 0, 2)


def test_events_carry_all_that_was_written(history: History) -> None:
    page = now(history.events(A, ALL))
    assert [(one.version, one.type, one.data["amount"]) for one in page.events] == [
        (0, "Deposited", 1),
        (1, "Deposited", 2),
        (2, "Deposited", 3),
    ]
    assert [(one.offset, one.index) for one in page.events] == [(0, 0), (0, 1), (1, 0)]
    assert page.events[1].id == (1).to_bytes(16, "big").hex() + ":1"
    assert page.events[2].envelope.actor == "ann"
    assert [one.event_time - START for one in page.events] == [100, 100, 100]
    assert page.head == 3


@pytest.mark.parametrize(
    ("span", "following"),
    [
        (ALL, None),
        (Range(0, 1000, 3), None),
        (Range(0, 1000, 2), 2),
        (Range(0, 2, 2), None),
        (Range(0, 1000, 2, True), 0),
        (Range(1, 1000, 2, True), None),
        (Range(3, 1000), None),
    ],
)
def test_a_page_tells_where_the_rest_begins(history: History, span: Range, following: int | None) -> None:
    assert now(history.events(A, span)).next == following


def test_a_page_of_large_events_ends_early_and_says_so(loop: VirtualLoop) -> None:
    large = [Draft(events=[deposit(number, "m" * 3_900_000)]) for number in range(6)]
    history = Bench().take_all(records(numbered(large))).history(loop)
    page = now(history.events(A, ALL))
    assert ([one.version for one in page.events], page.next) == ([0, 1, 2, 3], 4)
    page = now(history.events(A, Range(4, 1000)))
    assert ([one.version for one in page.events], page.next) == ([4, 5], None)
    assert now(history.state(A)).state.balance == 15


@pytest.mark.parametrize(
    ("span", "versions"),
    [
        (Range(1, 1000), [1, 2]),
        (Range(0, 1000, 2), [0, 1]),
        (Range(0, 1000, 2, True), [2, 1]),
        (Range(0, 2, 1000, True), [1, 0]),
        (Range(3, 1000), []),
        (Range(2, 1), []),
        (Range(0, 1000, 0), []),
    ],
)
def test_ranges(history: History, span: Range, versions: list[int]) -> None:
    assert [one.version for one in now(history.events(A, span)).events] == versions


def test_events_as_of_a_version(history: History) -> None:
    page = now(history.events(A, ALL, At(1)))
    assert [one.version for one in page.events] == [0, 1]
    assert page.final
    assert page.head == 3


def test_the_state_now_is_never_final(history: History) -> None:
    state = now(history.state(A))
    assert (state.version, state.final, state.state.balance) == (2, False, 6)


@pytest.mark.parametrize("version", [-1, 3, 10**9])
def test_a_version_that_is_not_there(history: History, version: int) -> None:
    with pytest.raises(NotFound, match="has no version"):
        now(history.state(A, At(version)))


def test_a_time_before_the_first_event(history: History) -> None:
    with pytest.raises(NotFound, match="did not exist yet"):
        now(history.state(A, At(time=1)))


def test_a_time_too_far_ahead(history: History) -> None:
    with pytest.raises(Invalid, match="60 s ahead"):
        now(history.state(A, At(time=int((time.time() + 100) * 1e6))))


@pytest.mark.parametrize(("ahead", "final"), [(-1, True), (0, False), (1, False)])
def test_final_lies_strictly_before_the_streams_event_time(history: History, ahead: int, final: bool) -> None:
    at = At(time=START + 100 + ahead, clock=ClockName.EVENT)
    if ahead < 0:
        with pytest.raises(NotFound):
            now(history.state(A, at))
    else:
        assert now(history.state(A, at)).final is final


def test_streams_and_categories_that_are_not_there(history: History) -> None:
    with pytest.raises(NotFound, match="there is no stream account/b"):
        now(history.state("account/b"))
    with pytest.raises(NotFound, match="there is no category"):
        now(history.info("order/1"))
    with pytest.raises(Invalid):
        now(history.info("nonsense"))


def test_a_category_without_a_decider_has_events_and_no_state(loop: VirtualLoop) -> None:
    history = Bench(None).take_all(records(drafts())).history(loop)
    assert len(now(history.events(A, ALL)).events) == 3
    with pytest.raises(NotFound, match="no decider"):
        now(history.state(A))


@pytest.mark.parametrize(("one", "two"), [(0, 2), (2, 0), (1, 1)])
def test_a_patch_leads_from_one_state_to_the_other(history: History, one: int, two: int) -> None:
    diff = now(history.diff(A, At(one), At(two)))
    before, after = (states.plain(now(history.state(A, At(version))).state) for version in (one, two))
    assert jsonpatch.apply_patch(before, diff.patch) == after
    assert [event.version for event in diff.events] == list(range(min(one, two) + 1, max(one, two) + 1))
    assert (diff.before, diff.after) == (one, two)


def test_the_last_event_with_a_field_that_begins_so(loop: VirtualLoop) -> None:
    memos = [deposit(1, f"sha{number % 7}x") for number in range(1200)]
    log = records(numbered([Draft(events=memos[:700]), Draft(events=memos[700:])]))
    history = Bench().take_all(log).history(loop)
    assert now(history.find(A, "Deposited", "memo", "sha3")) == 1200 - 1 - (1199 - 3) % 7
    assert now(history.find(A, "Deposited", "memo", "sha")) == 1199
    with pytest.raises(NotFound):
        now(history.find(A, "Deposited", "memo", "other"))
    with pytest.raises(NotFound):
        now(history.find(A, "Withdrawn", "memo", "sha"))


def test_a_history_that_was_never_begun(loop: VirtualLoop) -> None:
    bench = Bench()
    store = bench.stores.open(PLACE.space)
    now(store.wipe(store.state.mark))
    with pytest.raises(NoOwner, match="no history yet"):
        now(bench.history(loop).info(A))


def test_a_history_that_is_being_built_again_answers_nothing(loop: VirtualLoop) -> None:
    log = records(drafts())
    bench = Bench(end=2)
    bench.take(log[:1])
    with pytest.raises(Rebuilding, match="1 records are missing"):
        now(bench.history(loop).state(A))
    bench.take(log[1:])
    assert now(bench.history(loop).state(A)).version == 2


def test_a_parked_stream_answers_below_the_version_it_stopped_at(loop: VirtualLoop) -> None:
    log = records(numbered([Draft(events=[deposit(1)] * 2), Draft(events=[deposit(5, account.POISON)]), Draft()]))
    history = Bench(Typed(account.broken)).take_all(log).history(loop)
    assert now(history.state(A, At(1))).state.balance == 2
    for version in (2, 3):
        with pytest.raises(Parked, match="no such memo"):
            now(history.state(A, At(version)))
    assert len(now(history.events(A, ALL)).events) == 4, "its events can be read all the same"
    parked = now(history.info(A)).parked
    assert parked is not None
    assert parked.version == 2


def test_raw_events_cannot_be_read(loop: VirtualLoop) -> None:
    bench = Bench().take_all(records(numbered([Draft(), Draft(schema=UNKNOWN)])))
    assert len(now(bench.history(loop).events(A, Range(0, 1))).events) == 1
    with pytest.raises(Parked, match="event 1 cannot be decoded"):
        now(bench.history(loop).events(A, ALL))


def test_i7_nothing_is_final_on_the_event_clock_of_a_parked_stream(loop: VirtualLoop) -> None:
    """The time of the raw append may turn out to be later than that of everything behind it."""
    log = records(
        numbered(
            [
                Draft(time=START),
                Draft(time=START + 400, schema=UNKNOWN),
                Draft(time=START + 200),
                Draft(time=START + 300),
            ]
        )
    )
    bench = Bench().take_all(log)
    newest, at = Range(0, 1000, 1, True), At(time=START + 250, clock=ClockName.EVENT)
    early = now(bench.history(loop).events(A, newest, at))
    bench.registry.known[UNKNOWN] = COMPOSED
    bench.unpark()
    late = now(bench.history(loop).events(A, newest, at))
    assert (early.events[0].version, late.events[0].version) == (2, 0)
    assert late.final
    assert not early.final, "an answer that was called final has changed"


def test_a_registry_that_is_away_is_no_parked_stream(bench: Bench, loop: VirtualLoop) -> None:
    bench.deploy()
    bench.registry.away = True
    with pytest.raises(Unavailable, match="away") as caught:
        now(bench.history(loop).events(A, ALL))
    assert not isinstance(caught.value, Parked)


def test_a_schema_that_the_registry_has_lost_is_told_with_its_event(bench: Bench, loop: VirtualLoop) -> None:
    bench.deploy()
    bench.registry.known.clear()
    with pytest.raises(Parked, match="event 0 cannot be decoded: the schema registry does not know schema 1"):
        now(bench.history(loop).events(A, ALL))


def test_snapshots_of_another_decider_version_are_not_read(loop: VirtualLoop) -> None:
    bench = Bench().take_all(records([Draft(events=[deposit(1)] * 250)]))
    store = bench.stores.open(PLACE.space)
    wrong = Writes({keys.snapshot(2, A, 99): b"\0" * 8 + b"nonsense", keys.state(2, A): b"\0" * 8 + b"nonsense"})
    now(store.commit(store.state.mark, store.state.mark.position, wrong))
    assert now(bench.history(loop).state(A, At(120))).state.balance == 121


def record_times(log: list[Record]) -> list[int]:
    return [record.time for record in log]


def test_as_of_effective_time(bench: Bench, history: History) -> None:
    first, second = record_times(records(drafts()))
    assert now(history.state(A, At(time=first))).version == 1
    assert now(history.state(A, At(time=second - 1))).version == 1
    assert now(history.state(A, At(time=second))).version == 2
    assert now(history.state(A, At(time=second - 1))).final
    assert not now(history.state(A, At(time=second))).final
