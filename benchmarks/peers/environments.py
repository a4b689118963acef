"""An environment of its own for each peer, from the hashes of its lock, kept in the cache from one run to the next."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.figure import NotMeasured

LOCKS = Path(__file__).parent
INSTALL_SECONDS = 180.0
MADE = "made"


def interpreter(peer: str, cache: Path) -> Path:
    """The Python that finds the peer's library. Raises NotMeasured where it cannot be installed here."""
    lock = LOCKS / f"{peer}.lock"
    place = cache / "peers" / f"{peer}-{_digest(lock)}"
    if not (place / MADE).exists():
        shutil.rmtree(place, ignore_errors=True)  # one that was left half made
        _uv(peer, "venv", "--quiet", "--python", sys.executable, str(place))
        _uv(peer, "pip", "sync", "--quiet", "--require-hashes", "--python", str(place / "bin" / "python"), str(lock))
        (place / MADE).touch()
    return place / "bin" / "python"


def versions(peer: str, *packages: str) -> str:
    """The versions that a lock pins, e.g. `faust-streaming 0.15.3`."""
    pins = dict(
        line.split(" ")[0].split("==") for line in (LOCKS / f"{peer}.lock").read_text().splitlines() if "==" in line
    )
    return ", ".join(f"{package} {pins[package]}" for package in packages)


def _digest(lock: Path) -> str:
    return hashlib.sha256(sys.version.encode() + lock.read_bytes()).hexdigest()[:16]


def _uv(peer: str, *arguments: str) -> None:
    uv = Path(sys.executable).with_name("uv")
    try:
        done = subprocess.run(
            [str(uv), *arguments], check=False, capture_output=True, text=True, timeout=INSTALL_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotMeasured(f"{peer} cannot be installed: {error}") from error
    if done.returncode:
        raise NotMeasured(f"{peer} cannot be installed: {done.stderr.strip()[-500:]}")
