"""A home belongs to one process at a time, and is never taken for another's."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import psutil
import pytest

from bridge.errors import LocalError
from bridge.local.home import MARK, Claim, Process, Record, boot, find, prepare, replace, require_room, running, wipe
from bridge.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"]) as process:
        yield process
        process.kill()


def test_a_second_start_is_told_who_runs_and_since_when(settings: Settings) -> None:
    claim = Claim(settings, "kafka")
    with pytest.raises(LocalError, match=rf"kafka already runs in .*process {os.getpid()}, since 20\d\d-"):
        Claim(settings, "kafka")
    claim.release()


def test_a_released_home_can_be_claimed_again(settings: Settings) -> None:
    Claim(settings, "kafka").release()
    Claim(settings, "kafka").release()
    assert running(settings) is None


def test_two_services_share_a_home(settings: Settings) -> None:
    claims = [Claim(settings, service) for service in ("kafka", "registry")]
    assert running(settings)
    for claim in claims:
        claim.release()


def test_running_names_the_owner_and_what_it_started(settings: Settings, sleeper: subprocess.Popen[bytes]) -> None:
    claim = Claim(settings, "kafka")
    claim.record([Process("kafka-1", sleeper.pid, 0.0)])
    found = running(settings)
    claim.release()
    assert found
    assert found.owner.pid == os.getpid()
    assert [(each.name, each.pid) for each in found.processes] == [("kafka-1", sleeper.pid)]


def test_what_a_killed_owner_left_is_ended(settings: Settings, sleeper: subprocess.Popen[bytes]) -> None:
    leave(settings, find(sleeper.pid, "kafka-1"))
    Claim(settings, "kafka").release()
    assert not psutil.pid_exists(sleeper.pid)


def test_another_process_under_an_old_pid_is_left_alone(settings: Settings, sleeper: subprocess.Popen[bytes]) -> None:
    leave(settings, Process("kafka-1", sleeper.pid, psutil.Process(sleeper.pid).create_time() - 100))
    Claim(settings, "kafka").release()
    assert sleeper.poll() is None


def test_a_record_of_an_earlier_boot_names_nobody(settings: Settings, sleeper: subprocess.Popen[bytes]) -> None:
    leave(settings, find(sleeper.pid, "kafka-1"), "another boot")
    assert running(settings) is None


def leave(settings: Settings, orphan: Process | None, at_boot: str | None = None) -> None:
    """What a killed owner leaves: a record, and a process that still runs."""
    assert orphan
    prepare(settings.root)
    record = Record(boot() if at_boot is None else at_boot, Process("owner", 1 << 22, 0.0), (orphan,))
    (settings.root / "run" / "kafka.json").write_bytes(msgspec.json.encode(record))


def test_a_full_disk_is_told_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match=r"only .* MiB are free .* 1000000000 MiB are needed"):
        require_room(tmp_path, 1_000_000_000)


def test_a_home_that_cannot_be_written_is_told_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LocalError, match=r"file/home is not writable .*LIGHTHOUSE_HOME"):
        prepare(tmp_path / "file" / "home")


def test_wiping_forgets_data_and_keeps_the_rest(settings: Settings) -> None:
    prepare(settings.root)
    for name in ("kafka", "registry", "stores", "blobs", "logs", "cache"):
        (settings.root / name / "1").mkdir(parents=True)
    wipe(settings)
    assert {path.name for path in settings.root.iterdir()} == {MARK, "run", "logs", "cache"}


def test_wiping_a_running_home_is_refused(settings: Settings) -> None:
    claim = Claim(settings, "kafka")
    with pytest.raises(LocalError, match=rf"process {os.getpid()} runs in"):
        wipe(settings)
    claim.release()


def test_wiping_a_directory_that_is_not_ours_is_refused(settings: Settings) -> None:
    (settings.root / "kafka").mkdir(parents=True)
    with pytest.raises(LocalError, match=r"not ours to wipe"):
        wipe(settings)
    assert (settings.root / "kafka").exists()


def test_wiping_a_home_that_was_never_used_is_harmless(settings: Settings) -> None:
    wipe(settings)


def test_several_threads_replace_a_file_at_once(tmp_path: Path) -> None:
    """Two brokers that are started again at the same time are both written down."""
    file, contents = tmp_path / "kafka.json", [str(number).encode() * 1000 for number in range(8)]
    with ThreadPoolExecutor(8) as threads:
        for _ in range(50):
            list(threads.map(lambda content: replace(file, content), contents))
            assert file.read_bytes() in contents
    assert [one.name for one in tmp_path.iterdir()] == ["kafka.json"]
