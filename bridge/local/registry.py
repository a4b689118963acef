"""The real schema registry (Apicurio), started from its archive: Confluent-compatible, on loopback alone."""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

import httpx
import msgspec

from bridge.errors import LocalError
from bridge.local import java, ports
from bridge.local.child import Child
from bridge.local.home import Claim, replace, require_ours
from bridge.local.jars import Report, fetch, locked, silent
from bridge.local.java import Jvm
from bridge.settings import Settings

HEAP_MB = 256
STOP_SECONDS = 10.0
ASK_SECONDS = 2.0
API = "/apis/ccompat/v7"
COMPATIBILITY = "BACKWARD_TRANSITIVE"


@dataclass(frozen=True)
class Listening:
    """The registry's two ports, kept in `registry/ports.json`, which also marks the directory as ours."""

    api: int
    management: int

    @property
    def url(self) -> str:
        """The root of the Confluent-compatible API."""
        return f"http://{ports.HOST}:{self.api}{API}"


@dataclass(frozen=True)
class LocalRegistry:
    """A running local registry; `url` is the root of its Confluent-compatible API. It ends with this process."""

    url: str
    child: Child
    jvm: Jvm
    claim: Claim
    draft: Path | None
    start_timeout: float

    @property
    def pid(self) -> int:
        """The process id of its JVM; it changes with a restart."""
        return self.child.pid

    @property
    def training(self) -> bool:
        """Whether this is the first run, whose stop takes some 10 s more: it writes the cache of the next starts."""
        return self.draft is not None

    @property
    def children(self) -> tuple[Child, ...]:
        """Its one process."""
        return (self.child,)

    def check(self) -> None:
        """Raises LocalError with the end of its log when it has died."""
        self.child.check()

    def stop(self, timeout: float = STOP_SECONDS) -> None:
        """Stops it, killing it after `timeout` seconds; a first run takes some more to train."""
        self.child.stop(timeout + (java.DUMP_SECONDS if self.draft else 0.0))
        if self.draft:
            self.jvm.keep(self.draft)
        self.claim.release()

    def kill(self) -> None:
        """SIGKILL; returns when it has ended."""
        self.child.kill()

    def restart(self) -> None:
        """Starts it again, after stopping it if it runs; returns when it answers. Raises LocalError."""
        self.child.stop(STOP_SECONDS)
        self.begin()

    def begin(self) -> None:
        """Starts the process and waits until it answers. Raises LocalError."""
        self.child.start()
        self.record()
        await_ready(self)

    def record(self) -> None:
        """Writes down who runs."""
        self.claim.record(self.children)


def start_registry(settings: Settings, on_progress: Report = silent) -> LocalRegistry:
    """Returns when its API answers and its global compatibility is BACKWARD_TRANSITIVE.

    Raises LocalError: it runs already, a port is in use, the data is another's, no room, no Java, no archive, or it
    died or did not answer within `start_timeout`.
    """
    claim = Claim(settings, "registry")
    try:
        return _start(settings, claim, on_progress)
    except BaseException:
        claim.release()
        raise


def _start(settings: Settings, claim: Claim, on_progress: Report) -> LocalRegistry:
    java.java()
    listening = open_registry(settings)
    program = unpack(settings, on_progress)
    registry = _assemble(settings, listening, _jvm(settings, program), claim)
    on_progress(f"starting the schema registry at {listening.url}")
    try:
        registry.jvm.touch()
        registry.begin()
        require_compatibility(registry.url)
    except BaseException:
        registry.child.kill()
        raise
    return registry


def open_registry(settings: Settings) -> Listening:
    """The registry's ports, free and written down. Raises LocalError."""
    file = settings.root / "registry" / "ports.json"
    require_ours(file)
    listening = _listening(settings.registry_port, file)
    file.parent.mkdir(parents=True, exist_ok=True)
    replace(file, msgspec.json.encode(listening))
    return listening


