"""The checker sees what it is there to see: each invariant, broken on purpose in an otherwise sound run."""

from __future__ import annotations

from dataclasses import replace

import pytest
from aiokafka.partitioner import murmur2 as murmur2_of_aiokafka
from hypothesis import given
from hypothesis import strategies as st

from bridge.events import Appended, Position
from bridge.store import keys
from tests.checker import check_acknowledged, check_equal, check_refused, check_winners
from tests.faults.journal import Attempt, Journal, Outcome, Request
from tests.faults.reference import Admitted, LogRecord, Reference, murmur2
from tests.faults.writers import commit

REQUEST = Request("project/a", 0, "key", [commit("a")])
APPENDED = Appended("project/a", 0, 0, Position("t.project", 0, 1), b"i" * 16)
SOUND = Attempt("key#0", REQUEST, 0.0, 1.0, Outcome.ACKNOWLEDGED, APPENDED)
EVENTS = [(event.type, event.data) for event in REQUEST.events]
ADMITTED = {b"i" * 16: Admitted("project/a", 0, 1, 0, 1, "key#0", EVENTS)}


def test_a_sound_run_passes() -> None:
    journal = Journal([SOUND])
    check_acknowledged(journal, ADMITTED)
    check_refused(journal, {"key#0"})
    check_winners(journal)
    check_equal({b"a": b"1", keys.REBUILD: b"7"}, {b"a": b"1"}, set())


def test_i1_an_acknowledged_append_that_is_lost_or_lies_elsewhere() -> None:
    with pytest.raises(AssertionError, match="I1"):
        check_acknowledged(Journal([SOUND]), {})
    with pytest.raises(AssertionError, match="I1"):
        check_acknowledged(Journal([SOUND]), {b"i" * 16: replace(ADMITTED[b"i" * 16], first=1)})


def test_i1_an_acknowledged_append_with_other_data() -> None:
    for wrong in ([("CommitRecorded", commit("b").data)], [("BranchRecorded", commit("a").data)], []):
        with pytest.raises(AssertionError, match="recorded as"):
            check_acknowledged(Journal([SOUND]), {b"i" * 16: replace(ADMITTED[b"i" * 16], events=wrong)})


@pytest.mark.parametrize("outcome", [Outcome.CONFLICT, Outcome.UNAVAILABLE, Outcome.REUSED])
def test_i2_a_refused_attempt_that_is_admitted(outcome: Outcome) -> None:
    with pytest.raises(AssertionError, match="I2"):
        check_refused(Journal([replace(SOUND, outcome=outcome, appended=None)]), {"key#0"})
    check_refused(Journal([replace(SOUND, outcome=Outcome.UNKNOWN, appended=None)]), {"key#0"})


def test_i3_one_version_told_to_two_requests() -> None:
    other = replace(SOUND, request=replace(REQUEST, key="another"))
    with pytest.raises(AssertionError, match="I3"):
        check_winners(Journal([SOUND, other]))
    check_winners(Journal([SOUND, replace(SOUND, id="key#1")]))


def test_i4_a_row_that_a_rebuild_does_not_make() -> None:
    row = keys.event("project/a", 0)
    with pytest.raises(AssertionError, match="I4"):
        check_equal({row: b"1"}, {row: b"2"}, set())
    with pytest.raises(AssertionError, match="I4"):
        check_equal({row: b"1"}, {}, set())
    check_equal({row: b"1"}, {row: b"2"}, {"project/a"})


def test_the_reference_judges_in_the_order_of_the_log() -> None:
    partition = (murmur2(b"project/a") & 0x7FFFFFFF) % 4
    reference = Reference("t.project", partition, 4, lambda _: None)
    for offset, (name, expected) in enumerate([(b"1", b"0"), (b"2", b"0"), (b"1", b"1"), (b"3", b"any"), (b"4", b"7")]):
        headers = [("lh_format", b"1"), ("lh_append", name * 16), ("lh_request", b"r" * 16)]
        headers += [("lh_expected", expected), ("lh_count", b"2")]
        reference.take(LogRecord(offset, b"project/a", b"\0\0\0\0\1body", headers, 7, 0))
    reference.take(LogRecord(5, None, b"", [("lh_tick", b"1")], 9, 0))
    reference.take(LogRecord(6, b"garbage", b"", [], 8, 0))
    assert reference.heads == {"project/a": 4}
    assert reference.void == {1: "conflict", 2: "duplicate", 4: "conflict", 5: "tick", 6: "malformed"}
    assert reference.effective == 9


@given(st.binary(max_size=40))
def test_the_naive_partitioner_is_kafkas(key: bytes) -> None:
    assert murmur2(key) & 0x7FFFFFFF == murmur2_of_aiokafka(key) & 0x7FFFFFFF
