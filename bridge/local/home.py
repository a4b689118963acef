"""The home directory: who runs there, whose it is, whether there is room, and how to forget what it holds."""

from __future__ import annotations

import fcntl
import os
import shutil
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Protocol

import msgspec
import psutil

from bridge.errors import LocalError
from bridge.settings import Settings

SERVICES = ("kafka", "registry", "postgres", "redis")
DATA = ("kafka", "registry", "postgres", "redis", "stores", "blobs", "stores.json")
MARK = "lighthouse.home"
ROOM_MB = 512
ORPHAN_PATIENCE = 10.0
BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Process:
    """A process that stays the same one even if its pid is given to another: `started` is in seconds since 1970."""

    name: str
    pid: int
    started: float

    @property
    def alive(self) -> bool:
        """Whether it still runs, and is not another process under the same pid."""
        found = find(self.pid, self.name)
        return found is not None and abs(found.started - self.started) < 2.0


@dataclass(frozen=True)
class Running:
    """What runs for a home: `owner` is the process that started the others, and the one to end."""

    owner: Process
    processes: tuple[Process, ...]

    @property
    def since(self) -> datetime:
        """When the owner was started."""
        return datetime.fromtimestamp(self.owner.started, UTC)


@dataclass(frozen=True)
class Record:
    """The file `run/<service>.json`; after a reboot it speaks of nothing that still lives."""

    boot: str
    owner: Process
    processes: tuple[Process, ...]

    @property
    def living(self) -> tuple[Process, ...]:
        """Those of its processes that still run."""
        return tuple(each for each in self.processes if each.alive) if self.boot == boot() else ()

    @property
    def owned(self) -> bool:
        """Whether the owner still runs."""
        return self.boot == boot() and self.owner.alive


def find(pid: int, name: str) -> Process | None:
    """The process of that pid, or None; a zombie has ended."""
    try:
        process = psutil.Process(pid)
        ended = process.status() == psutil.STATUS_ZOMBIE
        return None if ended else Process(name, pid, process.create_time())
    except psutil.NoSuchProcess:
        return None


def boot() -> str:
    """Tells one boot of the machine from another; empty where the system does not say."""
    return BOOT.read_text().strip() if BOOT.exists() else ""


def running(settings: Settings) -> Running | None:
    """What runs for this home now, whoever started it."""
    records = [record for service in SERVICES if (record := _read(settings, service))]
    active = [record for record in records if record.owned or record.living]
    if not active:
        return None
    return Running(active[0].owner, tuple(each for record in active for each in record.living))


def _file(settings: Settings, service: str, suffix: str) -> Path:
    return settings.root / "run" / f"{service}.{suffix}"


def _read(settings: Settings, service: str) -> Record | None:
    try:
        return msgspec.json.decode(_file(settings, service, "json").read_bytes(), type=Record)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


class Started(Protocol):
    """A process that was started."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def pid(self) -> int:
        """Its id; 0 before it was started."""


class Claim:
    """The right to run a service in a home, held until released or until this process ends, however it ends."""

    def __init__(self, settings: Settings, service: str) -> None:
        """Raises LocalError when the service runs already; ends what a killed owner has left behind."""
        self._settings = settings
        self._service = service
        self._recording = threading.Lock()
        prepare(settings.root)
        self._lock: IO[bytes] = _file(settings, service, "lock").open("ab")
        self._take()
        self._end_orphans()
        self.record(())

    def _take(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise LocalError(_already(self._service, self._settings)) from None

    def _end_orphans(self) -> None:
        record = _read(self._settings, self._service)
        for orphan in record.living if record else ():
            end(orphan, ORPHAN_PATIENCE)

    def record(self, children: Iterable[Started]) -> None:
        """Writes down who runs, for `lighthouse status` and for a start after a kill -9.

        From any thread: whoever writes last has seen all that the others did.
        """
        owner = find(os.getpid(), "owner")
        assert owner is not None
        with self._recording:
            found = tuple(process for child in children if (process := find(child.pid, child.name)))
            replace(_file(self._settings, self._service, "json"), msgspec.json.encode(Record(boot(), owner, found)))

    def release(self) -> None:
        """Gives the right back; doing so twice is harmless."""
        if not self._lock.closed:
            _file(self._settings, self._service, "json").unlink(missing_ok=True)
            self._lock.close()


def _already(service: str, settings: Settings) -> str:
    record = _read(settings, service)
    who = f"process {record.owner.pid}, since {_clock(record.owner.started)}" if record else "another process"
    return f"{service} already runs in {settings.root} ({who}); end it first, or set LIGHTHOUSE_HOME elsewhere"


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def end(process: Process, patience: float) -> None:
    """Ends a process that is still the same one: SIGTERM, and SIGKILL after `patience` seconds."""
    with suppress(psutil.NoSuchProcess):
        if process.alive:
            _end(psutil.Process(process.pid), patience)


def _end(process: psutil.Process, patience: float) -> None:
    process.terminate()
    process.resume()  # a stopped one would not hear it
    try:
        process.wait(patience)
    except psutil.TimeoutExpired:
        process.kill()
        process.wait(patience)


def replace(path: Path, content: bytes, private: bool = False) -> None:
    """Writes a file so that a reader, or a crash, sees the old content or the new; nobody else's eyes, if `private`."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}.draft")
    draft.unlink(missing_ok=True)
    draft.touch(0o600 if private else 0o666)
    draft.write_bytes(content)
    os.replace(draft, path)


def prepare(root: Path) -> None:
    """Makes the home's skeleton and its mark. Raises LocalError when it cannot be written or has no room."""
    try:
        (root / "run").mkdir(parents=True, exist_ok=True)
        (root / MARK).write_text("The data of Lighthouse Bridge; `lighthouse down --wipe` removes it.\n")
    except OSError as error:
        raise LocalError(f"{root} is not writable ({error.strerror}); set LIGHTHOUSE_HOME elsewhere") from error
    require_room(root)


def require_ours(mark: Path) -> None:
    """Raises LocalError where a service's directory holds something, but not the file that marks it as ours."""
    if not mark.exists() and mark.parent.is_dir() and any(mark.parent.iterdir()):
        raise LocalError(f"{mark.parent} holds data that is not ours; move it away, or set LIGHTHOUSE_HOME")


def require_room(root: Path, megabytes: int = ROOM_MB) -> None:
    """Raises LocalError when the disk has less than that left."""
    free = shutil.disk_usage(root).free >> 20
    if free < megabytes:
        raise LocalError(
            f"only {free} MiB are free on the disk of {root}, {megabytes} MiB are needed; "
            "free some space, or set LIGHTHOUSE_HOME to another disk"
        )


def wipe(settings: Settings) -> None:
    """Forgets the data of a home: Kafka, registry, stores, blobs; jars and logs stay. Raises LocalError."""
    if active := running(settings):
        raise LocalError(f"process {active.owner.pid} runs in {settings.root}; end it before wiping its data")
    if settings.root.exists() and not (settings.root / MARK).is_file():
        raise LocalError(f"{settings.root} has no file {MARK}, so it is not ours to wipe; set LIGHTHOUSE_HOME")
    for path in (settings.root / name for name in DATA):
        _remove(path)


def _remove(path: Path) -> None:
    try:
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
    except OSError as error:
        raise LocalError(f"{path} cannot be removed ({error}); remove it by hand") from error
