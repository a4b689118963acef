"""`lighthouse up` starts again what ends of its servers, and the platform goes on with the same data."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from bridge.errors import LocalError
from bridge.local.home import running
from bridge.local.postgres import find_programs
from bridge.local.redis import find_program
from tests.cli.conftest import Cli, Up
from tests.forks import completed

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

AGAIN = 120.0
STOPPED = 60.0


@pytest.fixture
def up(cli: Cli) -> Iterator[Up]:
    """With every server that there is, each of one process."""
    try:
        find_programs(cli.settings)
        find_program(cli.settings)
    except LocalError as error:
        pytest.skip(str(error))
    started = cli.up("--instances", "1", "--history", "postgres", "--hot", "redis")
    yield started
    started.stop()


def test_a_server_that_is_killed_serves_again(cli: Cli, up: Up) -> None:
    append(cli, 0)
    for number, name in enumerate(("postgres", "redis-1", "kafka-1"), 1):
        kill(cli, up, name)
        append(cli, number)
    os.kill(pid(cli, "postgres"), signal.SIGKILL)
    until(lambda: up.text.count("postgres was ended by SIGKILL") == 2, up)
    assert "Unable connect" not in up.text, "one line for what happened, none for each attempt to connect"
    began = time.monotonic()
    assert up.stop() == 0, up.text
    assert time.monotonic() - began < STOPPED, "Ctrl-C waits for no server that is to be started again"


def kill(cli: Cli, up: Up, name: str) -> None:
    """Returns when another process serves instead, and that was said."""
    before = pid(cli, name)
    os.kill(before, signal.SIGKILL)
    until(lambda: pid(cli, name) not in (0, before), up)
    until(lambda: f"{name} is started again" in up.text, up)
    assert f"{name} was ended by SIGKILL" in up.text


def pid(cli: Cli, name: str) -> int:
    """A server's process id, 0 where it does not run."""
    found = running(cli.settings)
    return next((one.pid for one in found.processes if one.name == name), 0) if found else 0


def append(cli: Cli, version: int) -> None:
    """Appends an event to a stream of `version` events, and reads what all of them come to, as soon as that is served.

    Said twice under one name, it is appended once.
    """
    kind, data = ("MoneyDeposited", {"amount": 1}) if version else ("AccountOpened", {"owner": "Ada"})
    line = json.dumps({"stream": "account/kept", "type": kind, "data": data})
    deadline = time.monotonic() + AGAIN
    while (done := produced(cli, version, line)).returncode:
        assert time.monotonic() < deadline, done.stderr
    state = json.loads(cli.run("state", "account/kept", "--json").stdout)["state"]
    assert (state["owner"], state["balance"]) == ("Ada", version)


def produced(cli: Cli, version: int, line: str) -> subprocess.CompletedProcess[str]:
    arguments = ("produce", "--name", f"event-{version}")
    return completed("bridge.cli", *arguments, environment=cli.environment, directory=cli.directory, stdin=line)


def until(holds: Callable[[], bool], up: Up) -> None:
    deadline = time.monotonic() + AGAIN
    while not holds():
        assert time.monotonic() < deadline, up.text
        time.sleep(0.1)
