"""`topics` and `schemas`: what must be in place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from bridge.application import registered
from bridge.cli import repartition
from bridge.cli.console import JsonFlag, err, out, with_base, write_json, write_table
from bridge.log.compose import event_types
from bridge.wiring import Base, create_topics, push_schemas, schema_problems

topics = typer.Typer(help="The log's topics.", no_args_is_help=True)
schemas = typer.Typer(help="The schemas of the categories.", no_args_is_help=True)


@dataclass(frozen=True)
class TopicRow:
    """A topic as it is; 0 partitions where it is missing."""

    topic: str
    partitions: int
    replicas: int
    differences: list[str]


@dataclass(frozen=True)
class SubjectRow:
    """A category's subject in the registry."""

    subject: str
    versions: list[int]
    event_types: list[str]


@topics.command("list")
def topics_list(json: JsonFlag = False) -> None:
    """List the topics with partitions, replicas and what differs from how they should be."""
    found = with_base(_topic_rows)
    if json:
        write_json(found)
        return
    rows = ((one.topic, one.partitions, one.replicas, "; ".join(one.differences)) for one in found)
    write_table(("topic", "partitions", "replicas", "differences"), rows, wrap=True)


async def _topic_rows(base: Base) -> list[TopicRow]:
    specs = await base.topics.specs(base.catalog.categories)
    facts = await base.topics.facts([spec.name for spec in specs])
    wrong = await base.topics.differences(specs)
    return [
        TopicRow(
            spec.name,
            facts[spec.name].partitions if spec.name in facts else 0,
            facts[spec.name].replication if spec.name in facts else 0,
            [str(one) for one in wrong if one.topic == spec.name],
        )
        for spec in specs
    ]


@topics.command("create")
def topics_create(json: JsonFlag = False) -> None:
    """Create the topics that are missing, and say what differs in those that exist."""
    created, wrong = with_base(create_topics)
    if json:
        write_json({"created": created, "differences": [str(one) for one in wrong]})
        return
    out.print(f"created: {', '.join(created) or 'nothing, all are there'}")
    for one in wrong:
        err.print(f"[yellow]{one}[/yellow]")


topics.command("repartition")(repartition.repartition)


@schemas.command("push")
def schemas_push(json: JsonFlag = False) -> None:
    """Register every category's schema; run it at deploy, before the processes start."""
    pushed = with_base(push_schemas)
    write_json(pushed) if json else write_table(("subject", "id"), pushed.items())


@schemas.command("check")
def schemas_check(
    offline: Annotated[bool, typer.Option(help="Only compose and parse; ask no registry.")] = False,
    json: JsonFlag = False,
) -> None:
    """Check that every schema is well formed and compatible with all its registered versions, and no upcast missing."""
    found = schema_problems(registered()) if offline else with_base(_compatible)
    if json:
        write_json(found)
    else:
        rows = ((name, "; ".join(wrong) or "fine") for name, wrong in found.items())
        write_table(("category", "result"), rows, wrap=True)
    if any(found.values()):
        raise typer.Exit(1)


async def _compatible(base: Base) -> dict[str, list[str]]:
    found = schema_problems(base.catalog)
    for category in base.catalog.categories:
        if not found[category]:
            subject = base.schemas.subject(category)
            found[category] = await base.registry.check(subject, base.schemas.local(category))
    return found


@schemas.command("list")
def schemas_list(json: JsonFlag = False) -> None:
    """List the subjects with their versions, and the event types of the categories."""
    found = with_base(_subject_rows)
    if json:
        write_json(found)
        return
    rows = ((one.subject, ", ".join(map(str, one.versions)), ", ".join(one.event_types)) for one in found)
    write_table(("subject", "versions", "event types"), rows)


async def _subject_rows(base: Base) -> list[SubjectRow]:
    found = []
    for category in base.catalog.categories:
        subject = base.schemas.subject(category)
        types = [one["name"] for one in event_types(base.schemas.local(category))]
        found.append(SubjectRow(subject, await base.registry.versions(subject), types))
    return found
