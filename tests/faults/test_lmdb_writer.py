"""Writers of an LMDB space that are stopped, killed or strangers. Each writer is a process of its own."""

from __future__ import annotations

import asyncio
import fcntl
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import lmdb
import pytest

from bridge.errors import Fenced, LighthouseError
from bridge.settings import Settings
from bridge.store.contract import Mark, Writes
from bridge.store.lmdb_store import LmdbStore, LmdbStores
from tests.contract.store_contract import mark_of, puts, rows_of
from tests.forks import processes  # its children come from a process that never opened a store

pytestmark = pytest.mark.faults
SETTINGS = Settings(lmdb_map_mb=64, lmdb_lock_patience=1.0)
SPACE = "lighthouse.bank-0"
KILLS = 20
ROWS = 1000
Main = Callable[[Path, Connection], None]


class Writer:
    """A process that writes the space, and the pipe to it."""

    def __init__(self, main: Main, directory: Path) -> None:
        self.pipe, inside = processes.Pipe()
        self.process: BaseProcess = processes.Process(target=main, args=(directory, inside), daemon=True)
        self.process.start()

    @property
    def pid(self) -> int:
        """Its number."""
        assert self.process.pid is not None
        return self.process.pid

    def hears(self) -> object:
        """The next message; blocks."""
        assert self.pipe.poll(20), "the writer said nothing"
        return self.pipe.recv()

    async def stopped(self) -> None:
        """Returns once the process is stopped."""
        while _state(self.pid) != "T":  # noqa: ASYNC110 - the kernel tells nobody but the parent
            await asyncio.sleep(0.001)

    def end(self) -> None:
        """Ends it, stopped or not."""
        self.process.kill()
        self.process.join()


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


class Stopping(set[bytes]):
    """Deletes that report and stop their process when they are applied: inside the write transaction."""

    def __init__(self, pipe: Connection) -> None:
        super().__init__([b"nothing"])
        self._pipe = pipe
        self._walks = 0

    def __iter__(self) -> Iterator[bytes]:
        self._walks += 1
        if self._walks == LAST_WALK:
            self._pipe.send("inside")
            os.kill(os.getpid(), signal.SIGSTOP)
        return super().__iter__()


LAST_WALK = 3  # the keys are walked twice to be checked, before the transaction


def _stop_inside(directory: Path, pipe: Connection) -> None:
    """Owns, commits a row, then stops inside a second commit; tells how that ended, should it go on."""

    async def run() -> None:
        store = LmdbStores(directory, SETTINGS).open(SPACE)
        mark = await store.commit(await store.own(), 0, puts((b"a", b"kept")))
        await store.commit(mark, 1, Writes({b"a": b"lost"}, Stopping(pipe)))
        pipe.send("went on")

    asyncio.run(run())


def _stop_outside(directory: Path, pipe: Connection) -> None:
    """Owns, commits, stops outside of any transaction, then tells how its next commit ends."""

    async def run() -> None:
        store = LmdbStores(directory, SETTINGS).open(SPACE)
        mark = await store.commit(await store.own(), 0, puts((b"a", b"1")))
        pipe.send("outside")
        os.kill(os.getpid(), signal.SIGSTOP)
        try:
            await store.commit(mark, 1, puts((b"a", b"zombie")))
        except Fenced:
            pipe.send("fenced")

    asyncio.run(run())


def _write_on(directory: Path, pipe: Connection) -> None:
    """Owns, then commits for ever; each commit writes its position into every row, and every other one a new row."""

    async def run() -> None:
        store = LmdbStores(directory, SETTINGS).open(SPACE)
        mark = await store.own()
        pipe.send(mark.position)
        while True:
            position = mark.position + 1
            writes = Writes({b"r%d" % row: b"%d" % position for row in range(ROWS)}, {b"odd"})
            if position % 2:
                writes.put(b"odd", b"%d" % position)
            mark = await store.commit(mark, position, writes)
            await asyncio.sleep(0)

    asyncio.run(run())


def _lock_as_a_stranger(directory: Path, pipe: Connection) -> None:
    """Takes the lock without being a writer of the space."""
    with (directory / SPACE / "writer.lock").open("r+") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        pipe.send("locked")
        pipe.recv()


def _probe(directory: Path, pipe: Connection) -> None:
    """Begins a write transaction with LMDB alone; says so before and after."""
    with lmdb.open(str(directory / SPACE), map_size=64 << 20) as environment:
        pipe.send("before")
        with environment.begin(write=True):
            pipe.send("after")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[LmdbStore]:
    stores = LmdbStores(tmp_path, SETTINGS)
    yield stores.open(SPACE)
    await stores.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[Main], Writer]]:
    """Starts writers, and ends them after the test."""
    writers: list[Writer] = []

    def started(main: Main) -> Writer:
        writers.append(Writer(main, tmp_path))
        return writers[-1]

    yield started
    for writer in writers:
        writer.end()


