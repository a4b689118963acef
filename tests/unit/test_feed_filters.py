from __future__ import annotations

import pytest

from bridge.events import Envelope, RecordedEvent
from bridge.feed.filters import EVERYTHING, Filter


def event(
    stream: str = "account/a", type_: str = "Opened", actor: str = "ann", correlation: str = "c"
) -> RecordedEvent:
    envelope = Envelope(actor, 0, correlation)
    return RecordedEvent(stream, 0, type_, {}, envelope, bytes(16), 0, 0, 0, 0, 0, 1)


def of(**values: str) -> Filter:
    return Filter(**{name: frozenset(value.split()) for name, value in values.items()})


@pytest.mark.parametrize(
    ("wanted", "matches"),
    [
        (EVERYTHING, True),
        (of(categories="account"), True),
        (of(categories="account project"), True),
        (of(categories="project"), False),
        (of(categories="acc"), False),
        (of(streams="account/a"), True),
        (of(streams="account/b account/a"), True),
        (of(streams="account/b"), False),
        (of(streams="account/a", categories="project"), False),
        (of(types="Opened"), True),
        (of(types="Closed"), False),
        (of(actors="bob ann"), True),
        (of(actors="bob"), False),
        (of(correlations="c"), True),
        (of(correlations="d"), False),
        (of(types="Opened", actors="ann", correlations="c"), True),
        (of(types="Opened", actors="bob", correlations="c"), False),
    ],
)
def test_each_kind_takes_any_of_its_values_and_all_kinds_must(wanted: Filter, matches: bool) -> None:
    assert wanted.matches(event()) is matches


def test_where_anything_can_match() -> None:
    assert EVERYTHING.in_categories == frozenset()
    assert of(streams="account/a project/b").in_categories == {"account", "project"}
    assert of(streams="account/a project/b", categories="account").in_categories == {"account"}
    assert of(categories="account").in_categories == {"account"}


def test_an_empty_text_is_a_value() -> None:
    nothing = Filter(correlations=frozenset(("",)))
    assert nothing.matches(event(correlation=""))
    assert not nothing.matches(event())
