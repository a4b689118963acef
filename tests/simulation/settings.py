"""What the processes of the simulated group are started with: settings, partitions, schemas, deciders."""

from __future__ import annotations

from bridge import decisions
from bridge.log.compose import Schema, load
from bridge.log.record import Place, topic_of
from bridge.log.registry import Registry
from bridge.log.schemas import Schemas
from bridge.settings import Settings
from bridge.typed import Typed
from tests.model import account

SETTINGS = Settings(session=3.0, deadline=10.0, batch_records=12, unpark_every=2.0)
COUNTS = {"account": 3, decisions.CATEGORY: 1}
"""Partitions of each category."""

SYSTEM = (topic_of(SETTINGS.topic_prefix, decisions.CATEGORY), 0)
TYPED = {"account": Typed(account.account), decisions.CATEGORY: Typed(decisions.decider)}
FOLDERS = {"account": account.SCHEMAS / "account", decisions.CATEGORY: decisions.SCHEMAS / decisions.CATEGORY}
COMPOSED = {category: load(category, folder) for category, folder in FOLDERS.items()}
SYSTEM_ID = 2
"""The id of the system category's schema in the registry."""


def places() -> list[Place]:
    """Every partition."""
    return [
        Place(topic_of(SETTINGS.topic_prefix, category), category, number, count)
        for category, count in COUNTS.items()
        for number in range(count)
    ]


def system_place() -> Place:
    """The one of what is decided."""
    return places()[-1]


class Loaded(Schemas):
    """The schemas of a process, whose folders were read long ago."""

    def local(self, category: str) -> Schema:
        """As the real one."""
        return COMPOSED[category]


def schemas_of_all(registry: Registry) -> Schemas:
    """The schemas of both categories."""
    return Loaded(registry, FOLDERS, SETTINGS.topic_prefix)
