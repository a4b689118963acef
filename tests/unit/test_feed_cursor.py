from __future__ import annotations

import base64

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import Invalid
from bridge.feed.cursor import Cursors, Point

COUNTS = {"account": 16, "project": 4}
CURSORS = Cursors({"account": "A" * 22, "project": "b-_" * 7}, COUNTS)
NUMBER = st.integers(0, 2**63 - 1)
WHERE = st.sampled_from([(name, number) for name, count in COUNTS.items() for number in range(count)])
SPOT = st.tuples(NUMBER, st.integers(0, 2**16 - 1))


@given(effective=NUMBER, where=WHERE, spot=SPOT)
def test_a_place_in_the_merged_order_comes_back(effective: int, where: tuple[str, int], spot: tuple[int, int]) -> None:
    point = Point(effective, *where, *spot)
    text = CURSORS.point(point)
    assert CURSORS.parse(text, "cursor") == point
    assert set(text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


@given(st.dictionaries(WHERE, SPOT))
def test_a_place_in_the_live_order_comes_back(vector: dict[tuple[str, int], tuple[int, int]]) -> None:
    assert CURSORS.parse(CURSORS.vector(vector), "cursor") == vector


def packed(value: object) -> str:
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(value)).decode().rstrip("=")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is no cursor"),
        ("garbage", "is no cursor"),
        ("é", "is no cursor"),
        ("gA==x", "is no cursor"),
        (packed({"A": {0: 1}}), "is no cursor"),
        (packed(["m", 1, "A" * 22, 0, 0]), "is no cursor"),
        (packed(["m", 1, "A" * 22, 0, 0, 0, 0]), "is no cursor"),
        (packed(["m", -1, "A" * 22, 0, 0, 0]), "is no cursor"),
        (packed(["m", 2**63, "A" * 22, 0, 0, 0]), "is no cursor"),
        (packed(["m", 1, "A" * 22, 0, 0, 70_000]), "is no cursor"),
        (packed(["m", 1, "A" * 22, 0, 0, 0]) + "!", "is no cursor"),
        (packed(["m", 1, "other", 0, 0, 0]), "'other', which is none of this platform's"),
        (packed(["m", 1, "A" * 22, 16, 0, 0]), "names partition 16 of 16"),
        (packed(["l", {"other": {0: [1, 0]}}]), "'other', which is none of this platform's"),
        (packed(["l", {"A" * 22: {-1: [1, 0]}}]), "names partition -1 of 16"),
        (packed(["l", {"A" * 22: {0: [1]}}]), "is no cursor"),
        (packed(["x", 1]), "is no cursor"),
    ],
)
def test_whatever_else_is_refused(text: str, why: str) -> None:
    with pytest.raises(Invalid, match=why) as caught:
        CURSORS.parse(text, "Last-Event-ID")
    assert caught.value.path == "Last-Event-ID"


@given(st.binary(max_size=60))
def test_no_bytes_lead_to_anything_but_a_place_or_invalid(raw: bytes) -> None:
    try:
        CURSORS.parse(base64.urlsafe_b64encode(raw).decode().rstrip("="), "cursor")
    except Invalid:
        return


def test_points_sort_as_the_merged_order_does() -> None:
    ordered = [
        Point(1, "account", 0),
        Point(1, "account", 0, 0, 1),
        Point(1, "account", 1),
        Point(1, "project", 0),
        Point(2, "account", 0),
    ]
    assert sorted(ordered[place] for place in (3, 1, 4, 0, 2)) == ordered
    assert ordered[0].after == ordered[1]
