from __future__ import annotations

import pytest

from bridge.log.admission import Verdict, judge
from bridge.log.record import AppendRecord


def append(expected: int | None) -> AppendRecord:
    return AppendRecord("account/a", bytes(16), expected, 1, bytes(16), 1, b"")


@pytest.mark.parametrize(
    ("expected", "head", "seen", "verdict"),
    [
        (0, 0, False, Verdict.ADMITTED),
        (5, 5, False, Verdict.ADMITTED),
        (None, 0, False, Verdict.ADMITTED),
        (None, 5, False, Verdict.ADMITTED),
        (4, 5, False, Verdict.CONFLICT),
        (6, 5, False, Verdict.CONFLICT),
        (0, 1, False, Verdict.CONFLICT),
        (5, 5, True, Verdict.DUPLICATE),
        (4, 5, True, Verdict.DUPLICATE),
        (None, 5, True, Verdict.DUPLICATE),
    ],
)
def test_r2_to_r4(expected: int | None, head: int, seen: bool, verdict: Verdict) -> None:
    assert judge(append(expected), head, seen) is verdict
