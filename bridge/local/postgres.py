"""A real PostgreSQL of the machine's own installation, with its data in the home, on loopback alone."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
import psutil

from bridge.errors import LocalError
from bridge.local import ports
from bridge.local.child import Child
from bridge.local.home import Claim, replace, require_ours
from bridge.local.jars import Report, silent
from bridge.settings import Settings

LOCAL_POSTGRES = "postgres"
"""The history store's URL that stands for the home's own server."""

DEBIAN = Path("/usr/lib/postgresql")
USER = "lighthouse"
DATABASE = "lighthouse"
INIT_SECONDS = 60.0
STOP_SECONDS = 20.0
ASK_SECONDS = 1.0

SETTINGS = {
    "listen_addresses": ports.HOST,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "wal_compression": "on",
}
"""Of a server on a machine that runs all the rest as well."""


@dataclass(frozen=True)
class Serving:
    """The server's port and password, kept in `postgres/server.json`, which also marks the directory as ours."""

    port: int
    password: str

    @property
    def url(self) -> str:
        """Where its clients connect, with the password."""
        return f"postgresql://{USER}:{self.password}@{ports.HOST}:{self.port}/{DATABASE}"


@dataclass(frozen=True)
class LocalPostgres:
    """A running local PostgreSQL. It ends with this process, however this process ends."""

    url: str
    child: Child
    claim: Claim
    start_timeout: float
    training: bool = False

    @property
    def pid(self) -> int:
        """The process id of its postmaster; it changes with a restart."""
        return self.child.pid

    @property
    def children(self) -> tuple[Child, ...]:
        """Its one process."""
        return (self.child,)

    def check(self) -> None:
        """Raises LocalError with the end of its log when it has died."""
        self.child.check()

    def stop(self, timeout: float = STOP_SECONDS) -> None:
        """Ends its sessions and stops it, killing it after `timeout` seconds."""
        self._end(timeout)
        self.claim.release()

    def restart(self, timeout: float = STOP_SECONDS) -> None:
        """Stops it in order and starts it again. Raises LocalError."""
        self._end(timeout)
        self.begin()

    def _end(self, timeout: float) -> None:
        if self.child.pid and self.child.exit_code is None:
            os.kill(self.child.pid, signal.SIGCONT)
            os.kill(self.child.pid, signal.SIGINT)  # SIGTERM would wait for the sessions to end by themselves
            self.child.wait(timeout)
        self.child.kill()

    def kill(self) -> None:
        """SIGKILL to all of its processes; returns when they have ended."""
        with suppress(psutil.NoSuchProcess):
            sessions = psutil.Process(self.child.pid).children(recursive=True)
            self.child.kill()
            for one in sessions:
                with suppress(psutil.NoSuchProcess):
                    one.kill()
            psutil.wait_procs(sessions, STOP_SECONDS)

    def begin(self) -> None:
        """Starts the process, perhaps after an end of it, and waits until it answers. Raises LocalError."""
        self.child.start()
        self.record()
        await_ready(self.child, self.url, self.start_timeout)

    def record(self) -> None:
        """Writes down who runs."""
        self.claim.record(self.children)


def start_postgres(settings: Settings, on_progress: Report = silent) -> LocalPostgres:
    """Makes the data directory when it is new, starts the server, and returns when it answers.

    Raises LocalError: no PostgreSQL is installed, it runs already, its port is in use, the data is another's, no room,
    or it died or did not answer within `start_timeout`.
    """
    programs = find_programs(settings)
    claim = Claim(settings, "postgres")
    try:
        return _start(settings, programs, claim, on_progress)
    except BaseException:
        claim.release()
        raise


def _start(settings: Settings, programs: Path, claim: Claim, on_progress: Report) -> LocalPostgres:
    serving, home = open_postgres(settings), settings.root / "postgres"
    data = home / "data"
    if not (data / "PG_VERSION").exists():
        on_progress(f"making a PostgreSQL database in {home}")
        _initialise(programs, home, serving)
    child = serving_child("postgres", programs, data, settings.root / "logs", port=str(serving.port))
    server = LocalPostgres(serving.url, child, claim, settings.start_timeout)
    on_progress(f"starting PostgreSQL at {ports.HOST}:{serving.port}")
    try:
        server.begin()
    except BaseException:
        child.kill()
        raise
    return server


