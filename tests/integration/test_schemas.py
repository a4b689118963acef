"""Schemas as the registry gives them back."""

from __future__ import annotations

import pytest

from bridge.settings import Settings
from bridge.wiring import open_base

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("category", ["project", "system"])
async def test_events_of_the_newest_schema_are_decoded_once(served: Settings, category: str) -> None:
    """The registry writes schemas in its own way. What means the same must not cost each event a second decoding."""
    async with open_base(served) as writing, open_base(served) as reading:
        schema = await writing.schemas.writer(category)
        read = await reading.schemas.reader(schema.id)
        assert read.schema != schema.schema, "the registry has changed nothing; this test shows nothing"
        assert [branch.type for branch in read.branches if branch.upgrade is not None] == []
