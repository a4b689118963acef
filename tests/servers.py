"""Real servers for tests: Kafka, registry, a processor and the API, each a process of its own."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

from bridge.local import ports, start_kafka, start_registry
from bridge.settings import Settings
from bridge.wiring import create_topics, open_base, push_schemas
from tests.forks import Forked, fork
from tests.installed import python_path

PATIENCE = 60.0
SITE = "site"
"""The folder of a home in which applications lie that only its own processes find."""

CACHE = Path(os.environ.get("LIGHTHOUSE_CACHE", "~/.lighthouse/cache")).expanduser()


@contextmanager
def servers(home: Path) -> Iterator[Settings]:
    """Kafka and a registry; answers the settings with which they are found."""
    settings = Settings(
        home=home, cache=CACHE, kafka_port=0, registry_port=0, partitions=4, lmdb_map_mb=256, deadline=5
    )
    with ExitStack() as stack:
        kafka = start_kafka(settings)
        stack.callback(kafka.stop)
        registry = start_registry(settings)
        stack.callback(registry.stop)
        addresses = {"kafka_bootstrap": kafka.bootstrap, "registry_url": registry.url}
        yield settings.model_copy(update={**addresses, "api_port": ports.pick(1)[0]})


async def prepare(settings: Settings) -> None:
    """Makes the topics and pushes the schemas of every installed application."""
    async with open_base(settings) as base:
        await create_topics(base)
        await push_schemas(base)


def environment(settings: Settings) -> dict[str, str]:
    """The variables that give another process these settings, and what is installed for them alone."""
    told = {f"LIGHTHOUSE_{name.upper()}": str(value) for name, value in settings.model_dump(exclude_unset=True).items()}
    site = settings.root / SITE
    if site.exists():
        told["PYTHONPATH"] = python_path(site)
    return os.environ | told


@contextmanager
def running(settings: Settings, *command: str) -> Iterator[Forked]:
    """`python -m command` with these settings; its output is in the home, in `<module>-<port>.log`."""
    log = settings.root / f"{command[0]}-{settings.api_port}.log"
    process = fork(*command, environment=environment(settings), stdout=log)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(PATIENCE)


def url(settings: Settings) -> str:
    """The API's address."""
    return f"http://127.0.0.1:{settings.api_port}"


def until(met: Callable[[], bool], what: str) -> None:
    """Returns once the condition holds; fails after a while."""
    deadline = time.monotonic() + PATIENCE
    while not met():
        assert time.monotonic() < deadline, f"not within {PATIENCE} s: {what}"
        time.sleep(0.02)


def ready(settings: Settings) -> bool:
    """Whether the API answers that it serves every partition."""
    try:
        return httpx.get(f"{url(settings)}/health/ready", trust_env=False, timeout=PATIENCE).is_success
    except httpx.TransportError:
        return False
