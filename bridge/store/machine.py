"""What tells one boot and one process from another on this machine (Linux)."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from uuid import UUID

START_FIELD = 19  # starttime is field 22 of /proc/<pid>/stat; the comm and the two fields before it are cut off


@cache
def boot_id() -> UUID:
    """Changes with each boot of the machine; the same in all its containers."""
    return UUID(Path("/proc/sys/kernel/random/boot_id").read_text().strip())


@cache
def pid_namespace() -> int:
    """Where this process's numbers count: a container usually has numbers of its own."""
    return os.stat("/proc/self/ns/pid").st_ino


def boot_clock() -> int:
    """Nanoseconds since the boot, suspended time included; the same for all processes of one boot."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class ProcessMark:
    """A process, told from every other one that ever had its number: `started` is in clock ticks since the boot."""

    pid: int
    started: int
    boot: UUID

    def __str__(self) -> str:
        """One line, as it lies in the file of a writer."""
        return f"{self.pid} {self.started} {self.boot}"


def process_mark(pid: int) -> ProcessMark | None:
    """The process with this number as it runs now, or None."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return ProcessMark(pid, int(stat.rpartition(")")[2].split()[START_FIELD]), boot_id())


def write_durably(path: Path, text: str) -> None:
    """Replaces a file at once and on disk: a crash leaves the old text or the new one."""
    replace(path, text, durably=True)
    _sync_directory(path.parent)


def replace(path: Path, text: str, durably: bool = False) -> None:
    """Replaces a file at once for every reader; after a power failure the text may be gone unless `durably`."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    with draft.open("w") as file:
        file.write(text)
        file.flush()
        if durably:
            os.fsync(file.fileno())
    draft.replace(path)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
