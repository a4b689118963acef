"""From a URL to the stores of an adapter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

from bridge.errors import LighthouseError
from bridge.settings import Settings
from bridge.store.contract import Stores
from bridge.store.lmdb_store import LmdbStores
from bridge.store.memory import MemoryStores
from bridge.urls import RESERVED, without_secret

if TYPE_CHECKING:
    from bridge.store.redis.stores import RedisStores

LMDB_DIRECTORY = "stores"
KNOWN = (
    "use lmdb, lmdb:///absolute/path, postgresql://user:password@host/database, redis://:password@host:port, "
    "redis+cluster://:password@host:port,host:port or memory"
)


def open_stores(url: str, settings: Settings) -> Stores:
    """The stores that a URL such as `history_store` names; nothing is opened or written yet.

    Raises LighthouseError for a URL that names none.
    """
    adapter = ADAPTERS.get(url.partition(":")[0])
    if adapter is None:
        raise _refused(url)
    return adapter(url, settings)


def _refused(url: str, why: str = "") -> LighthouseError:
    return LighthouseError(f"{without_secret(url)!r} names no store{f': {why}' if why else ''}; {KNOWN}")


def _parts(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        raise _refused(url, RESERVED) from None  # what was raised may have the password


def _memory(url: str, _: Settings) -> Stores:
    if url not in ("memory", "memory:"):
        raise _refused(url, "memory has no place")
    return MemoryStores()


def _lmdb(url: str, settings: Settings) -> Stores:
    if url in ("lmdb", "lmdb:"):
        return LmdbStores(settings.root / LMDB_DIRECTORY, settings)
    parts = _parts(url)
    if parts.netloc or not parts.path.startswith("/") or parts.query or parts.fragment:
        raise _refused(url, "lmdb takes an absolute path and nothing else")
    return LmdbStores(Path(unquote(parts.path)), settings)


def _postgres(url: str, settings: Settings) -> Stores:
    if not _parts(url).netloc:
        raise _refused(url, "it does not say on which host")
    with _extra("postgres"):
        from bridge.store.postgres.stores import PostgresStores
    return PostgresStores(url, settings)


def _redis(url: str, settings: Settings) -> RedisStores:
    if not _parts(url).netloc:
        raise _refused(url, "it does not say on which host")
    with _extra("redis"):
        from bridge.store.redis.stores import RedisStores
    return RedisStores(url, settings)


@contextmanager
def _extra(name: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise LighthouseError(f"{error}: pip install lighthouse-bridge[{name}]") from error


async def migrate_stores(url: str, settings: Settings) -> str | None:
    """Brings a database's schema up to date; answers its version, None for a store that has no schema.

    Raises LighthouseError, Unavailable.
    """
    if ADAPTERS.get(url.partition(":")[0]) is not _postgres:
        return None
    with _extra("postgres"):
        from bridge.store.postgres.link import Limits
        from bridge.store.postgres.migrate import migrate
    return await migrate(url, Limits.of(settings))


async def confirming(url: str, settings: Settings) -> tuple[int, int] | None:
    """How many replicas must confirm a commit there, and how many there are; None for a store that knows of none.

    Raises LighthouseError, Unavailable.
    """
    if ADAPTERS.get(url.partition(":")[0]) is not _redis:
        return None
    stores = _redis(url, settings)
    try:
        return await stores.confirming()
    finally:
        await stores.close()


ADAPTERS: dict[str, Callable[[str, Settings], Stores]] = {
    "memory": _memory,
    "lmdb": _lmdb,
    "postgresql": _postgres,
    "postgres": _postgres,
    "redis": _redis,
    "rediss": _redis,
    "redis+cluster": _redis,
    "rediss+cluster": _redis,
}
