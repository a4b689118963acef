"""That the checks of what was read, and in which order it was answered, find what is wrong."""

from __future__ import annotations

import json

import pytest

from bridge.events import Appended, Position
from tests.campaign.reads import Prefixes, gaps, out_of_order, unexplained
from tests.campaign.remote import Read
from tests.campaign.run import Report
from tests.faults.journal import Attempt, Outcome, Request
from tests.faults.reference import TRACED, Admitted, Reference, traced

A = "project/a"


@pytest.fixture
def prefixes() -> Prefixes:
    """Two appends to one stream: two events at offset 3, one at offset 7."""
    reference = Reference("t.project", 0, 1, lambda _: None)
    reference.admitted = {
        b"1": Admitted(A, 0, 2, 3, 1, None),
        b"2": Admitted(A, 2, 1, 7, 2, None),
    }
    return Prefixes([reference])


def read(head: int, offset: int, least: int = 0, stream: str = A) -> Read:
    return Read(stream, head, 0, offset, least, 0.0, 1.0)


def test_a_read_is_explained_by_the_log_below_its_position(prefixes: Prefixes) -> None:
    good = [read(0, 3), read(2, 4), read(2, 7), read(3, 8), read(0, 100, stream="project/b")]
    assert unexplained(good, prefixes) == []
    for wrong in (read(2, 3), read(0, 4), read(3, 7), read(2, 8)):
        assert len(unexplained([wrong], prefixes)) == 1


def test_a_reader_sees_what_it_was_told_of(prefixes: Prefixes) -> None:
    assert unexplained([read(3, 8, least=3)], prefixes) == []
    assert "had been told of" in unexplained([read(2, 7, least=3)], prefixes)[0]


def attempt(key: str, first: int, began: float, ended: float, outcome: Outcome = Outcome.ACKNOWLEDGED) -> Attempt:
    told = Appended(A, first, first, Position("t", first % 2, first), key.encode())
    good = outcome is Outcome.ACKNOWLEDGED
    return Attempt(key, Request(A, None, key, []), began, ended, outcome, told if good else None)


def test_what_was_acknowledged_before_another_was_asked_for_lies_before_it() -> None:
    assert out_of_order([attempt("a", 0, 0, 1), attempt("b", 1, 2, 3)]) == []
    assert out_of_order([attempt("a", 1, 0, 2), attempt("b", 0, 1, 3)]) == [], "they overlap"
    assert len(out_of_order([attempt("a", 1, 0, 1), attempt("b", 0, 2, 3)])) == 1


def test_a_repeated_request_counts_from_its_first_attempt() -> None:
    first = attempt("b", 0, 0, 0.5, Outcome.UNKNOWN)
    assert out_of_order([first, attempt("a", 1, 0.2, 1), attempt("b", 0, 2, 3)]) == []


def test_the_longest_pause_of_each_partition_counts_both_ends() -> None:
    acknowledged = [attempt("a", 0, 0, 1), attempt("b", 1, 0, 2), attempt("c", 2, 0, 7)]
    assert gaps(acknowledged, 0.0, 10.0) == {0: 6.0, 1: 8.0}


def test_an_attempt_is_known_by_its_trace() -> None:
    headers = {"traceparent": TRACED.format(number=1234).encode()}
    assert traced(headers) == "1234"
    assert traced({"traceparent": b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}) is None
    assert traced({}) is None


def test_a_report_is_plain_json() -> None:
    report = Report("a", "b", violations=["x"])
    assert json.loads(json.dumps(report.plain()))["violations"] == ["x"]
    assert not report.good
