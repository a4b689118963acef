"""The disk of the stores is full: nothing is lost, the reason is told, and all goes on once there is room again."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Iterator
from io import RawIOBase
from pathlib import Path

import pytest

from bridge.errors import LighthouseError
from bridge.settings import Settings
from bridge.store.contract import Writes
from bridge.store.lmdb_store import LmdbStores
from tests.faults.conftest import Report
from tests.faults.harness import Stage, eventually, owned, playing, staged
from tests.faults.journal import Outcome
from tests.faults.writers import writing

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

SIZE = 16 << 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a few MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(disk)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)  # a failed test may have left a file open


@pytest.fixture
async def stage_on_small_disk(settings: Settings, small_disk: Path, tmp_path: Path) -> AsyncIterator[Stage]:
    """A stage whose stores lie there."""
    async with staged(settings.model_copy(update={"history_store": f"lmdb://{small_disk}/stores"}), tmp_path) as stage:
        yield stage


def fill(disk: Path, leave: int) -> Path:
    """A file that takes the disk's room but for some bytes."""
    file = disk / "ballast"
    with file.open("wb", buffering=0) as ballast:
        with pytest.raises(OSError, match="No space left"):
            write_for_ever(ballast)
        ballast.truncate(ballast.tell() - leave)
    return file


def write_for_ever(file: RawIOBase) -> None:
    """Until it raises."""
    while True:
        file.write(bytes(64 << 10))


async def test_a_commit_that_finds_no_room_changes_nothing(small_disk: Path, tmp_path: Path) -> None:
    stores = LmdbStores(small_disk / "stores", Settings(home=tmp_path, lmdb_map_mb=64))
    store = stores.open("lighthouse.project-0")
    mark = await store.commit(await store.own(), 1, Writes({b"a": b"1"}))
    large = Writes({b"b": bytes(1 << 20)})
    for left in (256 << 10, 0):
        ballast = fill(small_disk, left)
        with pytest.raises(LighthouseError, match=r"cannot be written: .* free some space"):
            await store.commit(mark, 2, large)
    async with store.view() as view:
        assert (view.mark, await view.scan(b"")) == (mark, [(b"a", b"1")])
    ballast.unlink()
    assert (await store.commit(mark, 2, large)).position == 2
    await stores.close()


async def test_processors_wait_for_room_and_go_on(stage_on_small_disk: Stage, small_disk: Path, report: Report) -> None:
    stage = stage_on_small_disk
    async with playing(stage, 1) as (platform, checker), writing(platform.handler, checker.journal) as writers:
        await writers.progress(2, 20)
        (processor,) = stage.processes
        ballast = fill(small_disk, 0)
        checker.journal.fault("the disk is full")
        await eventually(lambda: "free some space" in processor.output, 30, "the processor says why")
        before = len(checker.journal.attempts)
        refused = (Outcome.UNAVAILABLE, Outcome.UNKNOWN)
        await checker.journal.until(
            lambda journal: any(attempt.outcome in refused for attempt in journal.attempts[before:]), 30, "a refusal"
        )
        ballast.unlink()
        checker.journal.fault("there is room again")
        await owned(platform, 60)
        await writers.progress(5, 60)
        await writers.finish()
        assert processor.popen.poll() is None, "it was one process all the time"
        report(await checker.check())
