"""`reactors`: how they stand, and what a person decides of them."""

from __future__ import annotations

from typing import Annotated, cast

import typer

from bridge import present_reactors as present
from bridge.cli.console import JsonFlag, with_platform, write_json, write_table
from bridge.cli.deciding import decided
from bridge.errors import Invalid
from bridge.present_reactors import ReactorAnswer, ReactorPartitionAnswer
from bridge.reactor import Start
from bridge.wiring import Platform

app = typer.Typer(help="Reactors: how they stand, retry, skip, place.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The reactor's name.")]


@app.command("list")
def list_(json: JsonFlag = False) -> None:
    """List the reactors: how far each is, where one stands still and why."""

    async def work(platform: Platform) -> list[ReactorAnswer]:
        return [present.of_reactor(await platform.reactors.status(name)) for name in platform.reactors.names]

    found = with_platform(work)
    if json:
        write_json(found)
        return
    write_table(("reactor", "categories", "state", "lag", "seconds", "why"), map(_shown, found), wrap=True)


def _shown(one: ReactorAnswer) -> tuple[object, ...]:
    categories = "all" if one.categories is None else ", ".join(one.categories)
    why = "; ".join(filter(None, map(_why, one.partitions)))
    return one.name, categories, one.state, one.lag_records, f"{one.lag_seconds:.1f}", why


def _why(one: ReactorPartitionAnswer) -> str:
    if one.parked is not None:
        return f"{one.parked.event} in {one.category}-{one.partition}: {one.parked.error}"
    return one.lost or ""


@app.command()
def retry(name: Name, json: JsonFlag = False) -> None:
    """Give a reactor the events again at which it stands still."""
    decided(lambda platform, asked: platform.reactor_steering.retry(name, asked), json)


@app.command()
def skip(
    name: Name,
    event: Annotated[str | None, typer.Argument(help="The event's id; not needed where it stands at one only.")] = None,
    json: JsonFlag = False,
) -> None:
    """Let a reactor go on without an event that it stands at."""
    decided(lambda platform, asked: platform.reactor_steering.skip(name, event, asked), json)


@app.command()
def place(
    name: Name,
    partition: Annotated[str, typer.Argument(metavar="CATEGORY-N", help="The partition, e.g. project-3.")],
    at: Annotated[str, typer.Argument(help="An offset, beginning, or end.")],
    json: JsonFlag = False,
) -> None:
    """Say where a reactor goes on in a partition whose offset it has lost."""
    category, _, number = partition.rpartition("-")
    if not number.isdecimal():
        raise Invalid("partition", f"{partition[:40]!r} is no partition; write category-number, e.g. project-3")
    where, spot = (category, int(number)), _spot(at)
    decided(lambda platform, asked: platform.reactor_steering.place(name, where, spot, asked), json)


def _spot(text: str) -> Start | int:
    if text in ("beginning", "end"):
        return cast(Start, text)
    if not text.isdecimal():
        raise Invalid("at", f"{text[:40]!r} is neither an offset nor beginning nor end")
    return int(text)
