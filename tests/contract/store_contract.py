"""The store contract as tests, run on every adapter."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.errors import Fenced, LighthouseError, NotReached
from bridge.store.contract import UNOWNED, Mark, Row, Store, Stores, Writes

KEYS = st.binary(min_size=1, max_size=8).filter(lambda key: key[0] > 0)
COMMITS = st.lists(
    st.tuples(st.dictionaries(KEYS, st.binary(max_size=20), max_size=8), st.sets(KEYS, max_size=4)), max_size=8
)
SCANS = st.tuples(
    st.binary(max_size=2), st.none() | KEYS, st.none() | KEYS, st.booleans(), st.integers(min_value=0, max_value=9)
)
PROPERTY = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)
_numbers = count()


def puts(*rows: Row) -> Writes:
    """The writes that set these rows."""
    return Writes(dict(rows))


async def rows_of(store: Store) -> dict[bytes, bytes]:
    """Every row of a space."""
    async with store.view() as view:
        return dict(await view.scan(b"", limit=1_000_000))


async def mark_of(store: Store) -> Mark:
    """The mark of a space."""
    async with store.view() as view:
        return view.mark


async def beat_age_of(store: Store) -> float:
    """Seconds since the owner of a space last gave a sign of life."""
    async with store.view() as view:
        return view.beat_age


class StoreContract:
    """An adapter's test class inherits this one and gives the fixture `stores`, and `reopen`."""

    @pytest.fixture
    def reopen(self) -> Callable[[Stores], Awaitable[Stores]]:
        """Closes the stores and opens them again at the same place."""
        raise NotImplementedError

    @pytest.fixture
    def store(self, stores: Stores) -> Store:
        """A space that was never used."""
        return stores.open("lighthouse.bank-0")

    async def test_a_new_space_is_unowned_and_empty(self, store: Store) -> None:
        async with store.view() as view:
            assert view.mark == UNOWNED
            assert view.beat_age == math.inf
            assert await asyncio.wait_for(store.wait(-1, 10), 1) == UNOWNED
            assert await asyncio.wait_for(store.read_at(-1, 10, (b"a",)), 1) == [None]
            assert await view.get(b"a") is None
            assert await view.scan(b"") == []

    async def test_a_commit_sets_rows_and_mark(self, store: Store) -> None:
        owned = await store.own()
        assert owned == Mark(1, 0, -1)
        mark = await store.commit(owned, 7, puts((b"b", b"2"), (b"a", b"1")))
        assert mark == Mark(1, 1, 7)
        async with store.view() as view:
            assert view.mark == mark
            assert await view.get_many([b"b", b"c", b"a"]) == [b"2", None, b"1"]

    async def test_a_commit_replaces_and_deletes(self, store: Store) -> None:
        mark = await store.commit(await store.own(), 0, puts((b"a", b"1"), (b"b", b"1"), (b"c", b"1")))
        writes = puts((b"b", b"2"))
        writes.delete(b"c")
        writes.delete(b"never there")
        await store.commit(mark, 1, writes)
        assert await rows_of(store) == {b"a": b"1", b"b": b"2"}

    async def test_a_scan_is_bounded_by_what_its_values_take(self, store: Store) -> None:
        rows = [(b"a", b"123"), (b"b", b""), (b"c", b"12345"), (b"d", b"1")]
        await store.commit(await store.own(), 0, puts(*rows))
        async with store.view() as view:
            assert await view.scan(b"", most_bytes=9) == rows
            assert await view.scan(b"", most_bytes=8) == rows[:3]
            assert await view.scan(b"", most_bytes=7) == rows[:2]
            assert await view.scan(b"", most_bytes=0) == rows[:1]
            assert await view.scan(b"", reverse=True, most_bytes=5) == rows[:2:-1]
            assert await view.scan(b"", limit=1, most_bytes=9) == rows[:1]
            assert await view.scan(b"x", most_bytes=9) == []

    async def test_the_position_may_stay_where_it_is(self, store: Store) -> None:
        mark = await store.commit(await store.own(), 4, Writes())
        assert await store.commit(mark, 4, Writes()) == Mark(1, 2, 4)

    async def test_a_scan_is_ordered_and_bounded(self, store: Store) -> None:
        keys = [b"a", b"b", b"b\x00", b"b\x01x", b"b\xff", b"b\xff\xff", b"c", b"\xff", b"\xff\xff"]
        await store.commit(await store.own(), 0, puts(*((key, key.hex().encode()) for key in reversed(keys))))
        async with store.view() as view:

            async def found(
                prefix: bytes,
                start: bytes | None = None,
                stop: bytes | None = None,
                reverse: bool = False,
                limit: int = 99,
            ) -> list[bytes]:
                return [key for key, _ in await view.scan(prefix, start, stop, reverse, limit)]

            assert await found(b"") == keys
            assert await found(b"", reverse=True) == keys[::-1]
            assert await found(b"b") == keys[1:6]
            assert await found(b"b", reverse=True) == keys[5:0:-1]
            assert await found(b"b", b"b\x01", b"b\xff") == [b"b\x01x"]
            assert await found(b"b", b"a", b"d") == keys[1:6]
            assert await found(b"b", None, b"b\x01", reverse=True) == [b"b\x00", b"b"]
            assert await found(b"b", limit=2) == [b"b", b"b\x00"]
            assert await found(b"b", reverse=True, limit=2) == [b"b\xff\xff", b"b\xff"]
            assert await found(b"\xff") == [b"\xff", b"\xff\xff"]
            assert await found(b"\xff", reverse=True) == [b"\xff\xff", b"\xff"]
            assert await found(b"b", limit=0) == await found(b"x") == await found(b"x", reverse=True) == []

    async def test_a_view_stays_as_it_was_while_a_commit_lands(self, store: Store) -> None:
        mark = await store.commit(await store.own(), 0, puts((b"a", b"old")))
        async with store.view() as before:
            after_mark = await store.commit(mark, 1, puts((b"a", b"new"), (b"b", b"new")))
            async with store.view() as after:
                assert (await after.get(b"a"), after.mark) == (b"new", after_mark)
            assert (await before.get_many([b"a", b"b"]), before.mark) == ([b"old", None], mark)
            assert await before.scan(b"") == [(b"a", b"old")]

    @pytest.mark.parametrize("stale", [Mark(1, 2, 5), Mark(2, 1, 5), Mark(2, 2, 4), Mark(2, 2, 6), Mark(3, 2, 5)])
    async def test_each_component_of_the_mark_is_compared(self, store: Store, stale: Mark) -> None:
        await store.own()
        mark = await store.commit(await store.own(), 5, Writes())
        mark = await store.commit(mark, 5, puts((b"a", b"1")))
        assert mark == Mark(2, 2, 5)
        with pytest.raises(Fenced):
            await store.commit(stale, 9, puts((b"a", b"2"), (b"b", b"2")))
        with pytest.raises(Fenced):
            await store.wipe(stale)
        assert await rows_of(store) == {b"a": b"1"}
        assert await mark_of(store) == mark

    async def test_no_commit_is_applied_twice(self, store: Store) -> None:
        owned = await store.own()
        await store.commit(owned, -1, Writes())
        with pytest.raises(Fenced):
            await store.commit(owned, -1, Writes())

    async def test_a_new_owner_fences_the_one_before(self, store: Store) -> None:
        old = await store.commit(await store.own(), 3, puts((b"a", b"1")))
        new = await store.own()
        assert new == Mark(2, 1, 3)
        with pytest.raises(Fenced):
            await store.commit(old, 4, puts((b"a", b"2")))
        with pytest.raises(Fenced):
            await store.beat(old)
        assert await store.commit(new, 4, Writes()) == Mark(2, 2, 4)

    async def test_a_beat_leaves_the_mark_as_it_is(self, store: Store) -> None:
        owned = await store.own()
        mark = await store.commit(owned, 3, Writes())
        await store.beat(mark)
        await store.beat(owned)  # a beat belongs to the epoch, whatever was committed meanwhile
        async with store.view() as view:
            assert view.mark == mark
            assert 0 <= view.beat_age < 5

    async def test_to_take_a_space_over_is_no_sign_of_life(self, store: Store) -> None:
        """Whoever has taken it over and done nothing yet, and perhaps cannot, keeps nothing up to date."""
        mark = await store.own()
        assert await beat_age_of(store) == math.inf
        await store.commit(mark, 3, Writes())
        while (age := await beat_age_of(store)) < 0.05:
            pass
        await store.own()
        assert await beat_age_of(store) >= age

    async def test_a_reached_position_is_not_waited_for(self, store: Store) -> None:
        mark = await store.commit(await store.own(), 3, Writes())
        assert await store.wait(3, 0.001) == await store.wait(-1, 0.001) == mark

    async def test_a_wait_ends_when_the_position_is_reached(self, store: Store) -> None:
        mark = await store.own()
        waiting = asyncio.create_task(store.wait(2, 10))
        for position in range(3):
            await asyncio.sleep(0)
            assert not waiting.done()
            mark = await store.commit(mark, position, Writes())
        assert await asyncio.wait_for(waiting, 1) == mark

    async def test_a_wait_that_takes_too_long_says_how_far_it_is(self, store: Store) -> None:
        await store.commit(await store.own(), 3, Writes())
        with pytest.raises(NotReached) as caught:
            await store.wait(10, 0.02)
        assert caught.value.lag == 7

    async def test_many_waiters_wake_in_one_commit_and_no_earlier(self, store: Store) -> None:
        mark = await store.own()
        early = [asyncio.create_task(store.wait(position % 50, 20)) for position in range(2000)]
        late = [asyncio.create_task(store.wait(50, 20)) for _ in range(10)]
        await asyncio.sleep(0)
        mark = await store.commit(mark, 49, Writes())
        assert set(await asyncio.gather(*early)) == {mark}
        assert not any(task.done() for task in late)
        mark = await store.commit(mark, 60, Writes())
        assert set(await asyncio.gather(*late)) == {mark}

    async def test_rows_are_read_in_the_view_that_has_the_position(self, store: Store) -> None:
        mark = await store.commit(await store.own(), 3, puts((b"a", b"1")))
        assert await store.read_at(3, 0.001, (b"b", b"a")) == [None, b"1"]
        reading = [asyncio.create_task(store.read_at(position, 10, (b"a", b"b"))) for position in (5, 4)]
        await asyncio.sleep(0)
        mark = await store.commit(mark, 4, puts((b"a", b"2")))
        assert await asyncio.wait_for(reading[1], 1) == [b"2", None]
        assert not reading[0].done()
        await store.commit(mark, 5, Writes({b"b": b"3"}, {b"a"}))
        assert await asyncio.wait_for(reading[0], 1) == [None, b"3"]

    async def test_rows_are_read_for_those_who_come_at_any_moment(self, store: Store) -> None:
        """Many who read different rows, each beginning while others are being served."""
        rows = {b"%03d" % number: b"value %d" % number for number in range(200)}
        await store.commit(await store.own(), 3, Writes(dict(rows)))

        async def reader(number: int) -> bytes | None:
            await asyncio.sleep(number / 20_000)
            return (await store.read_at(number % 4, 10, (b"%03d" % number,)))[0]

        for _ in range(5):
            assert await asyncio.gather(*map(reader, range(200))) == list(rows.values())

    async def test_rows_of_a_position_that_stays_away_are_not_read(self, store: Store) -> None:
        await store.commit(await store.own(), 3, puts((b"a", b"1")))
        with pytest.raises(NotReached) as caught:
            await store.read_at(4, 0.02, (b"a",))
        assert caught.value.lag == 1

    async def test_rows_that_a_wipe_took_away_are_waited_for(self, store: Store) -> None:
        """No answer from before the wipe, and none from the empty space behind it."""
        mark = await store.wipe(await store.commit(await store.own(), 5, puts((b"a", b"1"))))
        reading = asyncio.create_task(store.read_at(5, 10, (b"a",)))
        mark = await store.commit(mark, 4, puts((b"a", b"0")))
        assert await store.read_at(4, 10, (b"a",)) == [b"0"]
        assert not reading.done()
        await store.commit(mark, 5, puts((b"a", b"2")))
        assert await asyncio.wait_for(reading, 1) == [b"2"]

    async def test_a_waiter_may_leave(self, store: Store) -> None:
        mark = await store.own()
        for _ in range(200):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(store.wait(5, 10), 0.0001)
        assert (await store.commit(mark, 5, Writes())).position == 5

    async def test_closing_wakes_the_waiters(self, store: Store) -> None:
        waiting = asyncio.create_task(store.wait(5, 10))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await store.close()
        with pytest.raises(LighthouseError):
            await waiting

    async def test_a_wiped_space_is_empty_and_goes_on(self, store: Store) -> None:
        mark = await store.commit(await store.own(), 9, puts((b"a", b"1")))
        wiped = await store.wipe(mark)
        assert wiped == Mark(1, 2, -1)
        assert await rows_of(store) == {}
        with pytest.raises(Fenced):
            await store.commit(mark, 10, Writes())
        await store.commit(wiped, 0, puts((b"b", b"2")))
        assert await rows_of(store) == {b"b": b"2"}
        assert await store.own() == Mark(2, 3, 0)

    async def test_reopening_keeps_rows_and_mark(
        self, stores: Stores, store: Store, reopen: Callable[[Stores], Awaitable[Stores]]
    ) -> None:
        mark = await store.commit(await store.own(), 9, puts((b"a", b"1")))
        again = (await reopen(stores)).open("lighthouse.bank-0")
        assert (await rows_of(again), await mark_of(again)) == ({b"a": b"1"}, mark)
        assert await again.own() == Mark(2, 1, 9)

    async def test_one_closed_store_can_be_opened_again(self, stores: Stores, store: Store) -> None:
        assert stores.open("lighthouse.bank-0") is store
        mark = await store.commit(await store.own(), 9, puts((b"a", b"1")))
        await store.close()
        assert await mark_of(stores.open("lighthouse.bank-0")) == mark

    async def test_spaces_are_apart(self, stores: Stores, store: Store) -> None:
        await store.commit(await store.own(), 9, puts((b"a", b"1")))
        other = stores.open("lighthouse.bank-1")
        assert (await rows_of(other), await mark_of(other)) == ({}, UNOWNED)

    async def test_values_may_be_empty_or_large_and_keys_long(self, store: Store) -> None:
        rows = {b"empty": b"", b"large": bytes(range(256)) * (4 << 12), b"k" * 511: b"1", b"k" * 510 + b"\xff": b"2"}
        await store.commit(await store.own(), 0, puts(*rows.items()))
        assert await rows_of(store) == rows

    @pytest.mark.parametrize("key", [b"", b"\x00a", b"k" * 512])
    async def test_a_key_that_no_adapter_holds_is_refused(self, store: Store, key: bytes) -> None:
        mark = await store.own()
        with pytest.raises(LighthouseError):
            await store.commit(mark, 0, puts((key, b"1"), (b"a", b"1")))
        assert (await rows_of(store), await mark_of(store)) == ({}, mark)

    @PROPERTY
    @given(commits=COMMITS, scans=st.lists(SCANS, max_size=6))
    async def test_a_store_is_a_sorted_dict(
        self,
        stores: Stores,
        commits: list[tuple[dict[bytes, bytes], set[bytes]]],
        scans: list[tuple[bytes, bytes | None, bytes | None, bool, int]],
    ) -> None:
        model: dict[bytes, bytes] = {}
        store = stores.open(f"property-{next(_numbers)}")
        mark = await store.own()
        for number, (rows, deletes) in enumerate(commits):
            mark = await store.commit(mark, number, Writes(rows, deletes - rows.keys()))
            model = {key: value for key, value in (model | rows).items() if key not in deletes - rows.keys()}
        async with store.view() as view:
            assert await view.scan(b"") == sorted(model.items())
            for scan in scans:
                assert await view.scan(*scan) == scanned(model, *scan)
        await store.close()


def scanned(
    model: dict[bytes, bytes], prefix: bytes, start: bytes | None, stop: bytes | None, reverse: bool, limit: int
) -> list[Row]:
    """What a scan must answer."""
    inside = [
        row
        for row in sorted(model.items(), reverse=reverse)
        if row[0].startswith(prefix) and (start is None or row[0] >= start) and (stop is None or row[0] < stop)
    ]
    return inside[:limit]
