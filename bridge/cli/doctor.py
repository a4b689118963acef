"""`doctor`: everything that should be so, looked at; each thing that is not says what to do."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import typer

from bridge.application import registered
from bridge.cli.console import JsonFlag, out, write_json
from bridge.errors import LighthouseError
from bridge.local.addresses import located
from bridge.log.published import event_schemas
from bridge.log.published import subject as published_subject
from bridge.settings import Settings
from bridge.store.factory import confirming
from bridge.survey import survey
from bridge.wiring import Platform, open_base, open_platform

MIN_FREE_MB = 1024
MIN_OFFSETS_RETENTION = 7 * 24 * 60


@dataclass(frozen=True)
class Finding:
    """One thing looked at; `problem` is empty where all is well, else a sentence that says what to do."""

    subject: str
    problem: str = ""


Check = Callable[[Settings], Awaitable[list[Finding]]]


async def _disk(settings: Settings) -> list[Finding]:
    place = settings.root if settings.root.exists() else settings.root.parent
    free = shutil.disk_usage(place).free >> 20
    problem = f"only {free} MiB are free at {place}: free some, or set LIGHTHOUSE_HOME elsewhere"
    return [Finding(f"disk: {free:,} MiB free", problem if free < MIN_FREE_MB else "")]


async def _applications(settings: Settings) -> list[Finding]:
    found = registered()
    return [Finding(f"category {name}{' with a decider' if name in found.deciders else ''}") for name in found.schemas]


async def _topics(settings: Settings) -> list[Finding]:
    async with open_base(settings) as base:
        specs = await base.topics.specs(base.catalog.categories)
        wrong = await base.topics.differences(specs)
    fine = {spec.name for spec in specs} - {one.topic for one in wrong}
    return [Finding(f"topic {name}") for name in sorted(fine)] + [Finding(f"topic {w.topic}", str(w)) for w in wrong]


async def _schemas(settings: Settings) -> list[Finding]:
    found = []
    async with open_base(settings) as base:
        for category in base.catalog.categories:
            subject = base.schemas.subject(category)
            schemas = {subject: base.schemas.local(category)}
            if settings.publish:
                own = event_schemas(schemas[subject])
                schemas |= {published_subject(settings.topic_prefix, category, one["name"]): one for one in own}
            lacking = [name for name, schema in schemas.items() if not await base.registry.find(name, schema)]
            what = f"{', '.join(lacking)}: not registered as it stands here: run `lighthouse schemas push`"
            found.append(Finding(f"schemas of {category}", what if lacking else ""))
    return found


async def _owners(platform: Platform) -> list[Finding]:
    found = await survey(platform.spaces, platform.reader)
    lonely = [one for one in found if not one.owned(platform.base.settings.session)]
    wrong = [
        Finding(
            f"partition {one.category}-{one.partition}",
            one.stopped or "nobody applies it: run `lighthouse streams --instances 1`",
        )
        for one in lonely
    ]
    parked = [
        Finding(f"{one.category}-{one.partition}", f"{one.parked} streams are parked") for one in found if one.parked
    ]
    return [Finding(f"{len(found) - len(lonely)} of {len(found)} partitions have a living owner"), *wrong, *parked]


async def _projections(platform: Platform) -> list[Finding]:
    known = [await platform.projections.status(name) for name in platform.projections.names]
    found = [Finding(f"{len(known)} projections")]
    for name, build in ((one.projection.name, build) for one in known for build in one.builds):
        version, generation = build.build
        for part in build.partitions:
            if (parked := part.progress.parked) is not None:
                what = f"projection {name} {version}.{generation} in {part.category}-{part.partition}"
                found.append(Finding(what, f"stands at {parked.event}: {parked.error}"))
    return found


async def _reactors(platform: Platform) -> list[Finding]:
    known = [await platform.reactors.status(name) for name in platform.reactors.names]
    found = [Finding(f"{len(known)} reactors")]
    for name, part in ((one.reactor.name, part) for one in known for part in one.partitions):
        why = part.lost if part.parked is None else f"stands at {part.parked.event}: {part.parked.error}"
        if why:
            found.append(Finding(f"reactor {name} in {part.category}-{part.partition}", why))
    return found


async def _broker(settings: Settings) -> list[Finding]:
    """A reactor's progress is its committed offsets: Kafka must not forget them while a group is away."""
    async with open_base(settings) as base:
        brokers = await base.topics.brokers()
        minutes = int((await base.topics.broker_config(brokers[0]))["offsets.retention.minutes"])
        address = base.settings.kafka_bootstrap
    problem = f"offsets.retention.minutes is {minutes}: groups away for longer lose their place; set 10080 or more"
    return [
        Finding(f"kafka: {len(brokers)} brokers at {address}"),
        Finding("kafka keeps offsets", problem if minutes < MIN_OFFSETS_RETENTION else ""),
    ]


async def hot_store(settings: Settings) -> list[Finding]:
    """In a Redis Cluster a commit counts only once replicas have it: each master must have so many."""
    settings = located(settings)
    if (found := await confirming(settings.hot_store, settings)) is None:
        return []
    wanted, there = found
    problem = f"no hot row can be written: add replicas, or set LIGHTHOUSE_REDIS_REPLICAS={max(there, 1)}"
    what = f"hot store: commits are confirmed by {wanted} of {there} replicas"
    return [Finding(what, problem if there < wanted else "")]


CHECKS: dict[str, Check] = {
    "disk": _disk,
    "applications": _applications,
    "kafka": _broker,
    "topics": _topics,
    "schemas": _schemas,
    "hot store": hot_store,
}
INSIDE: dict[str, Callable[[Platform], Awaitable[list[Finding]]]] = {
    "owners": _owners,
    "projections": _projections,
    "reactors": _reactors,
}
"""What is looked at with the platform open."""


async def examine(settings: Settings) -> list[Finding]:
    """Every check's findings; a check that cannot be made is a finding itself."""
    found: list[Finding] = []
    for name, check in CHECKS.items():
        found += await _made(name, check(settings))
    async with AsyncExitStack() as stack:
        try:
            platform = await stack.enter_async_context(open_platform(settings))
        except Exception as error:  # a doctor reports whatever is wrong
            return found + [_not_made(name, error) for name in INSIDE]
        for name, look in INSIDE.items():
            found += await _made(name, look(platform))
    return found


async def _made(name: str, check: Awaitable[list[Finding]]) -> list[Finding]:
    try:
        return await check
    except Exception as error:  # a doctor reports whatever is wrong
        return [_not_made(name, error)]


def _not_made(name: str, error: Exception) -> Finding:
    return Finding(name, str(error) if isinstance(error, LighthouseError) else repr(error))


def doctor(json: JsonFlag = False) -> None:
    """Look at everything that should be so; exit code 1 where something is not."""
    found = asyncio.run(examine(Settings()))
    if json:
        write_json([{"subject": one.subject, "ok": not one.problem, "problem": one.problem} for one in found])
    else:
        for one in found:
            mark = "[red]✗[/red]" if one.problem else "[green]✓[/green]"
            out.print(f"{mark} {one.subject}{': ' if one.problem else ''}{one.problem}")
    if any(one.problem for one in found):
        raise typer.Exit(1)
