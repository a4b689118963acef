"""Schemas by id, for reading, and by category, for writing. A schema never changes, so what was read is kept."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from bridge import upcast
from bridge.errors import NotFound, SchemaError, Unavailable
from bridge.log.avro import CategorySchema
from bridge.log.compose import Schema, event_types, load
from bridge.log.newest import Newest
from bridge.log.record import topic_of
from bridge.log.registry import Registry, RegistryAway
from bridge.upcast import Steps

A = TypeVar("A")
T = TypeVar("T")

AWAY = 0.4
"""Seconds for which a registry that did not answer is not asked again."""


class Schemas:
    """The schemas of one process. Writing looks an id up once and never registers (that is `schemas push`)."""

    def __init__(
        self,
        registry: Registry,
        folders: Mapping[str, Path],
        prefix: str,
        upcasts: Mapping[str, Steps] = MappingProxyType({}),
    ) -> None:
        self._registry = registry
        self._folders = folders
        self._prefix = prefix
        self._upcasts = upcasts
        self._newest: dict[str, Newest] = {}
        self._by_id: dict[int, CategorySchema] = {}
        self._writers: dict[str, CategorySchema] = {}
        self._away_until = 0.0
        self._asking = asyncio.Lock()  # what a thousand want to know at once is asked once

    def subject(self, category: str) -> str:
        """The registry's subject of a category (TopicNameStrategy)."""
        return f"{topic_of(self._prefix, category)}-value"

    def local(self, category: str) -> Schema:
        """The category's schema as composed from its folder; raises NotFound for an unknown category."""
        if category not in self._folders:
            raise NotFound(f"there is no category {category!r}; known are {', '.join(sorted(self._folders))}")
        return load(category, self._folders[category])

    def known(self, schema_id: int) -> CategorySchema | None:
        """The schema of an id if this process has read it already."""
        return self._by_id.get(schema_id)

    async def reader(self, schema_id: int) -> CategorySchema:
        """The schema of an id. Raises SchemaError when nobody knows it, RegistryAway when nobody can tell."""
        if (found := self._by_id.get(schema_id)) is not None:
            return found
        async with self._asking:
            if (found := self._by_id.get(schema_id)) is not None:
                return found
            schema = await self._answer(self._registry.by_id, schema_id)
            if schema is None:
                raise SchemaError(f"the schema registry does not know schema {schema_id}")
            return self._by_id.setdefault(schema_id, self._ready(schema_id, schema))

    async def _answer(self, ask: Callable[[A], Awaitable[T]], about: A) -> T:
        """Asks the registry, unless it was away just now: a registry that hangs must not hang everyone each time."""
        if time.monotonic() < self._away_until:
            raise RegistryAway("the schema registry was away just now")
        try:
            return await ask(about)
        except RegistryAway:
            self._away_until = time.monotonic() + AWAY
            raise

    async def fetch(self, ids: Iterable[int]) -> dict[int, SchemaError]:
        """Makes the schemas of these ids known; answers those that nobody knows. Raises RegistryAway."""
        unknown: dict[int, SchemaError] = {}
        for schema_id in set(ids) - self._by_id.keys():
            try:
                await self.reader(schema_id)
            except SchemaError as error:
                unknown[schema_id] = error
        return unknown

    async def writer(self, category: str) -> CategorySchema:
        """The schema that this process writes the category with. Raises NotFound, Unavailable."""
        if (found := self._writers.get(category)) is not None:
            return found
        async with self._asking:
            return self._writers.get(category) or await self._find_writer(category)

    async def _find_writer(self, category: str) -> CategorySchema:
        schema = self.local(category)
        try:
            schema_id = await self._answer(partial(self._registry.find, self.subject(category)), schema)
        except RegistryAway as error:
            raise Unavailable(str(error)) from error
        if schema_id is None:
            raise Unavailable(f"the schema of category {category} is not registered: run `lighthouse schemas push`")
        writer = self._by_id.setdefault(schema_id, self._ready(schema_id, schema))
        return self._writers.setdefault(category, writer)

    def _ready(self, schema_id: int, schema: Schema) -> CategorySchema:
        """The schema with what leads its events to the newest shape, if it is of a category that this process has."""
        try:
            category = str(schema.get("namespace")).removeprefix("lighthouse.")
            if category not in self._folders:
                return CategorySchema(schema_id, schema)
            return self._newest_of(category).category_schema(schema_id, schema)
        except SchemaError:
            raise
        except Exception as error:  # any JSON can lie in a registry; fastavro raises whatever it leads to
            raise SchemaError(f"schema {schema_id} is not usable: {type(error).__name__}: {error}") from error

    def _newest_of(self, category: str) -> Newest:
        """Made once: a file that is changed under a running process must not give it a second newest version."""
        if category not in self._newest:
            self._newest[category] = Newest(self.local(category), self._upcasts.get(category, {}))
        return self._newest[category]


def problems(category: str, folder: Path, steps: Steps) -> list[str]:
    """What is wrong with a category's files and its upcasts, each a sentence; no registry is asked."""
    try:
        schema = load(category, folder)
        Newest(schema, {})
    except SchemaError as error:
        return [str(error)]
    except Exception as error:  # a default that is none of its type: fastavro does not look into nested ones
        return [f"category {category} has a default that does not fit its type: {error!r}"]
    return list(upcast.problems(category, {one["name"]: one["version"] for one in event_types(schema)}, steps))
