from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from bridge.decider import Decider
from bridge.errors import Fenced, ForeignLog, LighthouseError, Undecodable
from bridge.log.admission import Verdict
from bridge.log.avro import CategorySchema, Decoded, decode
from bridge.log.record import AppendRecord, Record, parse
from bridge.log.registry import RegistryAway
from bridge.store import keys
from bridge.store.rows import Clock, EventRow, Head, Identity, ParkedRow, unpack_state
from bridge.typed import Typed
from streams.apply import After, Before, apply, mark_of, named
from streams.owner import LogEnds
from tests.model import account
from tests.model.bench import START, Bench, Draft, deposit, numbered, records
from tests.model.world import COMPOSED, KNOWN, PLACE, UNKNOWN, now
from tests.simlog import IDENTITY

A, B = "account/a", "account/b"
SCHEMA = CategorySchema(KNOWN, COMPOSED)
TYPED = Typed(account.account)


def read(append: AppendRecord) -> Decoded:
    if append.schema != KNOWN:
        raise Undecodable(f"schema {append.schema} is not known")
    return decode(SCHEMA, append.value, append.count)


def applied(log: list[Record], before: Before | None = None, typed: Typed | None = TYPED) -> After:
    return apply([(record, parse(record, PLACE)) for record in log], before or Before(), read, typed)


def at(record: Record, **changes: Any) -> Record:
    fields = {name: getattr(record, name) for name in ("offset", "key", "value", "headers", "time", "leader_epoch")}
    return Record(**(fields | changes))


def test_one_append_and_all_its_rows() -> None:
    (record,) = records([Draft(A, [deposit(3), deposit(4)], id=7, time=START)])
    after = applied([record])
    puts = after.writes.puts
    assert {key[:1] for key in puts} == {b"a", b"e", b"o", b"h", b"s", b"t", b"m"}
    assert Head.unpack(puts[keys.head(A)]) == Head(2, record.time, record.time, START)
    rows = [EventRow.unpack(puts[keys.event(A, version)]) for version in (0, 1)]
    assert [(row.offset, row.index, row.raw, row.schema) for row in rows] == [
        (0, 0, False, KNOWN),
        (0, 1, False, KNOWN),
    ]
    version, state = unpack_state(puts[keys.state(1, A)])
    assert (version, TYPED.decode(state).balance) == (1, 7)
    assert after.position == 1
    assert after.clock == Clock(record.time, record.time)
    assert after.states[A][0] == (1, TYPED.decode(state))
    assert after.verdicts == {Verdict.ADMITTED: 1}


def test_verdicts_are_counted() -> None:
    log = records([Draft(id=1), Draft(id=1), Draft(id=2, expected=0), Draft(id=3, expected=1)])
    void, tick = (
        at(log[0], offset=4, headers=()),
        at(log[0], offset=5, key=None, value=b"", headers=[("lh_tick", b"1")]),
    )
    after = applied([*log, void, tick])
    assert after.verdicts == {
        Verdict.ADMITTED: 2,
        Verdict.DUPLICATE: 1,
        Verdict.CONFLICT: 1,
        Verdict.MALFORMED: 1,
        Verdict.TICK: 1,
    }
    assert after.position == 6
    assert Head.unpack(after.writes.puts[keys.head(A)]).next == 2


def test_effective_time_never_goes_back() -> None:
    first, second = records(numbered([Draft(), Draft()]))
    after = applied([at(first, time=5_000_000), at(second, time=4_000_000)])
    assert [EventRow.unpack(after.writes.puts[keys.event(A, n)]).effective for n in (0, 1)] == [5_000_000, 5_000_000]
    assert after.clock.effective == 5_000_000


def test_a_tick_moves_time_on_and_not_the_last_event() -> None:
    (record,) = records([Draft(id=1)])
    tick = at(record, offset=1, time=record.time + 10, key=None, value=b"", headers=[("lh_tick", b"1")])
    assert applied([record, tick]).clock == Clock(record.time + 10, record.time)


def test_event_time_is_the_running_maximum_of_the_stream() -> None:
    log = records(numbered([Draft(time=-5), Draft(time=-9), Draft(time=3), Draft(B, time=1)]))
    puts = applied(log).writes.puts
    assert [EventRow.unpack(puts[keys.event(A, n)]).event_time for n in range(3)] == [-5, -5, 3]
    assert Head.unpack(puts[keys.head(B)]).event_time == 1


