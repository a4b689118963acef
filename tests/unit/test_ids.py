from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from immutables import Map

from bridge.log.ids import append_id, draw, request_hash

PATIENT = settings(deadline=None)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
PARTS = st.tuples(TEXT, TEXT, TEXT)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@dataclass(frozen=True)
class Give:
    """A command with what states may hold, too."""

    amounts: Map[str, int] = field(default_factory=Map)
    counts: dict[int, int] = field(default_factory=dict)


@PATIENT
@given(PARTS, PARTS)
def test_append_ids_differ_where_any_part_does(one: tuple[str, str, str], two: tuple[str, str, str]) -> None:
    assert (append_id(*one) == append_id(*two)) == (one == two)


@pytest.mark.parametrize(
    ("one", "two"),
    [(("a/b", "c", "d"), ("a/", "bc", "d")), (("a", "", "bc"), ("a", "b", "c")), (("a", "b", ""), ("a", "", "b"))],
)
def test_parts_do_not_run_together(one: tuple[str, str, str], two: tuple[str, str, str]) -> None:
    assert append_id(*one) != append_id(*two)


def test_an_append_id_is_the_hash_of_the_length_prefixed_parts() -> None:
    """Written down, since ids of records that lie in a log must come out the same for ever."""
    raw = b"\0\0\0\4a/bc" + b"\0\0\0\3ann" + b"\0\0\0\1k"
    assert append_id("a/bc", "ann", "k") == blake2b(raw, digest_size=16).digest()


def test_a_request_hash_is_the_hash_of_the_length_prefixed_parts() -> None:
    raw = b"\0\0\0\4POST" + b"\0\0\0\2/x" + b"\0\0\0\3any" + b'\0\0\0\x0f{"a":[1],"b":2}'
    assert request_hash("POST", "/x", None, {"b": 2, "a": [1]}) == blake2b(raw, digest_size=16).digest()


@PATIENT
@given(JSON, st.randoms())
def test_the_order_of_keys_is_no_difference(body: Any, random: Any) -> None:
    assert request_hash("POST", "/x", 1, shuffled(body, random)) == request_hash("POST", "/x", 1, body)


def shuffled(value: Any, random: Any) -> Any:
    if isinstance(value, dict):
        items = [(key, shuffled(inner, random)) for key, inner in value.items()]
        random.shuffle(items)
        return dict(items)
    return [shuffled(inner, random) for inner in value] if isinstance(value, list) else value


@PATIENT
@given(JSON, JSON)
def test_another_body_is_another_request(one: Any, two: Any) -> None:
    assert (request_hash("P", "/x", 1, one) == request_hash("P", "/x", 1, two)) == (same(one, two))


def same(one: Any, two: Any) -> bool:
    """Equal, and not as True equals 1."""
    return repr(ordered(one)) == repr(ordered(two))


def ordered(value: Any) -> Any:
    if isinstance(value, dict):
        return [(key, ordered(value[key])) for key in sorted(value)], "object"
    return [ordered(inner) for inner in value] if isinstance(value, list) else value


def test_method_route_and_expected_version_are_part_of_the_request() -> None:
    calls = [("POST", "/x", 1), ("PUT", "/x", 1), ("POST", "/y", 1), ("POST", "/x", 2), ("POST", "/x", None)]
    assert len({request_hash(*call, {}) for call in calls}) == len(calls)


def test_a_command_may_hold_maps_with_any_keys() -> None:
    hashes = {
        request_hash("CALL", "x", None, one) for one in (Give(), Give(Map(a=1)), Give(Map(a=2)), Give(counts={1: 2}))
    }
    assert len(hashes) == 4
    assert request_hash("CALL", "x", None, Give(Map(b=1, a=2))) == request_hash("CALL", "x", None, Give(Map(a=2, b=1)))


def test_what_no_json_holds_is_refused() -> None:
    with pytest.raises(TypeError, match="a request cannot hold"):
        request_hash("CALL", "x", None, {"a": object()})


def test_a_drawn_id_is_a_uuid7() -> None:
    drawn = [UUID(draw()) for _ in range(100)]
    assert {one.version for one in drawn} == {7}
    assert {one.variant for one in drawn} == {"specified in RFC 4122"}
    assert len(set(drawn)) == 100
    assert drawn[0].int >> 80 <= drawn[-1].int >> 80
