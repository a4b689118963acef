"""Where the servers of a home listen, for the processes that use them without having started them."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from bridge.errors import LighthouseError
from bridge.local.cluster import Cluster
from bridge.local.registry import Listening
from bridge.settings import Settings

T = TypeVar("T")


def located(settings: Settings) -> Settings:
    """The settings with the addresses of the home's own Kafka and registry where none are set.

    Raises LighthouseError where there are none either.
    """
    found = {}
    if not settings.kafka_bootstrap:
        cluster = _read(settings.root / "kafka" / "cluster.json", Cluster, "LIGHTHOUSE_KAFKA_BOOTSTRAP")
        found["kafka_bootstrap"] = cluster.bootstrap
    if not settings.registry_url:
        listening = _read(settings.root / "registry" / "ports.json", Listening, "LIGHTHOUSE_REGISTRY_URL")
        found["registry_url"] = listening.url
    return settings.model_copy(update=found)


def _read(file: Path, kind: type[T], setting: str) -> T:
    try:
        return msgspec.json.decode(file.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError) as error:
        raise LighthouseError(f"{file} does not tell an address: run `lighthouse up`, or set {setting}") from error
