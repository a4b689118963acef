"""That the checks of what was read, and in which order it was answered, find what is wrong."""

from __future__ import annotations

import httpx
import pytest

from bridge.events import Appended, Position
from tests.campaign.reads import Prefixes, gaps, longest_wait, misplaced, out_of_order, pauses, unexplained, untold
from tests.campaign.remote import Miss, Read, Remote
from tests.campaign.report import Pause
from tests.campaign.system import PARTITIONS
from tests.faults.journal import Attempt, Outcome, Request
from tests.faults.reference import TRACED, Admitted, Reference, murmur2, traced
from tests.faults.writers import STREAMS

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


def test_a_final_answer_is_the_last_version_until_its_time(prefixes: Prefixes) -> None:
    assert misplaced({(A, 1): (1, {}), (A, 2): (2, {}), (A, 9): (2, {})}, prefixes) == []
    for at, version in ((0, 0), (1, 0), (1, 2), (2, 1)):
        assert "the log has" in misplaced({(A, at): (version, {})}, prefixes)[0]


def said(status: int, final: bool = True, version: int = 3) -> httpx.Response:
    return httpx.Response(status, json={"version": version, "state": {}, "final": final})


def test_what_was_final_is_so_for_ever() -> None:
    remote, asked = Remote(""), (A, 7)
    remote._compare(asked, None, said(404))
    remote._compare(asked, None, said(200, final=False))
    assert not remote.finals, "nothing was final yet"
    remote._compare(asked, None, said(200))
    known = remote.finals[asked]
    remote._compare(asked, known, said(200))
    remote._compare(asked, None, said(200, final=False))
    assert remote.unstable == [], "the last question was under way before there was a final answer"
    for wrong in (said(404), said(200, final=False), said(200, version=4)):
        remote.unstable.clear()
        remote._compare(asked, known, wrong)
        assert len(remote.unstable) == 1


def test_two_first_answers_that_differ_are_found() -> None:
    remote = Remote("")
    remote._compare((A, 7), None, said(200))
    remote._compare((A, 7), None, said(200, version=4))
    assert len(remote.unstable) == 1


def test_a_request_that_may_have_been_written_is_told_in_the_end() -> None:
    unknown, told = attempt("a", 0, 0, 1, Outcome.UNKNOWN), attempt("a", 0, 2, 3)
    assert untold([unknown, told, attempt("b", 1, 0, 1, Outcome.UNAVAILABLE)]) == []
    assert len(untold([unknown, attempt("a", 0, 2, 3, Outcome.UNAVAILABLE)])) == 1


def test_pauses_are_longer_than_half_a_second_and_of_one_partition() -> None:
    found = pauses([attempt("a", 0, 0, 1.4), attempt("b", 1, 0, 1.2), attempt("c", 2, 0, 1.8)], 1.0, 2.0)
    assert found == [Pause(1, 0.2, 0.8)]


def row(ended: float, took: float) -> Read:
    return Read(A, 1, 0, 1, 0, ended - took, ended, hot=True)


def test_one_waits_for_a_row_until_it_is_answered() -> None:
    reads = [row(1.2, 0.1), row(4.0, 0.3), row(9.0, 4.0)]
    assert longest_wait(reads[:2], [], 1.0, 5.0) == pytest.approx(0.3)
    assert longest_wait(reads, [], 1.0, 5.0) == pytest.approx(0.3), "asked for afterwards"
    assert longest_wait(reads, [Miss(A, 2.0, 2.5, hot=True)], 1.0, 5.0) == pytest.approx(2.0)
    assert longest_wait(reads[:1], [Miss(A, 2.0, 2.5, hot=True)], 1.0, 5.0) == pytest.approx(3.0), "to the end"
    assert longest_wait([], [], 1.0, 5.0) == pytest.approx(4.0), "nobody was answered at all"


def test_every_partition_of_the_campaign_is_written() -> None:
    assert {(murmur2(name.encode()) & 0x7FFFFFFF) % PARTITIONS for name in STREAMS} == set(range(PARTITIONS))
