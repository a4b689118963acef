"""`up`: Kafka, registry, topics, schemas, processors and API from one command, in the foreground, until Ctrl-C."""

from __future__ import annotations

import asyncio
import logging
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Protocol

import httpx
import typer
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from bridge.cli.console import err, out
from bridge.cli.interrupts import Interrupts, Stopped
from bridge.errors import LighthouseError, LocalError
from bridge.local import start_kafka, start_registry
from bridge.local.addresses import choose_stores, located, stores_of
from bridge.local.fleet import MOST, Fleet
from bridge.local.postgres import LOCAL_POSTGRES, start_postgres
from bridge.local.redis import LOCAL_CLUSTER, LOCAL_REDIS, start_redis, start_redis_cluster
from bridge.local.services import Service, stop_all
from bridge.local.upkeep import Served, keep
from bridge.settings import Settings
from bridge.store.factory import migrate_stores
from bridge.survey import CategoryStatus, PartitionStatus, by_category, survey
from bridge.wiring import Platform, create_topics, open_base, open_platform, push_schemas

TRY_NEXT = """
[bold]Look[/bold] at it in a browser: {url}
[bold]Try next[/bold], in another terminal:
  {lighthouse} status
  {lighthouse} events {stream} --limit 5
  curl -s {url}/v1/streams/{stream}/state?version=0
"""


class Server(Served, Protocol):
    """What the local servers have in common."""

    @property
    def training(self) -> bool:
        """Whether its end writes the JVM's start cache."""

    def stop(self) -> None:
        """Ends it."""


Start = Callable[[Settings, Callable[[str], None]], Server]
LOCAL_STORES: dict[str, Start] = {
    LOCAL_POSTGRES: start_postgres,
    LOCAL_REDIS: start_redis,
    LOCAL_CLUSTER: start_redis_cluster,
}


@dataclass(frozen=True)
class Plan:
    """What `up` was asked for."""

    settings: Settings
    instances: int
    apis: int
    then: tuple[str, ...]
    interrupts: Interrupts = field(default_factory=Interrupts)

    @property
    def url(self) -> str:
        """Where the API answers."""
        return f"http://{self.settings.api_host}:{self.settings.api_port}"


def up(
    instances: Annotated[int, typer.Option(min=0, max=MOST, help="Processors to run, each a process.")] = 2,
    apis: Annotated[int, typer.Option(min=1, max=16, help="API processes behind the one address.")] = 1,
    brokers: Annotated[int | None, typer.Option(min=1, max=3, help="Brokers of a new local Kafka.")] = None,
    history: Annotated[
        str | None, typer.Option(help="History store from now on: lmdb, postgres (a local one), or a URL.")
    ] = None,
    hot: Annotated[
        str | None, typer.Option(help="Hot store from now on: redis, redis-cluster (local ones), a URL, or none.")
    ] = None,
    then: Annotated[list[str] | None, typer.Option(help="A command to run once all is ready.")] = None,
    once: Annotated[bool, typer.Option("--once", help="Stop again as soon as all is ready.")] = False,
) -> None:
    """Start everything and stay in the foreground; Ctrl-C ends it cleanly, the data stays."""
    asked = {"brokers": brokers, "history_store": history, "hot_store": hot}
    settings = Settings().model_copy(update={name: value for name, value in asked.items() if value is not None})
    plan = Plan(settings, instances, apis, tuple(then or ()))
    with ExitStack() as stack:
        stack.enter_context(plan.interrupts.told())
        try:
            _run(plan, stack, once)
        except Stopped:
            err.print("stopping")


def _run(plan: Plan, stack: ExitStack, once: bool) -> None:
    began = time.monotonic()
    if plan.settings.history_store or plan.settings.hot_store:
        choose_stores(plan.settings, stores_of(plan.settings))
    running = servers(plan.settings, stack)
    settings = located(plan.settings)
    with err.status("topics and schemas"):
        plan.interrupts.run(_prepare(settings))
    fleet, apis = Fleet(settings, plan.instances), _apis(settings, plan.apis)
    stack.callback(stop_all, apis)
    stack.callback(fleet.stop)
    fleet.start()
    for api in apis:
        api.start()
    with err.status("processors and API"):
        _await_ready(plan, [*fleet.services, *apis])
    err.print(f"[green]ready[/green] after {time.monotonic() - began:.1f} s")
    for command in plan.then:
        subprocess.run(shlex.split(command), check=False)
    if not once:
        _stay(plan, running, fleet, apis)


