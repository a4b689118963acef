"""What `lighthouse replay` refuses before it asks anybody."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.cli.copying import check_name
from bridge.cli.replay import replay
from bridge.errors import Invalid


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"stream": ["account/a", "nonsense"]}, "is not category/id"),
        ({"start": "someday"}, "is not a date or time"),
        ({"follow": True, "stop": "2020-01-01"}, "it has no end"),
        ({"follow": True, "to_topic": "copies"}, "it has no end"),
        ({"to_topic": "lighthouse.account"}, "have owners of their own"),
    ],
)
def test_arguments_that_make_no_sense(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(Invalid, match=said):
        replay(**arguments)


@pytest.mark.parametrize("name", ["", ".", "..", "a b", "ü", "x" * 250, "mine.account", "mine.x.events", "__offsets"])
def test_topics_that_are_not_written_to(name: str) -> None:
    with pytest.raises(Invalid) as caught:
        check_name(name, "mine")
    assert caught.value.path == "to-topic"


@pytest.mark.parametrize("name", ["copies", "lighthouse.account", "minen.account", "mine"])
def test_topics_that_are(name: str) -> None:
    check_name(name, "mine")
