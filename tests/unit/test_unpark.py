from __future__ import annotations

import pytest

from bridge.errors import Fenced
from bridge.log.registry import RegistryAway
from bridge.store import keys
from bridge.store.rows import EventRow, Head, ParkedRow, unpack_state
from bridge.typed import Typed
from tests.model import account
from tests.model.bench import START, Bench, Draft, deposit, numbered, records
from tests.model.world import COMPOSED, UNKNOWN, now

A = "account/a"


def parked_at(bench: Bench) -> ParkedRow | None:
    row = bench.rows().get(keys.parked(A))
    return ParkedRow.unpack(row) if row is not None else None


def test_an_unknown_schema_parks_until_the_registry_learns_it() -> None:
    log = records(numbered([Draft(events=[deposit(1)] * 3, schema=UNKNOWN, time=START + 5), Draft(time=START)]))
    bench = Bench().take_all(log)
    assert parked_at(bench) == ParkedRow(0, "the schema registry does not know schema 7")
    bench.unpark()
    assert parked_at(bench) is not None
    bench.registry.known[UNKNOWN] = COMPOSED
    bench.unpark()
    assert parked_at(bench) is None
    rows = [EventRow.unpack(bench.rows()[keys.event(A, version)]) for version in range(4)]
    assert [row.event_time for row in rows] == [START + 5] * 4, "the later append was stamped before this was known"
    assert not any(row.raw for row in rows)
    head = Head.unpack(bench.rows()[keys.head(A)])
    assert (head.event_time, head.parked) == (START + 5, False)
    assert bench.owner.parked == set()


@pytest.mark.parametrize("draft", [Draft(cut=1), Draft(count=2), Draft(count=1, events=[deposit(1)] * 2)])
def test_what_will_never_decode_stays_parked(draft: Draft) -> None:
    bench = Bench().take_all(records(numbered([draft, Draft()])))
    why, mark = parked_at(bench), bench.owner.mark
    bench.unpark()
    assert parked_at(bench) == why
    assert bench.owner.mark == mark, "an attempt without news writes nothing"


def test_better_code_goes_on_in_the_middle_of_the_append() -> None:
    events = [deposit(1), deposit(2, account.POISON), deposit(3)]
    bench = Bench(Typed(account.broken)).take_all(records(numbered([Draft(events=events)])))
    why = parked_at(bench)
    assert why is not None
    assert why.version == 1
    bench.typed = Typed(account.account)
    bench.deploy()
    assert bench.owner.parked == {A}, "a new owner finds the parked streams"
    bench.unpark()
    version, state = unpack_state(bench.rows()[keys.state(1, A)])
    assert (version, Typed(account.account).decode(state).balance) == (2, 6)


def test_it_moves_on_to_the_next_error() -> None:
    log = records(numbered([Draft(schema=UNKNOWN), Draft(), Draft(cut=1), Draft()]))
    bench = Bench().take_all(log)
    bench.registry.known[UNKNOWN] = COMPOSED
    bench.unpark()
    why = parked_at(bench)
    assert why is not None
    assert why.version == 2
    assert "do not decode" in why.error
    assert unpack_state(bench.rows()[keys.state(1, A)])[0] == 1


def test_a_slice_that_is_not_the_last_keeps_the_stream_parked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.unpark.SLICE", 4)
    bench = Bench().take_all(records(numbered([Draft(schema=UNKNOWN), *(Draft() for _ in range(9))])))
    bench.registry.known[UNKNOWN] = COMPOSED
    stops = []
    while (why := parked_at(bench)) is not None:
        stops.append(why.version)
        bench.unpark()
    assert stops == [0, 3, 6]
    assert Head.unpack(bench.rows()[keys.head(A)]).next == 10


def test_a_registry_that_is_away_says_nothing() -> None:
    bench = Bench().take_all(records(numbered([Draft(), Draft(schema=UNKNOWN)])))
    rows = bench.rows()
    bench.deploy()
    bench.registry.away = True
    with pytest.raises(RegistryAway):
        bench.unpark()
    assert bench.rows() == rows


def test_a_fenced_owner_unparks_nothing() -> None:
    bench = Bench().take_all(records(numbered([Draft(schema=UNKNOWN)])))
    zombie = bench.owner
    bench.registry.known[UNKNOWN] = COMPOSED
    bench.deploy()
    rows = bench.rows()
    with pytest.raises(Fenced):
        now(zombie.unpark())
    assert bench.rows() == rows


def test_appends_that_come_while_it_is_parked_are_folded_when_it_is_free() -> None:
    log = records(numbered([Draft(), Draft(schema=UNKNOWN), Draft(), Draft()]))
    bench = Bench().take_all(log[:2])
    bench.take(log[2:3])
    bench.registry.known[UNKNOWN] = COMPOSED
    bench.unpark()
    bench.take(log[3:])
    version, state = unpack_state(bench.rows()[keys.state(1, A)])
    assert (version, Typed(account.account).decode(state).balance) == (3, 4)
