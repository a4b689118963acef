"""How many processors each supervisor of a home is told to run, and that one which cannot be started is no end."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from bridge.errors import LocalError
from bridge.local.fleet import MOST, Fleet, Roster, rosters, scale, shares
from bridge.local.home import boot, find
from bridge.settings import Settings


@given(st.lists(st.integers(0, MOST), min_size=1, max_size=4), st.integers(0, 4 * MOST))
def test_shares_run_what_is_wanted_and_move_as_few_as_they_can(now: list[int], wanted: int) -> None:
    found = shares(now, min(wanted, MOST * len(now)))
    assert sum(found) == min(wanted, MOST * len(now))
    assert all(0 <= one <= MOST for one in found)
    assert len({(after > before) - (after < before) for before, after in zip(now, found, strict=True)} - {0}) <= 1


def test_the_first_takes_more_and_the_last_gives_up() -> None:
    assert shares([2, 1], 5) == [4, 1]
    assert shares([2, 1], 1) == [1, 0]
    assert shares([MOST, 1], MOST + 3) == [MOST, 3]


def test_a_home_is_scaled_by_its_supervisors_that_live(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    (tmp_path / "run").mkdir()
    with pytest.raises(LocalError, match="nothing runs processors"):
        scale(settings, 2)
    this = find(1, "owner")
    assert this is not None
    for pid, one in ((1, Roster(boot(), this, 3)), (2, Roster("another boot", this, 5))):
        (tmp_path / "run" / f"fleet-{pid}.json").write_bytes(msgspec.json.encode(one))
    (tmp_path / "run" / "fleet-3.json").write_text("{")
    assert [one.wanted for one in rosters(settings)] == [3]
    (told,) = scale(settings, 7)
    assert (told.before, told.wanted) == (3, 7)
    assert (tmp_path / "run" / "fleet-1.wanted").read_text() == "7"
    with pytest.raises(LocalError, match="at most 64"):
        scale(settings, 65)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """A home whose processes live and come to nothing: who listens where Kafka should be does not answer."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("LIGHTHOUSE_HOME", str(tmp_path))
        monkeypatch.setenv("LIGHTHOUSE_KAFKA_BOOTSTRAP", f"127.0.0.1:{silent.getsockname()[1]}")
        yield Settings()


def test_what_cannot_be_started_is_tried_again_and_all_others_go_on(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = Fleet(settings, 2)
    try:
        fleet.start()
        reactors, first, second = (fleet.services[number].pid for number in (2, 0, 1))
        with monkeypatch.context() as limit, capture_logs() as told:
            limit.setattr(sys, "executable", "/no/such/program")
            monkeypatch.setattr("bridge.local.services.PAUSE", 0.0)
            scale(settings, 3)
            os.kill(second, signal.SIGKILL)
            until = time.monotonic() + 10
            while fleet.services[1].alive:
                assert time.monotonic() < until
            for _ in range(3):
                fleet.tend()
            assert [one.alive for one in fleet.services] == [True, False, False, True]
            assert (fleet.services[0].pid, fleet.services[3].pid) == (first, reactors)
            (roster,) = rosters(settings)
            assert (roster.wanted, roster.running) == (3, (first,))
        failed = [one for one in told if one["event"] == "process not started, trying again"]
        assert [one["name"] for one in failed] == ["processor-2", "processor-3"]
        assert all("/no/such/program" in one["error"] for one in failed)
        fleet.tend()
        assert all(one.alive for one in fleet.services)
        assert [one.deaths for one in fleet.services] == [0, 1, 0, 0]
        assert (fleet.services[0].pid, fleet.services[3].pid) == (first, reactors)
    finally:
        fleet.stop()
