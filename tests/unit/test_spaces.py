"""A process that was started before a topic got its partitions finds no stream where it looks, and says so."""

from __future__ import annotations

import pytest

from bridge.errors import Unavailable
from bridge.spaces import Space
from bridge.store import keys
from bridge.store.contract import Writes
from bridge.store.memory import MemoryStores
from bridge.store.rows import Identity
from tests.model.world import PLACE


async def test_a_history_of_another_partition_count_is_not_read() -> None:
    store = MemoryStores().open(PLACE.space)
    space = Space(PLACE, store)
    mark = await store.own()
    for partitions, refused in ((2, ""), (6, "has 6 partitions, and had 2 when this process was started"), (2, "")):
        identity = Identity("cluster", "topic", partitions).pack()
        mark = await store.commit(mark, 0, Writes({keys.IDENTITY: identity}))
        async with store.view() as view:
            if refused:
                with pytest.raises(Unavailable, match=refused):
                    await space.check_readable(view)
            else:
                await space.check_readable(view)
