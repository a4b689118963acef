from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.store import keys
from bridge.store.ranges import LONGEST_KEY
from bridge.store.rows import (
    EMPTY,
    AppendRow,
    Clock,
    EventRow,
    Head,
    Identity,
    Last,
    ParkedRow,
    pack_append,
    pack_order,
    pack_state,
    times,
    unpack_order,
    unpack_state,
)

PATIENT = settings(deadline=None)

I64 = st.integers(-(2**63), 2**63 - 1)
U64 = st.integers(0, 2**64 - 1)
IDS = st.binary(min_size=16, max_size=16)
STREAMS = st.text("abcXYZ019._~@:+-/", min_size=1, max_size=255)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@PATIENT
@given(st.builds(Head, U64, I64, I64, I64, st.booleans()))
def test_heads(row: Head) -> None:
    assert Head.unpack(row.pack()) == row


def test_a_stream_without_a_head_is_empty() -> None:
    assert Head.unpack(None) is EMPTY
    assert Clock.unpack(None) == Clock(0, 0)


@PATIENT
@given(
    st.builds(
        EventRow,
        U64,
        st.integers(0, 999),
        I64,
        I64,
        st.integers(0, 2**32 - 1),
        IDS,
        st.binary(max_size=300),
        st.binary(max_size=300),
        st.booleans(),
    )
)
def test_events(row: EventRow) -> None:
    assert EventRow.unpack(row.pack()) == row
    assert times(row.pack()) == (row.effective, row.event_time)


def test_the_longest_envelope() -> None:
    row = EventRow(1, 0, 1, 1, 1, bytes(16), b"e" * 65_535, b"")
    assert EventRow.unpack(row.pack()) == row


@PATIENT
@given(st.builds(AppendRow, STREAMS, U64, st.integers(0, 1000), IDS, U64))
def test_appends(row: AppendRow) -> None:
    raw = pack_append(row.stream.encode(), row.first_version, row.count, row.request, row.offset)
    assert AppendRow.unpack(raw) == row


@PATIENT
@given(STREAMS, U64)
def test_orders(stream: str, version: int) -> None:
    assert unpack_order(pack_order(stream.encode(), version)) == (stream, version)


@PATIENT
@given(U64, st.binary(max_size=40))
def test_states(version: int, state: bytes) -> None:
    assert unpack_state(pack_state(version, state)) == (version, state)


@PATIENT
@given(I64, I64, st.integers(-(2**31), 2**31 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**63), TEXT)
def test_the_partitions_own_rows(one: int, two: int, epoch: int, crc: int, offset: int, text: str) -> None:
    assert Clock.unpack(Clock(one, two).pack()) == Clock(one, two)
    assert Last.unpack(Last(offset, epoch, crc).pack()) == Last(offset, epoch, crc)
    assert Identity.unpack(Identity(text, text, 16).pack()) == Identity(text, text, 16)
    assert ParkedRow.unpack(ParkedRow(offset, text, text).pack()) == ParkedRow(offset, text, text)


@PATIENT
@given(STREAMS, STREAMS, U64, U64)
def test_keys_sort_by_number_within_a_stream_and_streams_do_not_mix(one: str, two: str, low: int, high: int) -> None:
    assert (keys.event(one, low) < keys.event(one, high)) == (low < high)
    assert (keys.order(low, 3) < keys.order(high, 2)) == (low < high)
    assert (keys.time(low) < keys.time(high)) == (low < high)
    assert (keys.snapshot(1, one, low) < keys.snapshot(1, one, high)) == (low < high)
    if one != two:
        assert not keys.event(one, low).startswith(keys.events(two))
        assert not keys.snapshot(1, one, low).startswith(keys.snapshots(1, two))
        assert keys.head(one) != keys.head(two)


@PATIENT
@given(STREAMS, U64, IDS)
def test_keys_of_different_kinds_never_meet(stream: str, number: int, append: bytes) -> None:
    made = [
        keys.head(stream),
        keys.event(stream, number),
        keys.append(append),
        keys.order(number, 0),
        keys.time(number),
        keys.state(number, stream),
        keys.snapshot(number, stream, number),
        keys.parked(stream),
        keys.CLOCK,
        keys.IDENTITY,
        keys.LAST,
        keys.REBUILD,
        keys.TENURE,
        keys.STOPPED,
    ]
    assert len(set(made)) == len(made)
    assert {key[:1] for key in made} == set(map(bytes, zip(b"heaotsnkm")))
    assert max(map(len, made)) <= LONGEST_KEY


@PATIENT
@given(st.binary(min_size=1, max_size=5), st.binary(max_size=5))
def test_after_is_the_first_key_behind_a_prefix(prefix: bytes, more: bytes) -> None:
    behind = keys.after(prefix)
    if behind is None:
        assert set(prefix) == {0xFF}
        return
    assert prefix + more < behind
    assert not behind.startswith(prefix)
    assert behind[:-1] + bytes((behind[-1] - 1,)) <= prefix