async def _is_inside(store: LmdbStore, writer: Writer, probe: Writer) -> bool:
    """Whether the stopped writer holds the space's lock, and LMDB's own lock is taken as well."""
    assert probe.hears() == "before"
    blocked = not probe.pipe.poll(0.3)
    return blocked and store._lock.holder() == writer.pid


async def test_a_writer_stopped_inside_a_transaction_is_ended(
    store: LmdbStore, start: Callable[[Main], Writer]
) -> None:
    writer = start(_stop_inside)
    assert writer.hears() == "inside"
    await writer.stopped()
    probe = start(_probe)
    assert await _is_inside(store, writer, probe)
    begun = time.monotonic()
    mark = await store.own()
    mark = await store.commit(mark, 1, puts((b"b", b"new")))
    assert time.monotonic() - begun < 3
    assert mark == Mark(2, 2, 1)
    assert await rows_of(store) == {b"a": b"kept", b"b": b"new"}
    writer.process.join(5)
    assert writer.process.exitcode == -signal.SIGKILL
    assert probe.hears() == "after"


async def test_waiting_for_a_stopped_writer_does_not_block_the_event_loop(
    store: LmdbStore, start: Callable[[Main], Writer]
) -> None:
    writer = start(_stop_inside)
    assert writer.hears() == "inside"
    await writer.stopped()
    owning = asyncio.create_task(store.own())
    longest, last = 0.0, time.monotonic()
    while not owning.done():
        assert (await mark_of(store)).epoch <= 2
        await asyncio.sleep(0)
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
    assert longest < 0.5
    assert await owning == Mark(2, 1, 0)


async def test_a_zombie_ends_no_owner(store: LmdbStore, start: Callable[[Main], Writer]) -> None:
    zombie = await store.own()
    owner = start(_stop_inside)
    assert owner.hears() == "inside"
    await owner.stopped()
    begun = time.monotonic()
    with pytest.raises(Fenced):
        await store.commit(zombie, 5, Writes())
    with pytest.raises(Fenced):
        await store.beat(zombie)
    assert time.monotonic() - begun < SETTINGS.lmdb_lock_patience
    assert _state(owner.pid) == "T"
    os.kill(owner.pid, signal.SIGCONT)
    assert owner.hears() == "went on"


async def test_a_writer_stopped_outside_is_fenced_when_it_goes_on(
    store: LmdbStore, start: Callable[[Main], Writer]
) -> None:
    writer = start(_stop_outside)
    assert writer.hears() == "outside"
    await writer.stopped()
    mark = await store.commit(await store.own(), 1, puts((b"a", b"new")))
    os.kill(writer.pid, signal.SIGCONT)
    assert writer.hears() == "fenced"
    assert (await rows_of(store), await mark_of(store)) == ({b"a": b"new"}, mark)


async def test_a_stranger_is_not_ended(store: LmdbStore, start: Callable[[Main], Writer]) -> None:
    stranger = start(_lock_as_a_stranger)
    assert stranger.hears() == "locked"
    with pytest.raises(LighthouseError, match=f"process {stranger.pid} .* no writer"):
        await store.own()
    assert stranger.process.is_alive()
    stranger.pipe.send("go")
    assert await store.own() == Mark(1, 0, -1)


async def test_after_each_of_many_kills_rows_and_position_agree(
    store: LmdbStore, start: Callable[[Main], Writer]
) -> None:
    """One killed between the two words with which LMDB ends a commit leaves it whole; the next writer shows it."""
    chance, inside, position, kills = random.Random(7), 0, -1, 0
    while kills < KILLS or inside <= KILLS // 4:
        assert kills < 6 * KILLS, f"only {inside} of {kills} kills were mid-write: too few to prove anything"
        kills += 1
        writer = start(_write_on)
        owned = writer.hears()
        assert isinstance(owned, int)
        assert owned in (position, position + 1)
        position = owned
        await store.wait(position + chance.randint(2, 6), 20)
        await asyncio.sleep(chance.random() * 0.02)  # any moment will do: the point is that it is not chosen
        os.kill(writer.pid, signal.SIGSTOP)
        await writer.stopped()
        inside += store._lock.holder() == writer.pid
        writer.end()
        position = await _agreed_position(store)
    mark = await store.own()
    assert mark in (Mark(kills + 1, position + 1, position), Mark(kills + 1, position + 2, position + 1))
    assert mark.position == await _agreed_position(store)


async def _agreed_position(store: LmdbStore) -> int:
    """The position, once it is checked against every row."""
    async with store.view() as view:
        position = view.mark.position
        rows = await view.scan(b"r", limit=2 * ROWS)
        assert len(rows) == ROWS
        assert {value for _, value in rows} == {b"%d" % position}
        assert await view.get(b"odd") == (b"%d" % position if position % 2 else None)
        return position
