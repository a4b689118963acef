"""The jars: read from the committed lock, fetched once, checked by their sha256, shared by every home."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import tomllib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import stamina
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from bridge.errors import LocalError
from bridge.settings import Settings

LOCK = Path(__file__).with_name("jars.lock")
PARALLEL = 6
ATTEMPTS = 4

Report = Callable[[str], None]


def silent(_: str) -> None:
    """The report of progress that nobody asked for."""


@dataclass(frozen=True)
class Jar:
    """One locked file. `coordinates` are group:artifact:packaging[:classifier]:version; `size` is in bytes."""

    coordinates: str
    file: str
    sha256: str
    size: int

    @property
    def address(self) -> str:
        """The file's place below a Maven repository's root."""
        group, artifact, *_, version = self.coordinates.split(":")
        return f"{group.replace('.', '/')}/{artifact}/{version}/{self.file}"


def locked(part: str, lock: Path = LOCK) -> tuple[Jar, ...]:
    """The jars of one part of the lock, `kafka` or `registry`, in class path order."""
    entries: list[dict[str, Any]] = tomllib.loads(lock.read_text())[part]
    return tuple(Jar(**entry) for entry in entries)


def fetch(settings: Settings, jars: Sequence[Jar], on_progress: Report) -> tuple[Path, ...]:
    """The jars' paths; asks the network only for those that are missing. Raises LocalError."""
    directory = settings.cache_root / "jars"
    missing = [jar for jar in jars if not _present(directory / jar.file, jar)]
    if missing:
        on_progress(f"fetching {len(missing)} files, {sum(jar.size for jar in missing) >> 20} MiB, once")
        _make(directory)
        _download_all(_repository(settings), missing, directory)
    return tuple(directory / jar.file for jar in jars)


def _present(path: Path, jar: Jar) -> bool:
    # The sha256 was checked before the file got its name; the size is enough to notice a truncated copy.
    return path.is_file() and path.stat().st_size == jar.size


def _make(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LocalError(f"{directory} cannot be made ({error.strerror}); set LIGHTHOUSE_CACHE elsewhere") from error


def _repository(settings: Settings) -> str:
    from jgo.constants import MAVEN_CENTRAL_URL  # jgo takes 0.3 s to import: only when something is missing

    return (settings.maven_repository or MAVEN_CENTRAL_URL).rstrip("/")


def _download_all(repository: str, jars: Sequence[Jar], directory: Path) -> None:
    with (
        _bar() as bar,
        httpx.Client(base_url=repository + "/", timeout=30.0, follow_redirects=True) as client,
        ThreadPoolExecutor(PARALLEL) as pool,
    ):
        task = bar.add_task("jars", total=sum(jar.size for jar in jars))
        download = Download(client, directory, lambda count: bar.advance(task, count))
        list(pool.map(download.fetch, jars))


def _bar() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    return Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True)


@dataclass(frozen=True)
class Download:
    """Fetches one jar at a time into a temporary file that gets its name only when its sha256 is right."""

    client: httpx.Client
    directory: Path
    advance: Callable[[int], None]

    def fetch(self, jar: Jar) -> None:
        """Raises LocalError with the address after four attempts."""
        try:
            for attempt in stamina.retry_context(on=(httpx.HTTPError, WrongDigest), attempts=ATTEMPTS):
                with attempt:
                    self._fetch_once(jar)
        except (httpx.HTTPError, WrongDigest) as error:
            where = self.client.base_url.join(jar.address)
            raise LocalError(f"{where} could not be fetched ({error}); see LIGHTHOUSE_MAVEN_REPOSITORY") from error
        except OSError as error:
            raise LocalError(f"{self.directory / jar.file} could not be written ({error.strerror})") from error

    def _fetch_once(self, jar: Jar) -> None:
        handle, name = tempfile.mkstemp(dir=self.directory, prefix=f"{jar.file}.", suffix=".part")
        try:
            with open(handle, "wb") as target:
                _verify(jar, self._stream(jar, target.write))
            os.chmod(name, 0o644)
            os.replace(name, self.directory / jar.file)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(name)

    def _stream(self, jar: Jar, write: Callable[[bytes], object]) -> str:
        digest = hashlib.sha256()
        with self.client.stream("GET", jar.address) as response:
            response.raise_for_status()
            for chunk in response.iter_bytes(1 << 16):
                digest.update(chunk)
                write(chunk)
                self.advance(len(chunk))
        return digest.hexdigest()


class WrongDigest(Exception):
    """The bytes that came are not the locked ones."""


def _verify(jar: Jar, digest: str) -> None:
    if digest != jar.sha256:
        raise WrongDigest(f"its sha256 is {digest}, the lock says {jar.sha256}")
