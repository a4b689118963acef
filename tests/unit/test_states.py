from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from immutables import Map

from bridge import states

PATIENT = settings(deadline=None)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Part:
    name: str
    size: int = 0


@dataclass(frozen=True)
class Whole:
    """What a state may hold."""

    parts: Map[str, Part] = field(default_factory=Map)
    listed: tuple[Part, ...] = ()
    names: frozenset[str] = frozenset()
    seen: dict[str, bytes] = field(default_factory=dict)
    colour: Colour = Colour.RED
    at: datetime | None = None
    day: date | None = None
    price: Decimal = Decimal(0)
    ratio: float = 0.0


PARTS = st.builds(Part, TEXT, st.integers(-(2**63), 2**63 - 1))
WHOLES = st.builds(
    Whole,
    st.dictionaries(TEXT, PARTS, max_size=5).map(Map),
    st.lists(PARTS, max_size=3).map(tuple),
    st.frozensets(TEXT, max_size=4),
    st.dictionaries(TEXT, st.binary(max_size=4), max_size=4),
    st.sampled_from(Colour),
    st.none() | st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),
    st.none() | st.dates(date(1900, 1, 1), date(2200, 1, 1)),
    st.decimals(allow_nan=False, allow_infinity=False, places=2),
    st.floats(allow_nan=False),
)


@PATIENT
@given(WHOLES)
def test_what_is_encoded_is_decoded(state: Whole) -> None:
    decoded = states.decode(states.encode(state), Whole)
    assert decoded == state
    assert states.encode(decoded) == states.encode(state)


@PATIENT
@given(
    st.dictionaries(TEXT, st.integers(), max_size=8).filter(lambda found: all(abs(n) < 2**63 for n in found.values()))
)
def test_equal_states_give_equal_bytes_however_they_were_built(found: dict[str, int]) -> None:
    forth, back = Map[str, int](), Map[str, int]()
    for key in found:
        forth = forth.set(key, found[key])
    for key in reversed(found):
        back = back.set(key, 0).set(key, found[key])
    assert states.encode(forth) == states.encode(back)
    assert states.encode(found) == states.encode(dict(reversed(found.items())))
    assert states.encode(set(found)) == states.encode({*sorted(found)})


def test_a_map_inside_a_list_and_at_the_top() -> None:
    @dataclass(frozen=True)
    class Listed:
        maps: list[Map[str, int]]

    state = Listed([Map(a=1), Map()])
    assert states.decode(states.encode(state), Listed) == state
    assert states.decode(states.encode(Map(a=1)), Map[str, int]) == Map(a=1)


@dataclass(frozen=True)
class Nested:
    maps: Map[str, Map[str, int]]


@dataclass(frozen=True)
class Numbered:
    by_number: dict[int, str]


def test_a_map_of_maps() -> None:
    state = Nested(Map(a=Map(b=1)))
    assert states.decode(states.encode(state), Nested) == state


def test_keys_that_are_numbers_are_refused() -> None:
    with pytest.raises(TypeError, match="str"):
        states.encode(Numbered({2: "b", 1: "a"}))


@pytest.mark.parametrize(
    "raw", [b"", b"\xc1", msgspec.msgpack.encode([1]), msgspec.msgpack.encode({"parts": {"a": 1}})]
)
def test_bytes_of_another_type(raw: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        states.decode(raw, Whole)


def test_what_no_state_holds() -> None:
    with pytest.raises(TypeError, match="a state cannot hold a object"):
        states.encode([object()])


def test_plain_values_are_those_of_json() -> None:
    state = Whole(Map(b=Part("x"), a=Part("y")), seen={"k": b"\0"}, at=datetime(2024, 1, 1, tzinfo=UTC))
    plain: Any = states.plain(state)
    assert list(plain["parts"]) == ["a", "b"]
    assert (plain["seen"], plain["at"], plain["colour"]) == ({"k": "AA=="}, "2024-01-01T00:00:00Z", "red")