def find_programs(settings: Settings) -> Path:
    """The directory with `initdb` and `postgres`. Raises LocalError."""
    if settings.postgres_bin is not None:
        candidates = [settings.postgres_bin.expanduser()]
    else:
        versions = sorted(DEBIAN.glob("[0-9]*/bin"), key=lambda path: int(path.parent.name), reverse=True)
        known = shutil.which("initdb")
        candidates = [*([Path(known).resolve().parent] if known else []), *versions]
    for path in candidates:
        if (path / "initdb").exists() and (path / "postgres").exists():
            return path
    raise LocalError(
        "no PostgreSQL is installed here: install it (Debian: apt-get install postgresql), set LIGHTHOUSE_POSTGRES_BIN "
        "to the directory of its programs, or LIGHTHOUSE_HISTORY_STORE to the URL of a server"
    )


def open_postgres(settings: Settings) -> Serving:
    """The server's port and password, written down for the processes of this home. Raises LocalError."""
    file = settings.root / "postgres" / "server.json"
    require_ours(file)
    known = msgspec.json.decode(file.read_bytes(), type=Serving) if file.exists() else None
    serving = Serving(_port(settings, known), known.password if known else secrets.token_urlsafe(24))
    file.parent.mkdir(parents=True, exist_ok=True)
    replace(file, msgspec.json.encode(serving), private=True)
    return serving


def _port(settings: Settings, known: Serving | None) -> int:
    if settings.postgres_port:
        ports.require_free(settings.postgres_port, "LIGHTHOUSE_POSTGRES_PORT")
        return settings.postgres_port
    return known.port if known and ports.is_free(known.port) else ports.pick(1)[0]


def _initialise(programs: Path, home: Path, serving: Serving) -> None:
    """Makes the data directory and the database; one that was left half made is made again."""
    data, password = home / "data", home / "password"
    shutil.rmtree(data, ignore_errors=True)
    password.touch(mode=0o600)
    password.write_text(serving.password)
    access = ("--username", USER, "--pwfile", str(password), "--auth", "scram-sha-256")
    try:
        _run((str(programs / "initdb"), "-D", str(data), "-E", "UTF8", "--locale", "C", *access))
        single = (str(programs / "postgres"), "--single", "-D", str(data), "postgres")
        _run(single, f"CREATE DATABASE {DATABASE}\n")
    except BaseException:
        shutil.rmtree(data, ignore_errors=True)
        raise
    finally:
        password.unlink()


def _run(command: tuple[str, ...], said: str = "") -> None:
    done = subprocess.run(
        [*as_somebody(), *command], input=said, check=False, capture_output=True, text=True, timeout=INIT_SECONDS
    )
    if done.returncode:
        raise LocalError(f"{command[0]} failed:\n{(done.stdout + done.stderr).strip()[-1000:]}")


def serving_child(name: str, programs: Path, data: Path, logs: Path, **more: str) -> Child:
    """The server of a data directory, not started yet, with these settings more."""
    options = [part for setting, value in (SETTINGS | more).items() for part in ("-c", f"{setting}={value}")]
    command = [*as_somebody(), str(programs / "postgres"), "-D", str(data), *options]
    return Child(name, command, logs / f"{name}.log", data)


def as_somebody() -> list[str]:
    """PostgreSQL refuses to run as root. In a user namespace of its own it is nobody, and its files stay its own.

    Raises LocalError.
    """
    if os.geteuid() != 0:
        return []
    unshare = shutil.which("unshare")
    if unshare is None:
        raise LocalError("PostgreSQL does not run as root, and there is no `unshare` here; use another account")
    return [unshare, "--user"]


def await_ready(child: Child, url: str, timeout: float) -> None:
    """Returns when the server answers. Raises LocalError."""
    with ThreadPoolExecutor(1) as thread:  # the caller's may have an event loop already
        child.await_answer(lambda: thread.submit(lambda: asyncio.run(_answers(url))).result(), timeout)


async def _answers(url: str) -> bool:
    import asyncpg

    try:
        connection = await asyncpg.connect(url, timeout=ASK_SECONDS)
        await connection.close(timeout=ASK_SECONDS)
    except (asyncpg.PostgresError, OSError, TimeoutError):
        return False
    return True
