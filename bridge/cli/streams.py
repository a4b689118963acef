"""`streams`: run processors, more or fewer of them, and see who applies what, how fast, and when nothing waits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import typer

from bridge import present
from bridge.cli.console import JsonFlag, err, out, with_platform, write_json, write_table
from bridge.errors import LocalError
from bridge.local.fleet import MOST, Roster, rosters
from bridge.local.fleet import scale as scale_fleets
from bridge.settings import Settings
from bridge.survey import Order, PartitionStatus, busiest_stream, ordered, survey
from bridge.wiring import Platform
from bridge.workload import Course, Load, Process, Workload, names, workload
from streams import supervisor

app = typer.Typer(help="The processors: run them, scale them, see how they keep up.", no_args_is_help=True)

LOOK = 0.1
"""Seconds between two looks whether the processors are as many as wanted."""


@app.command()
def run(
    instances: Annotated[int, typer.Option(min=1, max=MOST, help="Processors, each a process.")] = 1,
) -> None:
    """Run processors, and the reactors, until Ctrl-C."""
    raise typer.Exit(supervisor.run(instances, partial(err.print, soft_wrap=True, markup=False, highlight=False)))


@app.command()
def scale(
    instances: Annotated[int, typer.Argument(min=0, max=4 * MOST, help="Processors of this home in all.")],
    wait: Annotated[bool, typer.Option(help="Wait until they have shared the partitions out.")] = True,
    json: JsonFlag = False,
) -> None:
    """Let what runs in this home (`up`, `streams run`) run so many processors in all, while events flow."""
    settings = Settings()
    told, began = scale_fleets(settings, instances), time.monotonic()
    if wait:
        with err.status(f"{sum(one.before for one in told)} -> {instances} processors"):
            with_platform(partial(_until_scaled, settings, instances))
    seconds = round(time.monotonic() - began, 1)
    if json:
        write_json({"instances": instances, "before": sum(one.before for one in told), "seconds": seconds})
        return
    for one in told:
        out.print(f"process {one.supervisor.pid}: {one.before} -> {one.wanted}")
    if wait:
        out.print(f"done after {seconds} s" + ("" if instances else ": nothing is applied any more"))


async def _until_scaled(settings: Settings, instances: int, platform: Platform) -> None:
    """Raises LocalError where that takes longer than a server may take to start."""
    until = time.monotonic() + settings.start_timeout
    while not _scaled(rosters(settings), instances, await partitions(platform), settings.session):
        if time.monotonic() > until:
            raise LocalError(f"not done after {settings.start_timeout:.0f} s; see {settings.root / 'logs'}")
        await asyncio.sleep(LOOK)


def _scaled(found: Sequence[Roster], instances: int, standing: Sequence[PartitionStatus], session: float) -> bool:
    """Whether just so many run, each partition has an owner, and each of them owns some, if there are enough."""
    running = [pid for roster in found for pid in roster.running]
    if len(running) != instances:
        return False
    if not instances:
        return True
    owners = {one.owner.rpartition(":")[2] for one in standing if one.owner}
    working = sum(str(pid) in owners for pid in running)
    return all(one.owned(session) for one in standing) and working >= min(instances, _largest(standing))


def _largest(standing: Sequence[PartitionStatus]) -> int:
    """The number of partitions of the largest category: no more processors than that are given any."""
    return max((one.partition + 1 for one in standing), default=0)


@app.command()
def status(
    over: Annotated[float, typer.Option(min=0.2, max=60, help="Seconds over which rates are measured.")] = 2.0,
    order: Annotated[Order, typer.Option(help="By number, busiest first, or most behind first.")] = Order.NUMBER,
    json: JsonFlag = False,
) -> None:
    """Show who applies what, how far and how fast, whether the lag drains and by when, and where time goes."""
    session = Settings().session
    found = with_platform(partial(_looked, over, session))
    if json:
        write_json(_plain(found, order, session))
        return
    _write_processes(found.workload)
    _write_categories(found.workload)
    _write_hottest(found)
    columns = ("partition", "position", "end", "last minute", "lag", "behind", "epoch", "owner", "parked")
    write_table(columns, (_row(one, session) for one in ordered(found.partitions, order)))


@dataclass(frozen=True)
class Looked:
    """What `status` has found; `busiest` is the hottest partition's stream with most events, and how many."""

    workload: Workload
    partitions: list[PartitionStatus]
    busiest: tuple[str, int] | None


