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
from bridge.local.registry import Listening
from bridge.settings import Settings

T = TypeVar("T")
CHOSEN = "stores.json"


def located(settings: Settings) -> Settings:
    """The settings with the home's own Kafka, registry and stores where no others are set.

    Raises LighthouseError where there are none either.
    """
    found = {}
    if not settings.kafka_bootstrap:
        cluster = _read(settings.root / "kafka" / "cluster.json", Cluster, "LIGHTHOUSE_KAFKA_BOOTSTRAP")
        found["kafka_bootstrap"] = cluster.bootstrap
    if not settings.registry_url:
        listening = _read(settings.root / "registry" / "ports.json", Listening, "LIGHTHOUSE_REGISTRY_URL")
        found["registry_url"] = listening.url
    found["history_store"] = stores_of(settings).history
    if found["history_store"] == LOCAL_POSTGRES:
        serving = _read(settings.root / "postgres" / "server.json", Serving, "LIGHTHOUSE_HISTORY_STORE")
        found["history_store"] = serving.url
    return settings.model_copy(update=found)


@dataclass(frozen=True)
class ChosenStores:
    """Which stores this home works with, kept in `stores.json`, so that every command finds them."""

    history: str = "lmdb"


def stores_of(settings: Settings) -> ChosenStores:
    """What the settings say, or else what the home was told. Raises LighthouseError for a broken file."""
    file = settings.root / CHOSEN
    known = _read(file, ChosenStores, "LIGHTHOUSE_HISTORY_STORE") if file.exists() else ChosenStores()
    return ChosenStores(settings.history_store or known.history)


def choose_stores(settings: Settings, chosen: ChosenStores) -> None:
    """Lets every command of this home use these stores from now on."""
    settings.root.mkdir(parents=True, exist_ok=True)
    replace(settings.root / CHOSEN, msgspec.json.encode(chosen), private=True)  # a URL may hold a password


def _read(file: Path, kind: type[T], setting: str) -> T:
    try:
        return msgspec.json.decode(file.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError) as error:
        raise LighthouseError(f"{file} does not tell an address: run `lighthouse up`, or set {setting}") from error
