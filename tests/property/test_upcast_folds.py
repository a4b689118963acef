"""Old and new events in one log: apply, unpark and time travel come to the state that the newest shapes lead to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.decider import fold
from bridge.history.events import Range
from bridge.history.reader import At
from bridge.log.record import Record
from bridge.store import keys
from bridge.store.rows import ParkedRow, unpack_state
from bridge.typed import Typed
from bridge.upcast import Steps
from tests.model import account, newer_account
from tests.model.bench import Bench, Draft, numbered, records
from tests.model.newer_account import COMPOSED, NEWER, STEPS, Deposited, Withdrawn
from tests.model.world import UNKNOWN, now
from tests.simlog import VirtualLoop

STREAM = "account/a"
PATIENT = settings(deadline=None, max_examples=60)
TEXT = st.sampled_from(["m", "n", account.POISON])
AMOUNT = st.integers(0, 9)
Written = tuple[str, dict[str, Any]]

OLD: st.SearchStrategy[Written] = st.one_of(
    st.tuples(st.just("Deposited"), st.fixed_dictionaries({"amount": AMOUNT, "memo": TEXT})),
    st.tuples(st.just("Withdrawn"), st.fixed_dictionaries({"amount": AMOUNT})),
)
NEW: st.SearchStrategy[Written] = st.one_of(
    st.tuples(st.just("Deposited"), st.fixed_dictionaries({"cents": AMOUNT, "note": TEXT, "by": TEXT})),
    st.tuples(st.just("Withdrawn"), st.fixed_dictionaries({"amount": AMOUNT, "fee": AMOUNT})),
)
DRAFTS = st.one_of(
    st.builds(Draft, st.just(STREAM), st.lists(OLD, min_size=1, max_size=40)),
    st.builds(
        Draft,
        st.just(STREAM),
        st.lists(NEW, min_size=1, max_size=40),
        schema=st.just(NEWER),
        composed=st.just(COMPOSED),
    ),
)
LOGS = st.lists(DRAFTS, min_size=1, max_size=9).map(numbered)


@pytest.fixture(scope="module")
def loop() -> Iterator[VirtualLoop]:
    loop = VirtualLoop()
    yield loop
    loop.close()


def bench(steps: Steps = STEPS) -> Bench:
    """The newer application, with both schemas registered."""
    made = Bench(Typed(newer_account.account), folder=newer_account.SCHEMAS / "account", steps=steps)
    made.registry.known[NEWER] = COMPOSED
    return made


def newest(drafts: list[Draft]) -> list[newer_account.Event]:
    """What the events mean today, said without any upcast."""
    return [_newest(type_, data) for draft in drafts for type_, data in draft.events]


def _newest(type_: str, data: dict[str, Any]) -> newer_account.Event:
    if type_ == "Withdrawn":
        return Withdrawn(data["amount"], data.get("fee", 1))
    if "memo" in data:
        return Deposited(100 * data["amount"], data["memo"], "nobody")
    return Deposited(**data)


def in_batches(made: Bench, log: list[Record], size: int) -> Bench:
    for start in range(0, len(log), size):
        made.take(log[start : start + size])
    return made


@PATIENT
@given(LOGS, st.integers(1, 4), st.data())
def test_apply_and_time_travel_fold_the_newest_shapes(
    loop: VirtualLoop, drafts: list[Draft], size: int, data: st.DataObject
) -> None:
    made = in_batches(bench(), records(drafts), size)
    events = newest(drafts)
    version, raw = unpack_state(made.rows()[keys.state(2, STREAM)])
    assert version == len(events) - 1
    assert Typed(newer_account.account).decode(raw) == fold(newer_account.account, newer_account.Account(), events)
    history = made.history(loop)
    for at in data.draw(st.lists(st.integers(0, len(events) - 1), max_size=5)):
        expected = fold(newer_account.account, newer_account.Account(), events[: at + 1])
        assert now(history.state(STREAM, At(at))).state == expected


@PATIENT
@given(LOGS, st.integers(0, 8))
def test_unpark_folds_the_newest_shapes(drafts: list[Draft], unknown: int) -> None:
    """One append's schema comes late, and the upcast that fails at a memo is mended: then all is as built afresh."""
    late = [
        Draft(one.stream, one.events, id=one.id, schema=UNKNOWN, composed=one.composed) if number == unknown else one
        for number, one in enumerate(drafts)
    ]
    log = records(late)
    learned = late[unknown].composed if unknown < len(late) else COMPOSED
    made = in_batches(bench(newer_account.BROKEN), log, 2)
    made.registry.known[UNKNOWN] = learned
    made.steps = STEPS
    made.deploy()
    while made.parked():
        made.unpark()
    clean = bench()
    clean.registry.known[UNKNOWN] = learned
    assert made.rows() == clean.take_all(log).rows()


@PATIENT
@given(LOGS)
def test_listings_show_what_was_written_and_leave_it_alone(loop: VirtualLoop, drafts: list[Draft]) -> None:
    made = in_batches(bench(), records(drafts), 3)
    written = [(type_, data) for draft in drafts for type_, data in draft.events]
    history = made.history(loop)
    now(history.state(STREAM))
    page = now(history.events(STREAM, Range(0, 1000)))
    assert [(one.type, dict(one.data)) for one in page.events] == written
    assert [one.schema_version for one in page.events] == [3 if "cents" in data else 1 for _, data in written]


def test_an_upcast_that_raises_parks_the_stream_at_its_event() -> None:
    events: list[Written] = [("Deposited", {"amount": 1, "memo": memo}) for memo in ("m", account.POISON, "n")]
    made = bench(newer_account.BROKEN).take_all(records([Draft(STREAM, events, id=1)]))
    why = ParkedRow.unpack(made.rows()[keys.parked(STREAM)])
    assert (why.version, why.error) == (1, "ValueError: no such memo")
    assert "in fragile" in why.traceback
    made.unpark()
    assert ParkedRow.unpack(made.rows()[keys.parked(STREAM)]) == why, "the same upcast fails again"


def test_a_bookmark_is_found_by_the_newest_name_of_its_field(loop: VirtualLoop) -> None:
    events: list[Written] = [("Deposited", {"amount": 1, "memo": memo}) for memo in ("m", "rent", "n")]
    made = bench().take_all(records([Draft(STREAM, events, id=1)]))
    assert now(made.history(loop).find(STREAM, "Deposited", "note", "rent")) == 1


def test_a_gap_parks_what_it_cannot_read() -> None:
    """A process refuses to start with a gap; one that did nevertheless must not fold an old shape as if it were new."""
    made = bench({("Deposited", 2): newer_account.in_cents}).take_all(records([Draft(STREAM, id=1)]))
    why = ParkedRow.unpack(made.rows()[keys.parked(STREAM)])
    assert why.error == "Deposited is at version 3, but no upcast leads from version 1 to 2"
