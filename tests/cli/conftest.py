"""One `lighthouse up` for all command line tests, started as a user starts it, in a home of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from bridge.local import ports
from bridge.local.addresses import located
from bridge.settings import Settings
from tests.forks import completed

LIGHTHOUSE = Path(sys.executable).with_name("lighthouse")
PATIENCE = 240.0


@dataclass(frozen=True)
class Cli:
    """The command line with an environment."""

    environment: dict[str, str]
    directory: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.environment['LIGHTHOUSE_API_PORT']}"

    @property
    def settings(self) -> Settings:
        """The same settings, for a test that looks at the platform from within."""
        found = {
            name.removeprefix("LIGHTHOUSE_").lower(): value
            for name, value in self.environment.items()
            if name.startswith("LIGHTHOUSE_")
        }
        return Settings.model_validate(found)

    @property
    def kafka(self) -> str:
        """The bootstrap servers of the Kafka that `up` has started."""
        return located(self.settings).kafka_bootstrap

    def run(self, *arguments: str, stdin: str = "", code: int = 0) -> subprocess.CompletedProcess[str]:
        """Runs a verb; fails when its exit code is another."""
        environment, directory = self.environment, self.directory
        done = completed("bridge.cli", *arguments, environment=environment, directory=directory, stdin=stdin)
        assert done.returncode == code, f"{arguments}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def up(self, *arguments: str) -> Up:
        """Starts `lighthouse up`; returns once it is ready."""
        started = Up(self, arguments)
        started.await_ready()
        return started


class Up:
    """A running `lighthouse up`."""

    def __init__(self, cli: Cli, arguments: Sequence[str]) -> None:
        self.output = cli.directory / f"up-{time.monotonic_ns()}.log"
        self.began = time.monotonic()
        with self.output.open("wb") as file:
            self.process = subprocess.Popen(
                [str(LIGHTHOUSE), "up", *arguments],
                env=cli.environment,
                cwd=cli.directory,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    def await_ready(self) -> None:
        """Until it says so; fails with what it printed when it ends before."""
        until = time.monotonic() + PATIENCE
        while "Try next" not in self.text:
            assert self.process.poll() is None, f"up ended with {self.process.returncode}:\n{self.text}"
            assert time.monotonic() < until, f"up is not ready:\n{self.text}"
            time.sleep(0.1)

    @property
    def text(self) -> str:
        """What it has printed."""
        return self.output.read_text(errors="replace")

    def stop(self) -> int:
        """Ctrl-C; answers the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(PATIENCE)


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    home = tmp_path_factory.mktemp("cli-home")
    cache = os.environ.get("LIGHTHOUSE_CACHE", str(Path("~/.lighthouse/cache").expanduser()))
    settings = {
        "LIGHTHOUSE_HOME": str(home),
        "LIGHTHOUSE_CACHE": cache,
        "LIGHTHOUSE_KAFKA_PORT": "0",
        "LIGHTHOUSE_REGISTRY_PORT": "0",
        "LIGHTHOUSE_POSTGRES_PORT": "0",
        "LIGHTHOUSE_REDIS_PORT": "0",
        "LIGHTHOUSE_API_PORT": str(ports.pick(1)[0]),
        "LIGHTHOUSE_PARTITIONS": "4",
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LIGHTHOUSE_")}
    return Cli(kept | settings, tmp_path_factory.mktemp("cli"))


@pytest.fixture(scope="module")
def up(cli: Cli) -> Iterator[Up]:
    started = cli.up("--instances", "1")
    yield started
    assert started.stop() == 0, started.text
