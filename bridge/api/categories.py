"""What can be written and asked here: the categories with their event types and commands."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from bridge.api.answers import answer
from bridge.api.openapi import documents
from bridge.decider import Decider
from bridge.log.compose import Schema, event_types
from bridge.wiring import Platform


class EventTypeAnswer(msgspec.Struct):
    """An event type: its name in an append, and its Avro schema."""

    type: str
    version: int
    schema: dict[str, Any]


class CommandAnswer(msgspec.Struct):
    """A command: its name, and the JSON Schema of its body."""

    command: str
    schema: dict[str, Any]


class CategoryAnswer(msgspec.Struct):
    """A category; `decider` is its decider's version, null for a category without one."""

    category: str
    topic: str
    partitions: int
    decider: int | None
    bookmarks: list[str]
    event_types: list[EventTypeAnswer]
    commands: list[CommandAnswer]


class CategoriesAnswer(msgspec.Struct):
    """All categories, by name."""

    categories: list[CategoryAnswer]


router = APIRouter(prefix="/v1/categories", tags=["categories"])


@router.get("", **documents(CategoriesAnswer))
async def categories(request: Request) -> Response:
    """The categories, their event types as Avro schemas, their commands as JSON Schemas."""
    return answer(request.app.state.categories)


def describe(platform: Platform) -> CategoriesAnswer:
    """Every category, as it is for the whole life of this process."""
    return CategoriesAnswer([_category(platform, name) for name in platform.base.catalog.categories])


def _category(platform: Platform, name: str) -> CategoryAnswer:
    catalog, fact = platform.base.catalog, platform.facts[name]
    decider = catalog.deciders.get(name)
    return CategoryAnswer(
        category=name,
        topic=fact.name,
        partitions=fact.partitions,
        decider=decider.version if decider else None,
        bookmarks=sorted(mark for category, mark in catalog.bookmarks if category == name),
        event_types=_event_types(platform.base.schemas.local(name)),
        commands=_commands(decider) if decider else [],
    )


def _event_types(schema: Schema) -> list[EventTypeAnswer]:
    return [EventTypeAnswer(each["name"], each["version"], each) for each in event_types(schema)]


def _commands(decider: Decider[Any, Any, Any]) -> list[CommandAnswer]:
    return [
        CommandAnswer(each.__name__, msgspec.json.schema(each, schema_hook=lambda _: {})) for each in decider.commands
    ]
