"""`status` and `down`: what runs here, and its end."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import asdict
from typing import Annotated, Any

import psutil
import typer

from bridge.cli.console import JsonFlag, err, out, with_platform, write_json, write_table
from bridge.cli.streams import partitions
from bridge.errors import LighthouseError
from bridge.local import Running, running
from bridge.local import wipe as wipe_home
from bridge.settings import Settings
from bridge.survey import CategoryStatus, PartitionStatus, by_category
from bridge.times import rfc3339

PATIENCE = 180.0
"""Seconds for everything to end; the first end writes caches, which takes long on a busy machine."""


def status(json: JsonFlag = False) -> None:
    """Show what runs for this home, and how each category stands."""
    settings = Settings()
    active = running(settings)
    found = _partitions() if active or settings.kafka_bootstrap else []
    rows = [_category(one) for one in by_category(found, settings.session)]
    if json:
        write_json({"home": str(settings.root), "processes": _processes(active), "categories": rows})
        return
    out.print(f"home {settings.root}: {_since(active)}")
    if active:
        write_table(("process", "pid"), ((one["name"], one["pid"]) for one in _processes(active)))
    if rows:
        write_table(list(rows[0]), (list(row.values()) for row in rows))


def _partitions() -> list[PartitionStatus]:
    try:
        return with_platform(partitions)
    except LighthouseError as error:
        err.print(f"[yellow]{error}[/yellow]")
        return []


def _since(active: Running | None) -> str:
    return f"running since {active.since:%Y-%m-%d %H:%M:%S} UTC (pid {active.owner.pid})" if active else "nothing runs"


def _processes(active: Running | None) -> list[dict[str, Any]]:
    return [{"name": one.name, "pid": one.pid} for one in active.processes] if active else []


def _category(one: CategoryStatus) -> dict[str, Any]:
    row = asdict(one)
    effective = row.pop("effective")
    return {**row, "effective_time": rfc3339(effective)}


def down(
    wipe: Annotated[bool, typer.Option("--wipe", help="Forget the data, too: log, histories, blobs.")] = False,
    json: JsonFlag = False,
) -> None:
    """End what `lighthouse up` started for this home."""
    settings = Settings()
    active = running(settings)
    if active is not None:
        _end(active)
    if wipe:
        wipe_home(settings)
    if json:
        write_json({"ended": active.owner.pid if active else None, "wiped": wipe})
        return
    out.print(f"ended process {active.owner.pid}" if active else "nothing was running")
    if wipe:
        out.print(f"forgot the data in {settings.root}")


def _end(active: Running) -> None:
    """SIGINT to the process that started the others; it ends them, and itself."""
    owner = psutil.Process(active.owner.pid)
    os.kill(owner.pid, signal.SIGINT)
    until = time.monotonic() + PATIENCE
    with err.status(f"ending process {owner.pid}"):
        while _lives(owner):
            if time.monotonic() > until:
                raise LighthouseError(f"process {owner.pid} did not end within {PATIENCE:.0f} s; end it by hand")
            time.sleep(0.1)


def _lives(process: psutil.Process) -> bool:
    """Whether it still runs; one that has ended and whose parent has not asked does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