def _listening(port: int, file: Path) -> Listening:
    if port:
        for each in (port, port + 1):
            ports.require_free(each, "LIGHTHOUSE_REGISTRY_PORT")
        return Listening(port, port + 1)
    known = msgspec.json.decode(file.read_bytes(), type=Listening) if file.exists() else None
    if known and ports.is_free(known.api) and ports.is_free(known.management):
        return known
    return Listening(*ports.pick(2))


def unpack(settings: Settings, on_progress: Report) -> Path:
    """The directory of the registry's program, unpacked once beside the jars."""
    jar = locked("registry")[0]
    target = settings.cache_root / "registry" / jar.sha256[:16]
    if not target.is_dir():
        (archive,) = fetch(settings, [jar], on_progress)
        on_progress(f"unpacking {archive.name}")
        _unpack(archive, target)
        archive.unlink(missing_ok=True)  # 150 MiB that nobody reads again
    return target


def _unpack(archive: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=target.parent, suffix=".draft"))
    try:
        with tarfile.open(archive) as tar:
            # The filter is not known to every Python 3.11; its sha256 is the lock's, so it is trusted anyway.
            tar.extraction_filter = getattr(tarfile, "data_filter", lambda member, path: member)
            tar.extractall(draft)
        os.chmod(draft, 0o755)
        os.rename(draft, target)
    except OSError as error:
        if not target.is_dir():  # else another process was faster
            raise LocalError(f"{archive} cannot be unpacked into {target.parent}: {error}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _jvm(settings: Settings, program: Path) -> Jvm:
    jar = program / "quarkus-run.jar"
    flags = (*java.DEV, f"-Xmx{HEAP_MB}m")
    return Jvm("registry", flags, (jar,), ("-jar", str(jar)), settings.cache_root / "aot")


def _assemble(settings: Settings, listening: Listening, jvm: Jvm, claim: Claim) -> LocalRegistry:
    data = settings.root / "registry"
    draft = None if jvm.trained else jvm.draft()
    command = _with_properties(jvm.command(training=draft), properties(listening, data))
    child = Child("registry", command, settings.root / "logs" / "registry.log", data)
    return LocalRegistry(listening.url, child, jvm, claim, draft, settings.start_timeout)


def _with_properties(command: list[str], values: dict[str, str]) -> list[str]:
    return [command[0], *(f"-D{key}={value}" for key, value in values.items()), *command[1:]]


def properties(listening: Listening, data: Path) -> dict[str, str]:
    """The registry's configuration, as system properties."""
    return {
        "quarkus.http.host": ports.HOST,
        "quarkus.http.port": str(listening.api),
        "quarkus.management.host": ports.HOST,
        "quarkus.management.port": str(listening.management),
        "quarkus.log.level": "WARN",
        'quarkus.log.category."io.apicurio".level': "WARN",
        "quarkus.banner.enabled": "false",
        "quarkus.http.access-log.enabled": "false",
        "apicurio.storage.kind": "sql",
        "apicurio.storage.sql.kind": "h2",
        # Without WRITE_DELAY=0 a kill -9 loses the last half second, and an id would be given twice.
        "apicurio.datasource.url": f"jdbc:h2:file:{data / 'schemas'};WRITE_DELAY=0",
    }


def await_ready(registry: LocalRegistry) -> None:
    """Returns when the API answers. Raises LocalError."""
    with httpx.Client(timeout=ASK_SECONDS, trust_env=False) as client:
        registry.child.await_answer(lambda: _answers(client, registry.url), registry.start_timeout)


def _answers(client: httpx.Client, url: str) -> bool:
    try:
        return client.get(f"{url}/subjects").status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def require_compatibility(url: str) -> None:
    """Sets the global compatibility, whose default accepts anything. Raises LocalError."""
    try:
        body = {"compatibility": COMPATIBILITY}
        httpx.put(f"{url}/config", json=body, timeout=ASK_SECONDS * 5, trust_env=False).raise_for_status()
    except httpx.HTTPError as error:
        raise LocalError(f"the registry at {url} did not take the compatibility {COMPATIBILITY}: {error}") from error