async def _looked(over: float, session: float, platform: Platform) -> Looked:
    before, began = await partitions(platform), time.monotonic()
    with err.status(f"measuring for {over:g} s"):
        await asyncio.sleep(over)
    after = await partitions(platform)
    found = workload(before, after, time.monotonic() - began, session)
    hottest = found.hottest
    at = platform.spaces.at(hottest.category, hottest.partition) if hottest is not None else None
    return Looked(found, after, await busiest_stream(at) if at is not None else None)


async def partitions(platform: Platform) -> list[PartitionStatus]:
    """How every partition stands."""
    return await survey(platform.spaces, platform.reader)


def _plain(found: Looked, order: Order, session: float) -> dict[str, Any]:
    work = found.workload
    return {
        "total": _load(work.total),
        "categories": [_load(one) for one in work.categories],
        "processes": [
            {"name": one.name, "partitions": one.partitions, "seconds": _seconds(one), **_rates(one.load)}
            for one in work.processes
        ],
        "hottest_partition": f"{work.hottest.category}-{work.hottest.partition}" if work.hottest else None,
        "hottest_stream": found.busiest[0] if found.busiest else None,
        "partitions": present.of_partitions(ordered(found.partitions, order), session).partitions,
    }


def _load(load: Load) -> dict[str, Any]:
    return {"name": load.name, "partitions": load.partitions, "owned": load.owned, **_rates(load)}


def _rates(load: Load) -> dict[str, Any]:
    left = load.drained_in
    return {
        "lag_records": load.lag,
        "lag_seconds": round(load.behind, 3),
        "arriving_per_second": round(load.arriving, 1),
        "applied_per_second": round(load.applied, 1),
        "course": load.course.value,
        "drained_in_seconds": None if left is None else round(left, 1),
    }


def _write_processes(found: Workload) -> None:
    if not found.processes:
        err.print("[yellow]no processor runs[/yellow]: start one with `lighthouse streams run`")
        return
    columns = ("processor", "records/s", "lag", "P2 wait", "P3 admit", "P4 fold", "P5 commit", "partitions")
    rows = (
        (one.name, round(one.load.applied), one.load.lag, *_steps(one), names(one.partitions))
        for one in found.processes
    )
    write_table(columns, rows, wrap=True)
    out.print()


def _seconds(one: Process) -> dict[str, float]:
    """A process's seconds by step."""
    return {"p2": one.waited, "p3": one.spent.p3, "p4": one.spent.p4, "p5": one.spent.p5}


def _steps(one: Process) -> list[str]:
    """Each step's part of the time that was told; partitions that are applied beside each other count each."""
    seconds = [max(0.0, each) for each in _seconds(one).values()]
    whole = sum(seconds)
    return [f"{100 * each / whole:.0f} %" if whole else "" for each in seconds]


def _write_categories(found: Workload) -> None:
    columns = ("category", "owned", "arriving/s", "applied/s", "lag", "behind", "course")
    rows = (
        (
            one.name,
            f"{one.owned}/{one.partitions}",
            round(one.arriving),
            round(one.applied),
            one.lag,
            f"{one.behind:.1f} s" if one.behind else "",
            _course(one),
        )
        for one in (*found.categories, found.total)
    )
    write_table(columns, rows)
    out.print()


def _course(load: Load) -> str:
    match load.course:
        case Course.NONE:
            return "nothing waits"
        case Course.DRAINING:
            return f"draining, done in {_span(load.drained_in or 0.0)}"
        case Course.WORSENING:
            return f"worsening by {load.arriving - load.applied:,.0f} records/s: scale out"
        case Course.STANDING:
            return "standing still"
        case _:
            return "steady"


def _span(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _write_hottest(found: Looked) -> None:
    if (hottest := found.workload.hottest) is None:
        return
    told = f"hottest partition: {hottest.category}-{hottest.partition}, {hottest.recent:,} records in the last minute"
    if found.busiest is not None:
        told += f"; in it {found.busiest[0]}, with {found.busiest[1]:,} of the last events"
    out.print(told + "\n", soft_wrap=True)


def _row(one: PartitionStatus, session: float) -> tuple[object, ...]:
    behind = f"{one.behind:.1f} s" if one.behind else ""
    name = f"{one.category}-{one.partition}"
    return name, one.position, one.end, one.recent, one.lag, behind, one.epoch, _owner(one, session), one.parked


def _owner(one: PartitionStatus, session: float) -> str:
    if one.stopped:
        return one.stopped
    who = one.tenure.owner if one.tenure is not None else "somebody"
    if not one.owned(session):
        return f"none, last {who}" if one.epoch else "none"
    return f"{who} has let go" if one.tenure is not None and one.tenure.left else who