def servers(settings: Settings, stack: ExitStack) -> Sequence[Server]:
    """Starts what no address is set for, all at once."""
    starts: list[Start] = []
    if not settings.kafka_bootstrap:
        starts.append(start_kafka)
    if not settings.registry_url:
        starts.append(start_registry)
    chosen = stores_of(settings)
    starts += [start for url, start in LOCAL_STORES.items() if url in (chosen.history, chosen.hot)]
    with err.status("starting") as shown, ThreadPoolExecutor(len(starts) or 1) as pool:
        futures = [pool.submit(start, settings, lambda text: shown.update(text)) for start in starts]
        started: list[Server] = []
        stack.callback(_stop_servers, started)
        for future in futures:
            started.append(future.result())  # noqa: PERF401 - what has started must be stopped if the next one fails
    return started


def _stop_servers(servers: list[Server]) -> None:
    """All at once: the first stop after an installation writes the JVM's start cache, which takes some seconds."""
    note = ", writing caches for a faster next start" if any(server.training for server in servers) else ""
    with err.status(f"stopping the servers{note}"), ThreadPoolExecutor(len(servers) or 1) as pool:
        for done in [pool.submit(server.stop) for server in servers]:
            done.result()


async def _prepare(settings: Settings) -> None:
    for url in filter(None, (settings.history_store, settings.hot_store)):
        await migrate_stores(url, settings)
    async with open_base(settings) as base:
        _, differences = await create_topics(base)
        for wrong in differences:
            err.print(f"[yellow]{wrong}[/yellow]")
        await push_schemas(base)


def _apis(settings: Settings, count: int) -> list[Service]:
    """API processes behind one address: the kernel gives each connection to one of them."""
    names = ["api"] if count == 1 else [f"api-{number}" for number in range(1, count + 1)]
    return [
        Service(name, ("bridge.api", *(["--shared"] if count > 1 else [])), settings.root / "logs") for name in names
    ]


def _await_ready(plan: Plan, services: list[Service]) -> None:
    """Until the API says that every partition has a living owner. Raises LocalError when a process died or none did."""
    until = time.monotonic() + plan.settings.start_timeout
    with httpx.Client(base_url=plan.url, timeout=2.0, trust_env=False) as http:
        while not _ready(http):
            for service in services:
                service.check()
            if time.monotonic() > until:
                raise LocalError(f"not ready after {plan.settings.start_timeout:.0f} s; see {services[0].log.parent}")
            time.sleep(0.1)


def _ready(http: httpx.Client) -> bool:
    try:
        return http.get("/health/ready").is_success
    except httpx.HTTPError:
        return False


def _stay(plan: Plan, running: Sequence[Server], fleet: Fleet, apis: Sequence[Service]) -> None:
    """The live status, once a second, and a new process for each that dies."""

    async def stay() -> None:
        await asyncio.gather(_watch(plan.settings, fleet, apis), keep(running, _tell))

    stream = f"project/{Path.cwd().name}"
    out.print(f"\n[bold]{plan.url}[/bold]  (its API: {plan.url}/docs)")
    out.print(TRY_NEXT.format(lighthouse=sys.argv[0], stream=stream, url=plan.url))
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())  # which tells each attempt to connect
    plan.interrupts.run(stay())


async def _watch(settings: Settings, fleet: Fleet, apis: Sequence[Service]) -> None:
    async with open_platform(settings) as platform:
        with Live(console=err, refresh_per_second=2, transient=True) as live:
            applied, trouble = 0, ""
            while True:
                found, trouble = await _survey(platform, trouble)
                total = sum(max(one.position, 0) for one in found)
                categories = by_category(found, settings.session)
                live.update(_picture(categories, [*fleet.services, *apis], total - applied if applied else 0))
                applied = total
                fleet.tend()
                for api in apis:
                    api.revive()
                await asyncio.sleep(1.0)


async def _survey(platform: Platform, before: str) -> tuple[list[PartitionStatus], str]:
    """The partitions, or what is wrong, which is printed where it is another thing than before."""
    try:
        return await survey(platform.spaces, platform.reader), ""
    except LighthouseError as error:
        if str(error) != before:
            _tell(str(error))
        return [], str(error)


def _tell(line: str) -> None:
    err.print(f"[yellow]{escape(line)}[/yellow]", soft_wrap=True)


def _picture(found: list[CategoryStatus], services: list[Service], rate: int) -> Table:
    table = Table(box=None, header_style="bold")
    for name in ("category", "records", "lag", "owned", "parked"):
        table.add_column(name, justify="left" if name == "category" else "right")
    for one in found:
        owned = f"{one.owned}/{one.partitions}"
        table.add_row(one.category, f"{one.records:,}", f"{one.lag:,}", owned, str(one.parked))
    alive = sum(service.alive for service in services)
    table.caption = f"{alive}/{len(services)} processes, {rate:,} records/s. Ctrl-C stops everything."
    return table
