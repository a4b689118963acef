from __future__ import annotations

from collections import OrderedDict

from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.cache import StateCache

PATIENT = settings(deadline=None)

STREAMS = st.sampled_from("abcdef")
CALLS = st.lists(
    st.tuples(st.just("put"), STREAMS, st.integers(0, 5))
    | st.tuples(st.sampled_from(["get", "drop"]), STREAMS, st.just(0)),
    max_size=40,
)


def test_the_least_recently_used_goes_first() -> None:
    cache = StateCache(2, 100)
    cache.put_all({"a": ((0, "A"), 1), "b": ((0, "B"), 1)})
    assert cache.get("a") == (0, "A")
    cache.put("c", (0, "C"), 1)
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == ((0, "A"), None, (0, "C"))


def test_a_state_that_replaces_another_counts_once() -> None:
    cache = StateCache(9, 10)
    for version in range(100):
        cache.put("a", (version, "A"), 10)
    assert cache.get("a") == (99, "A")


def test_a_state_larger_than_the_cache_is_not_kept_and_its_older_one_is_gone() -> None:
    cache = StateCache(9, 10)
    cache.put("a", (0, "A"), 1)
    cache.put("a", (1, "B"), 11)
    assert cache.get("a") is None
    cache.put("b", (0, "B"), 10)
    assert cache.get("b") == (0, "B")


def test_cleared_it_is_empty() -> None:
    cache = StateCache(9, 10)
    cache.put("a", (0, "A"), 10)
    cache.clear()
    assert cache.get("a") is None
    cache.put("b", (0, "B"), 10)
    assert cache.get("b") == (0, "B")


@PATIENT
@given(CALLS, st.integers(0, 4), st.integers(0, 9))
def test_it_holds_what_a_naive_one_holds(calls: list[tuple[str, str, int]], most: int, most_bytes: int) -> None:
    cache, naive = StateCache(most, most_bytes), OrderedDict[str, tuple[int, int]]()
    for number, (call, stream, size) in enumerate(calls):
        if call == "put":
            cache.put(stream, (number, stream), size)
            naive.pop(stream, None)
            naive[stream] = (number, size)
            while len(naive) > most or sum(size for _, size in naive.values()) > most_bytes:
                naive.popitem(last=False)
        elif call == "drop":
            cache.drop(stream)
            naive.pop(stream, None)
        else:
            found = cache.get(stream)
            assert found == ((naive[stream][0], stream) if stream in naive else None)
            if stream in naive:
                naive.move_to_end(stream)
    for stream in "abcdef":
        assert (cache.get(stream) is not None) == (stream in naive)
