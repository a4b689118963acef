"""Pages by way of the index where its blocks are as large as they are for users; `tests/property` has small ones."""

from __future__ import annotations

from bridge.builtin import INDEX
from bridge.cache import Cache
from bridge.decisions import Decisions
from bridge.feed.filters import Filter
from bridge.feed.indexed import Indexed
from bridge.feed.order import START
from streams.builds import Projecting
from tests.model.bench import Bench, Draft, numbered, records
from tests.model.world import now
from tests.property.test_indexed_pages import decided, pages

MANY = 2_500
"""Appends: more than two blocks full, whose rows are encoded with a longer head than short ones are."""


def test_full_blocks_hold_every_append() -> None:
    bench = Bench(projecting=Projecting([INDEX], Decisions(), Cache(100, 100_000))).built()
    bench.take_all(records(numbered([Draft(actor="ann")] * MANY)))
    found = now(pages(bench, Indexed(decided).fetch, Filter(actors=frozenset(("ann",))), START, 400))
    assert [event.offset for event in found] == list(range(MANY))
