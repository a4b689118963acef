"""One row's corner of the servers: its topics, and the processes of the platform that it runs."""

from __future__ import annotations

import asyncio
import math
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace

import httpx

from benchmarks.figure import NotMeasured
from benchmarks.machine import ROOT
from bridge.settings import Settings
from bridge.spaces import Spaces
from bridge.store.factory import open_stores
from bridge.wiring import create_topics, open_base, push_schemas

PATIENCE = 60.0
STOP_SECONDS = 15.0
LOOK = 0.02
LAST_WORDS = 500
"""Characters of a log that are shown."""

Process = subprocess.Popen[bytes]


@dataclass(frozen=True)
class Scene:
    """The settings of one row, and what its processes find in their environment beside them."""

    settings: Settings
    variables: Mapping[str, str] = field(default_factory=dict)

    def anew(self, name: str) -> Scene:
        """The same topics with empty stores and a new group."""
        stores = f"lmdb://{self.settings.root / f'stores-{name}'}"
        update = {"history_store": stores, "group": f"{self.settings.group}-{name}"}
        return replace(self, settings=self.settings.model_copy(update=update))

    async def prepare(self) -> None:
        """Makes the topics and pushes the schemas, as a deployment does."""
        async with open_base(self.settings) as base:
            await create_topics(base)
            await push_schemas(base)

    @contextmanager
    def process(self, module: str, *arguments: str) -> Iterator[Process]:
        """A Python process with this row's settings; its output goes to a file in the row's home."""
        process = self.start(module, *arguments)
        try:
            yield process
        finally:
            end(process)

    def start(self, module: str, *arguments: str) -> Process:
        """The same, to be ended by the caller."""
        variables = {**environment(self.settings), **self.variables}
        return self.launch(module, [sys.executable, "-m", module, *arguments], variables)

    def launch(self, name: str, command: Sequence[str], variables: Mapping[str, str]) -> Process:
        """Any program at the root of the checkout; its output goes to a file in the row's home."""
        log = self.settings.root / "logs" / f"{name}-{time.monotonic_ns()}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            return subprocess.Popen(command, env={**os.environ, **variables}, cwd=ROOT, stdout=output, stderr=output)

    def last_words(self, name: str) -> str:
        """The end of what the program that was launched last under this name has put out."""
        logs = sorted((self.settings.root / "logs").glob(f"{name}-*.log"))
        return logs[-1].read_text(errors="replace")[-LAST_WORDS:].strip()

    def start_processor(self) -> Process:
        """One processor, to be ended by the caller."""
        return self.start("streams", "--role", "processor")

    @asynccontextmanager
    async def processors(self, count: int) -> AsyncIterator[list[Process]]:
        """So many. All are asked to end at once: the last ones would otherwise take over what the first one left."""
        with ExitStack() as stack:
            running = [stack.enter_context(self.process("streams", "--role", "processor")) for _ in range(count)]
            yield running
            for one in running:
                one.terminate()
            await asyncio.gather(*(asyncio.to_thread(one.wait, STOP_SECONDS) for one in running))

    @asynccontextmanager
    async def processor(self, category: str) -> AsyncIterator[Process]:
        """One processor that has taken every partition of the category."""
        with self.process("streams", "--role", "processor") as process:
            async with self.spaces(category) as spaces:
                await until(lambda: owned(spaces), "a processor that owns every partition", [process])
            yield process

    @asynccontextmanager
    async def api(self) -> AsyncIterator[Process]:
        """The API, ready. Raises NotMeasured where there is none."""
        require_module("bridge.api", "bridge/api/__main__.py")
        with self.process("bridge.api") as process:
            url = f"http://{self.settings.api_host}:{self.settings.api_port}/health/ready"
            await until(lambda: answers(url), f"an answer of {url}", [process])
            yield process

    @asynccontextmanager
    async def spaces(self, category: str) -> AsyncIterator[Spaces]:
        """The partitions of a category as a reader sees them. One process may open a store only once at a time."""
        stores = open_stores(self.settings.history_store, self.settings)
        try:
            yield Spaces(stores, self.settings.topic_prefix, {category: self.settings.partitions})
        finally:
            await stores.close()


def environment(settings: Settings) -> Mapping[str, str]:
    """The settings as the variables that a child process reads them from."""
    values = settings.model_dump(mode="json", exclude_none=True)
    return {f"LIGHTHOUSE_{name.upper()}": str(value) for name, value in values.items()}


def require_module(module: str, file: str) -> None:
    """Raises NotMeasured where a part of the platform is not there yet."""
    if not (ROOT / file).exists():
        raise NotMeasured(f"{module} is not there: {file} is missing")


async def owned(spaces: Spaces) -> bool:
    """Whether each partition has a living owner and has caught up with what P1 found."""
    for space in spaces.all():
        async with space.store.view() as view:
            if view.mark.position < 0 or view.beat_age > 2.0:
                return False
    return True


async def applied(spaces: Spaces) -> int:
    """How many records the category's partitions have applied in all."""
    total = 0
    for space in spaces.all():
        async with space.store.view() as view:
            total += max(0, view.mark.position)
    return total


async def epochs(spaces: Spaces) -> list[int]:
    """Each partition's owner epoch."""
    found = []
    for space in spaces.all():
        async with space.store.view() as view:
            found.append(view.mark.epoch)
    return found


async def answers(url: str) -> bool:
    """Whether a GET is answered with success."""
    try:
        async with httpx.AsyncClient(timeout=2.0, trust_env=False) as client:
            return (await client.get(url)).is_success
    except httpx.HTTPError:
        return False


async def until(
    condition: Callable[[], Awaitable[bool]],
    what: str,
    needed: Sequence[Process] = (),
    patience: float = PATIENCE,
    every: float = LOOK,
) -> None:
    """Waits until the condition holds; NotMeasured when it does not in time, or when a needed process has died."""
    deadline = time.monotonic() + patience
    while not await condition():
        for process in needed:
            if process.poll() is not None:
                raise NotMeasured(f"waited for {what}, but process {process.args!r} ended with {process.returncode}")
        if time.monotonic() > deadline:
            raise NotMeasured(f"waited {patience:.0f} s for {what}")
        await asyncio.sleep(every)


def end(process: Process) -> None:
    """SIGTERM, and SIGKILL where that does not help."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def bounded(width: int, total: int) -> int:
    """How many each of `width` workers does so that all do at least `total`."""
    return math.ceil(total / width)