def test_an_append_that_does_not_decode_is_admitted_and_parks_its_stream_alone() -> None:
    log = records(numbered([Draft(A, [deposit(1)] * 2, schema=UNKNOWN), Draft(A), Draft(B)]))
    after = applied(log)
    puts = after.writes.puts
    assert Head.unpack(puts[keys.head(A)]).next == 3
    assert Head.unpack(puts[keys.head(A)]).parked
    rows = [EventRow.unpack(puts[keys.event(A, version)]) for version in range(3)]
    assert [(row.raw, bool(row.event)) for row in rows] == [(True, True), (True, False), (False, True)]
    assert rows[0].event == log[0].value
    assert after.parked == {A: ParkedRow(0, "schema 7 is not known")}
    assert keys.state(1, A) not in puts
    assert not Head.unpack(puts[keys.head(B)]).parked


def test_an_evolve_that_raises_parks_in_the_middle_of_an_append() -> None:
    log = records(numbered([Draft(A, [deposit(1)]), Draft(A, [deposit(2), deposit(3, account.POISON), deposit(4)])]))
    after = applied(log, typed=Typed(account.broken))
    version, state = unpack_state(after.writes.puts[keys.state(1, A)])
    assert (version, TYPED.decode(state).balance) == (1, 3)
    assert (after.parked[A].version, after.parked[A].error) == (2, "ValueError: no such memo")
    assert "in fragile" in after.parked[A].traceback
    head = Head.unpack(after.writes.puts[keys.head(A)])
    assert (head.next, head.parked) == (4, True)


@dataclass(frozen=True)
class Odd:
    """A state that at times holds what cannot be stored."""

    balance: int = 0
    thing: object = None


def oddly(state: Odd, event: account.Event) -> Odd:
    memo = event.memo if isinstance(event, account.Deposited) else ""
    return Odd(state.balance + event.amount, object() if memo == account.POISON else None)


def mended(state: Odd, event: account.Event) -> Odd:
    return Odd(state.balance + event.amount)


ODD: Decider[Any, Odd, account.Event] = Decider("account", 1, Odd(), Odd, lambda _, __: [], oddly, (), account.EVENTS)


@pytest.mark.parametrize("before", [0, 98, 99])
def test_a_state_that_cannot_be_stored_parks_its_stream_and_unparks_with_better_code(before: int) -> None:
    """Version 99 leaves a snapshot, too."""
    drafts = [Draft(A, [deposit(1)] * before)] if before else []
    log = records(numbered([*drafts, Draft(A, [deposit(1, account.POISON)]), Draft(B), Draft(A)]))
    bench = Bench(Typed(ODD)).take_all(log[:-1])
    assert bench.parked()
    bench.unpark()
    bench.take(log[-1:])
    assert Head.unpack(bench.rows()[keys.head(B)]).parked is False
    bench.typed = Typed(replace(ODD, evolve=mended))
    bench.deploy()
    for _ in range(3):
        bench.unpark()
    assert not bench.parked()
    assert bench.rows() == Bench(Typed(replace(ODD, evolve=mended))).take_all(log).rows()


@dataclass(frozen=True)
class Shape:
    """Another shape of the state under the same decider version: its author forgot to raise it."""

    total: str


RESHAPED: Decider[Any, Shape, account.Event] = Decider(
    "account", 1, Shape("0"), Shape, lambda _, __: [], lambda shape, _: Shape(shape.total + "1"), (), account.EVENTS
)


def test_a_stored_state_of_another_shape_parks_its_streams_and_no_others() -> None:
    log = records(numbered([Draft(A), Draft(A), Draft(B)]))
    bench = Bench().take_all(log[:1])
    reshaped = Typed(RESHAPED)
    bench.typed = reshaped
    bench.deploy()
    bench.take(log)
    assert ParkedRow.unpack(bench.rows()[keys.parked(A)]).version == 0
    assert not Head.unpack(bench.rows()[keys.head(B)]).parked
    bench.unpark()
    assert not bench.parked()
    assert bench.rows() == Bench(reshaped).take_all(log).rows()


def test_a_registry_that_is_away_holds_the_batch_also_where_states_must_be_folded_anew() -> None:
    """A new version of the decider reads the past again, and may need schemas that this process has not read."""
    log = records(numbered([Draft(A), Draft(A)]))
    bench = Bench().take_all(log[:1])
    bench.typed = Typed(replace(account.account, version=2))
    bench.deploy()
    bench.registry.away = True
    mark = bench.owner.mark
    with pytest.raises(RegistryAway):
        bench.take(log)
    assert bench.owner.mark == mark
    bench.registry.away = False
    bench.schemas._away_until = 0.0
    bench.take(log)
    version, state = unpack_state(bench.rows()[keys.state(2, A)])
    assert (version, TYPED.decode(state).balance) == (1, 2)


