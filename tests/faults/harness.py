"""The stage of a fault test: topics of its own on the shared Kafka, processors as real processes, and the checker."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bridge.settings import Settings
from bridge.spaces import Space
from bridge.store.contract import Mark
from bridge.wiring import Base, Platform, create_topics, open_base, open_platform, push_schemas
from tests.checker import CATEGORY, Checker
from tests.faults.journal import Journal
from tests.forks import Forked, fork

CACHE = Path(os.environ.get("LIGHTHOUSE_CACHE", "~/.lighthouse/cache")).expanduser()
PARTITIONS = 4
PATIENCE = 30.0
STRIKE = "LIGHTHOUSE_STRIKE"
"""The environment variable that names the file by which processors are told where to end or stop themselves."""

ORDER = "order"


@dataclass
class Process:
    """A process that a test started, and its output."""

    name: str
    popen: Forked
    log: Path

    @property
    def pid(self) -> int:
        """Its number."""
        return self.popen.pid

    @property
    def output(self) -> str:
        """What it has written so far."""
        return self.log.read_text(errors="replace")

    async def says(self, text: str, times: int = 1) -> None:
        """Returns once it has written this text so often."""
        await eventually(lambda: self.output.count(text) >= times, PATIENCE, f"{self.name} says {text!r}")

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal."""
        self.popen.send_signal(number)

    @property
    def state(self) -> str:
        """The kernel's letter for its state: T is stopped, Z has ended and was not waited for."""
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]

    @property
    def alive(self) -> bool:
        """Whether it has not ended; a stopped process is alive."""
        return self.popen.poll() is None

    async def stopped(self) -> None:
        """Returns once it is stopped."""
        await eventually(lambda: self.state == "T", 10, f"{self.name} stopped")

    async def ended(self, seconds: float = PATIENCE) -> int:
        """The exit code, once it has ended; negative for a signal."""
        await eventually(lambda: self.popen.poll() is not None, seconds, f"{self.name} ended; {self.output[-2000:]}")
        return self.popen.wait()

    def kill(self) -> None:
        """Ends it, stopped or not."""
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.wait()


async def eventually(met: Callable[[], bool], seconds: float, what: str) -> None:
    """Returns once the condition holds; fails after that many seconds."""
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        await asyncio.sleep(0.01)


async def soon(met: Callable[[], Awaitable[bool]], seconds: float, what: str) -> None:
    """The same for a condition that must be awaited."""
    deadline = time.monotonic() + seconds
    while not await met():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        await asyncio.sleep(0.02)


@dataclass
class Stage:
    """A test's settings and directory, and the processes it started."""

    settings: Settings
    directory: Path
    processes: list[Process] = field(default_factory=list)

    def start(self, module: str, *arguments: str, more: Mapping[str, object] | None = None) -> Process:
        """Starts `python -m module`, with these settings and perhaps some others."""
        name = f"{module.rpartition('.')[2]}-{len(self.processes) + 1}"
        log = self.directory / f"{name}.log"
        environment = os.environ | variables(self.settings, more or {}) | {STRIKE: str(self.directory / ORDER)}
        log.touch()
        self.processes.append(Process(name, fork(module, *arguments, environment=environment, stdout=log), log))
        return self.processes[-1]

    def processor(self, **more: object) -> Process:
        """Starts a processor that strikes itself when it is told to."""
        return self.start("tests.faults.struck", more=more)

    def reactors(self) -> Process:
        """Starts the reactors."""
        return self.start("streams", "--role", "reactors")

    async def strike(self, step: str, how: signal.Signals) -> Process:
        """Lets the first processor that comes to the step send itself this signal; answers which one that was."""
        draft = self.directory / "draft"
        draft.write_text(f"{step} {how.value}")
        draft.rename(self.directory / ORDER)
        done = self.directory / f"{ORDER}.done"
        await eventually(done.exists, PATIENCE, f"a processor comes to {step}")
        pid = int(done.read_text())
        done.unlink()
        return next(process for process in self.processes if process.pid == pid)

    def end(self) -> None:
        """Ends every process."""
        for process in self.processes:
            process.kill()

    @asynccontextmanager
    async def platform(self, **more: object) -> AsyncIterator[Platform]:
        """A process's reads and writes, as an application has them; here, in the test's own process."""
        settings = self.settings.model_copy(update=dict(more))
        async with open_platform(settings) as platform:
            yield platform


def variables(settings: Settings, more: Mapping[str, object]) -> dict[str, str]:
    """The settings as environment variables."""
    values = settings.model_dump() | dict(more)
    return {f"LIGHTHOUSE_{name.upper()}": str(value) for name, value in values.items() if value is not None}


async def prepare(base: Base) -> None:
    """Creates the topics and registers the schemas, as a deployment does."""
    await create_topics(base)
    await push_schemas(base)


def spaces(platform: Platform) -> list[Space]:
    """The partitions of the category that the tests write."""
    return [platform.spaces.at(CATEGORY, number) for number in range(platform.spaces.categories[CATEGORY])]


async def epochs(platform: Platform) -> list[int]:
    """The owner's epoch of each partition."""
    return [(await mark_of(space)).epoch for space in spaces(platform)]


async def mark_of(space: Space) -> Mark:
    """The mark as it is now."""
    async with space.store.view() as view:
        return view.mark


async def owned(platform: Platform, seconds: float = PATIENCE, since: float = -math.inf) -> None:
    """Returns once every partition has an owner that beat just now, and after the monotonic moment `since`.

    Of a process that was killed, the last beat stays young for a while: only a later one is another's.
    """

    async def living() -> bool:
        return all([await _lives(space, since) for space in spaces(platform)])

    await soon(living, seconds, "every partition has an owner")


async def _lives(space: Space, since: float) -> bool:
    looked = time.monotonic()
    async with space.store.view() as view:
        return view.mark.position >= 0 and view.beat_age < min(1.5, looked - since)


@asynccontextmanager
async def staged(settings: Settings, directory: Path) -> AsyncIterator[Stage]:
    """A stage with its topics made; ends every process when it is left."""
    async with open_base(settings) as base:
        await prepare(base)
    stage = Stage(settings, directory)
    try:
        yield stage
    finally:
        stage.end()


@asynccontextmanager
async def playing(stage: Stage, processors: int = 2, **more: object) -> AsyncIterator[tuple[Platform, Checker]]:
    """Starts processors and opens the platform; returns the checker of the run, whose check the test calls itself."""
    for _ in range(processors):
        stage.processor()
    async with stage.platform(**more) as platform:
        await owned(platform)
        yield platform, Checker(platform, Journal())
