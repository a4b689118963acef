"""A state whose last snapshot was large is not written with each batch; its rows are a function of the events alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, repeat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.decider import Decider
from bridge.history.reader import At
from bridge.store import keys
from bridge.store.rows import Head
from bridge.typed import Typed
from tests.model import account
from tests.model.bench import Bench, Draft, deposit, numbered, records
from tests.model.world import COMPOSED, UNKNOWN, now
from tests.simlog import VirtualLoop

PATIENT = settings(deadline=None)
A = "account/a"
EVERY, LARGE = 3, 20


def last_memo(state: str, event: account.Event) -> str:
    """A state that grows and shrinks: the last memo."""
    return event.memo if isinstance(event, account.Deposited) else state


DECIDER: Decider[account.Command, str, account.Event] = Decider(
    "account", 1, "", str, lambda command, state: [], last_memo, (), account.EVENTS
)
TYPED = Typed(DECIDER)


def bench() -> Bench:
    return Bench(typed=TYPED)


@contextmanager
def small_limits() -> Iterator[None]:
    """Snapshots and large states within a few events."""
    with pytest.MonkeyPatch.context() as patch:
        for module in ("streams.apply", "streams.unpark", "bridge.history.state"):
            patch.setattr(f"{module}.EVERY", EVERY)
            patch.setattr(f"{module}.LARGE", LARGE)
        yield


MEMOS = st.integers(0, 40).map(lambda length: "m" * length)
APPENDS = st.lists(st.lists(MEMOS, min_size=1, max_size=4), min_size=1, max_size=8)
SIZES = st.lists(st.integers(1, 4), max_size=8)


def drafts(appends: list[list[str]]) -> list[Draft]:
    return numbered([Draft(A, [deposit(1, memo) for memo in memos]) for memos in appends])


@PATIENT
@given(APPENDS, SIZES, st.booleans())
def test_batches_and_restarts_lead_to_the_same_rows(appends: list[list[str]], sizes: list[int], restart: bool) -> None:
    with small_limits():
        log, one, start = records(drafts(appends)), bench(), 0
        for size in chain(sizes, repeat(1)):
            one.take(log[one.owner.start if restart else start : start + size])
            start += size
            if start >= len(log):
                break
            if restart:
                one.deploy()
        assert one.rows() == bench().take_all(log).rows()


@PATIENT
@given(APPENDS)
def test_a_state_is_stored_or_read_from_its_snapshot(appends: list[list[str]]) -> None:
    memos = [memo for append in appends for memo in append]
    with small_limits():
        one, loop = bench().take_all(records(drafts(appends))), VirtualLoop()
        rows, snapshots = one.rows(), memos[EVERY - 1 :: EVERY]
        large = bool(snapshots) and len(TYPED.encode(snapshots[-1])) > LARGE
        assert Head.unpack(rows[keys.head(A)]).large is large
        assert (keys.state(1, A) in rows) is not large
        history = one.history(loop)
        for version, memo in enumerate(memos):
            assert now(history.state(A, At(version))).state == memo
        loop.close()


@PATIENT
@given(APPENDS, APPENDS)
def test_an_unparked_stream_has_the_rows_of_a_rebuild(before: list[list[str]], behind: list[list[str]]) -> None:
    with small_limits():
        all_drafts = drafts([*before, *behind])
        place = len(before)
        all_drafts[place] = Draft(A, all_drafts[place].events, id=all_drafts[place].id, schema=UNKNOWN)
        log = records(all_drafts)
        late, early = bench(), bench()
        early.registry.known[UNKNOWN] = COMPOSED
        late.take_all(log)
        assert Head.unpack(late.rows()[keys.head(A)]).parked
        late.registry.known[UNKNOWN] = COMPOSED
        late.unpark()
        assert late.rows() == early.take_all(log).rows()