def test_a_registry_that_has_forgotten_a_schema_parks_the_stream_that_needs_it() -> None:
    log = records(numbered([Draft(A, schema=UNKNOWN), Draft(A), Draft(B)]))
    bench = Bench()
    bench.registry.known[UNKNOWN] = COMPOSED
    bench.take_all(log[:1])
    del bench.registry.known[UNKNOWN]
    bench.typed = Typed(replace(account.account, version=2))
    bench.deploy()
    bench.take(log)
    assert ParkedRow.unpack(bench.rows()[keys.parked(A)]).version == 0
    assert not Head.unpack(bench.rows()[keys.head(B)]).parked


@pytest.mark.parametrize(
    ("ends", "why"),
    [
        (LogEnds(Identity("other", "topic", 2), 0, 9), "is the history of"),
        (LogEnds(Identity("cluster", "again", 2), 0, 9), "is the history of"),
        (LogEnds(Identity("cluster", "topic", 3), 0, 9), "is the history of"),
        (LogEnds(IDENTITY, 0, 1), "but the log ends at 1"),
    ],
)
def test_p1_knows_a_foreign_log(ends: LogEnds, why: str) -> None:
    bench = Bench().take_all(records(numbered([Draft(), Draft()])))
    rows = bench.rows()
    with pytest.raises(ForeignLog, match=why):
        now(bench.owner.open(ends))
    assert bench.rows() == rows | {keys.STOPPED: bench.rows()[keys.STOPPED]}


def test_p1_knows_a_log_with_as_many_records_but_others() -> None:
    bench = Bench().take_all(records(numbered([Draft(), Draft()])))
    bench.deploy()
    with pytest.raises(ForeignLog, match="the log holds"):
        bench.take(records(numbered([Draft(), Draft(B)]))[1:])


def test_a_log_whose_beginning_is_gone_is_not_begun_and_the_reason_goes_when_it_is() -> None:
    bench = Bench()
    store = bench.stores.open(PLACE.space)
    now(store.wipe(now(store.own())))
    with pytest.raises(ForeignLog, match="begins at offset 3"):
        now(bench.owner.open(LogEnds(IDENTITY, 3, 9)))
    assert keys.STOPPED in bench.rows()
    bench.deploy()
    assert keys.STOPPED not in bench.rows()


def test_an_owner_of_the_time_before_a_repartition_takes_no_new_space() -> None:
    """It would hold keys against the old count (R1), and void what is sound."""
    bench = Bench()
    store = bench.stores.open(PLACE.space)
    now(store.wipe(now(store.own())))
    with pytest.raises(LighthouseError, match="has 6 partitions, and had 2 when this processor was started"):
        now(bench.owner.open(LogEnds(Identity("cluster", "again", 6), 0, 9)))
    assert bench.rows() == {}


def test_i5_a_batch_with_a_gap_before_it_is_refused() -> None:
    log = records(numbered([Draft(), Draft(), Draft()]))
    bench = Bench().take_all(log[:1])
    with pytest.raises(ForeignLog, match="is at 1, the next record at 2"):
        bench.take(log[2:])


def test_a_fenced_owner_writes_nothing_and_forgets_its_states() -> None:
    log = records(numbered([Draft(), Draft()]))
    bench = Bench().take_all(log[:1])
    zombie = bench.owner
    bench.deploy()
    rows = bench.rows()
    with pytest.raises(Fenced):
        now(zombie.take(log[1:]))
    with pytest.raises(Fenced):
        now(zombie.beat())
    assert bench.rows() == rows


def test_a_record_is_known_again_by_all_it_holds() -> None:
    (record,) = records([Draft()])
    others = [
        at(record, offset=1),
        at(record, key=b"account/b"),
        at(record, value=b"x"),
        at(record, headers=()),
        at(record, time=1),
        at(record, leader_epoch=5),
    ]
    assert len({mark_of(one) for one in (record, *others)}) == 7
    assert mark_of(at(record)) == mark_of(record)


def test_what_a_batch_names() -> None:
    log = records([Draft(A, id=1), Draft(B, id=2), Draft(A, id=3)])
    found = named([(record, parse(record, PLACE)) for record in [*log, at(log[0], headers=())]])
    assert {stream: [one.append[-1] for one in appends] for stream, appends in found.items()} == {A: [1, 3], B: [2]}
