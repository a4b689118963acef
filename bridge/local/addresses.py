"""Where the servers of a home listen, for the processes that use them without having started them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from bridge.errors import LighthouseError
from bridge.local.cluster import Cluster
from bridge.local.home import replace
from bridge.local.postgres import LOCAL_POSTGRES, Serving
from bridge.local.redis import LOCAL_CLUSTER, LOCAL_REDIS, RedisServing
from bridge.local.registry import Listening
from bridge.settings import Settings

T = TypeVar("T")
CHOSEN = "stores.json"
NO_STORE = "none"
"""The hot store of a home that is to have none any more."""


def located(settings: Settings) -> Settings:
    """The settings with the home's own Kafka, registry and stores where no others are set.

    Raises LighthouseError where there are none either.
    """
    found: dict[str, object] = {}
    if not settings.kafka_bootstrap:
        cluster = _read(settings.root / "kafka" / "cluster.json", Cluster, "LIGHTHOUSE_KAFKA_BOOTSTRAP")
        found["kafka_bootstrap"] = cluster.bootstrap
    if not settings.registry_url:
        listening = _read(settings.root / "registry" / "ports.json", Listening, "LIGHTHOUSE_REGISTRY_URL")
        found["registry_url"] = listening.url
    chosen = stores_of(settings)
    found["history_store"] = _address(settings, chosen.history, "LIGHTHOUSE_HISTORY_STORE")
    found["hot_store"] = _address(settings, chosen.hot, "LIGHTHOUSE_HOT_STORE")
    return settings.model_copy(update=found)


def _address(settings: Settings, url: str, setting: str) -> str:
    """The URL, or that of the home's own server which it stands for."""
    if url == LOCAL_POSTGRES:
        return _read(settings.root / "postgres" / "server.json", Serving, setting).url
    if url in (LOCAL_REDIS, LOCAL_CLUSTER):
        return _read(settings.root / "redis" / "server.json", RedisServing, setting).url
    return url


@dataclass(frozen=True)
class ChosenStores:
    """Which stores this home works with, kept in `stores.json`, so that every command finds them."""

    history: str = "lmdb"
    hot: str = ""


def stores_of(settings: Settings) -> ChosenStores:
    """What the settings say, or else what the home was told.

    Raises LighthouseError for a broken file, and for a history in Redis: what A1 and A6 read must not forget.
    """
    file = settings.root / CHOSEN
    known = _read(file, ChosenStores, "LIGHTHOUSE_HISTORY_STORE") if file.exists() else ChosenStores()
    history, hot = settings.history_store or known.history, settings.hot_store or known.hot
    _require_history(history)
    return ChosenStores(history, "" if hot == NO_STORE else hot)


def history_at(settings: Settings, url: str) -> str:
    """The URL of a history's store as its adapter takes it. Raises LighthouseError for one that keeps no history."""
    _require_history(url)
    return _address(settings, url, "LIGHTHOUSE_HISTORY_STORE")


def _require_history(url: str) -> None:
    if url.startswith("redis"):
        raise LighthouseError("Redis keeps no history, only hot rows: give it as LIGHTHOUSE_HOT_STORE, or with --hot")


def choose_stores(settings: Settings, chosen: ChosenStores) -> None:
    """Lets every command of this home use these stores from now on."""
    settings.root.mkdir(parents=True, exist_ok=True)
    replace(settings.root / CHOSEN, msgspec.json.encode(chosen), private=True)  # a URL may hold a password


def _read(file: Path, kind: type[T], setting: str) -> T:
    try:
        return msgspec.json.decode(file.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError) as error:
        raise LighthouseError(f"{file} does not tell an address: run `lighthouse up`, or set {setting}") from error
