"""Where and when something was measured."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).parent.parent


def machine() -> str:
    """The processor, the number of cores that this process may use, and the memory."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    cores = len(os.sched_getaffinity(0))
    name, python = next(names, platform.machine()), platform.python_version()
    return f"{name}, {cores} cores, {pages / 2**30:.0f} GiB, Python {python}"


def commit() -> str:
    """The checkout's commit, with a + where files differ from it."""
    head = _git("rev-parse", "--short", "HEAD") or "unknown"
    return f"{head}+" if _git("status", "--porcelain", "--untracked-files=no") else head


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, check=False, capture_output=True, text=True)
    return done.stdout.strip()


def load() -> float:
    """The number of processes that wanted to run in the last minute, on average."""
    return round(os.getloadavg()[0], 2)


def pace() -> float:
    """Milliseconds of a fixed piece of Python, the best of five: tells a slow moment of a shared host from slow code.

    About 50 where the first figures were taken, up to 100 when the host was busy with others.
    """
    return round(min(_fixed_work() for _ in range(5)) * 1000, 1)


def _fixed_work() -> float:
    began = time.thread_time()
    kept: dict[int, tuple[int, str]] = {}
    for number in range(300_000):
        kept[number & 1023] = (number, str(number))
    return time.thread_time() - began


def busy(pid: int) -> float:
    """Seconds of processor time that a process has taken."""
    spent = psutil.Process(pid).cpu_times()
    return spent.user + spent.system


def anonymous_mb(pid: int) -> float:
    """Resident memory of a process in MB that belongs to no file: LMDB's map and program text are not counted."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise AssertionError(f"smaps_rollup of {pid} names no anonymous memory")
