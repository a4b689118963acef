"""A server's process that ends is started again, each time after a longer pause, and each change is told."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bridge.local.child import Child
from bridge.local.upkeep import LONGEST, Kept

FOREVER = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]
PATIENCE = 30.0


@dataclass
class Server:
    """A server of one process."""

    children: tuple[Child, ...]
    recorded: list[int] = field(default_factory=list)

    def record(self) -> None:
        self.recorded.append(self.children[0].pid)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    child = Child("thing", FOREVER, tmp_path / "logs" / "thing.log", tmp_path)
    child.start()
    yield Server((child,))
    child.kill()


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def kept(server: Server, said: list[str]) -> Kept:
    return Kept(server, server.children[0], said.append)


def end(child: Child) -> None:
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait(PATIENCE)


def test_what_runs_is_left_alone(server: Server, kept: Kept, said: list[str]) -> None:
    pid = server.children[0].pid
    kept.tend(100.0)
    assert (server.children[0].pid, said) == (pid, [])


def test_what_was_killed_is_started_again_after_a_pause(server: Server, kept: Kept, said: list[str]) -> None:
    (child,) = server.children
    end(child)
    for now in (100.0, 100.9, 101.0, 101.5):
        kept.tend(now)
        assert (child.exit_code is None) == (now >= 101.0)
    assert server.recorded == [child.pid]
    assert said == [
        f"thing was ended by SIGKILL; see the end of its log ({child.log}); it is started again in 1 s",
        "thing is started again",
    ]


def test_the_pause_grows_up_to_a_bound_and_begins_anew_after_a_long_life(
    server: Server, kept: Kept, said: list[str]
) -> None:
    (child,) = server.children
    end(child)
    now, pauses = 100.0, []
    for _ in range(7):
        kept.tend(now)
        pauses.append(float(said[-1].removesuffix(" s").rpartition(" ")[2]))
        now += pauses[-1]
        kept.tend(now)
        end(child)
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, LONGEST, LONGEST]
    kept.tend(now)
    kept.tend(now + LONGEST)
    kept.tend(now + 2 * LONGEST + 1.0)
    end(child)
    kept.tend(now + 2 * LONGEST + 2.0)
    assert said[-1].endswith("it is started again in 1 s")


def test_what_cannot_be_started_is_tried_again(server: Server, kept: Kept, said: list[str], tmp_path: Path) -> None:
    (child,) = server.children
    end(child)
    kept.tend(100.0)
    child.log.parent.rename(tmp_path / "elsewhere")
    child.log.parent.touch()
    kept.tend(101.0)
    assert said[-1].endswith("it is started again in 2 s")
    assert "is not writable" in said[-1]
    child.log.parent.unlink()
    kept.tend(103.0)
    assert said[-1] == "thing is started again"
    assert child.exit_code is None
