"""The servers that a row needs: Kafka in the `bench` profile and the schema registry, once a run."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from bridge.local import ports
from bridge.local.kafka import start_kafka
from bridge.local.registry import start_registry
from bridge.settings import Settings


class Servers:
    """Starts them when first asked for, in a home of their own below `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._stack = ExitStack()
        self._settings: Settings | None = None

    def settings(self, name: str, **more: object) -> Settings:
        """For one row: topics, group, home, stores and API port of its own on the shared servers, and what it says."""
        if self._settings is None:
            self._settings = self._start()
        return self._settings.model_copy(
            update={
                "topic_prefix": f"bench-{name}",
                "group": f"bench-{name}",
                "home": self.root / name,
                "history_store": f"lmdb://{self.root / name / 'stores'}",
                "api_port": ports.pick(1)[0],
            }
            | more
        )

    def _start(self) -> Settings:
        """Servers that the environment names are used as they are."""
        settings = home(self.root / "servers").model_copy(update={"kafka_profile": "bench"})
        if not settings.kafka_bootstrap:
            kafka = start_kafka(settings)
            self._stack.callback(kafka.stop)
            settings = settings.model_copy(update={"kafka_bootstrap": kafka.bootstrap})
        if not settings.registry_url:
            registry = start_registry(settings)
            self._stack.callback(registry.stop)
            settings = settings.model_copy(update={"registry_url": registry.url})
        return settings

    def at_close(self, stop: Callable[[], None]) -> None:
        """Something that several rows use, and that ends before the servers do."""
        self._stack.callback(stop)

    def close(self) -> None:
        """Stops what was started, the last first."""
        self._stack.close()


def home(path: Path) -> Settings:
    """The environment's settings in another home, with free ports and the usual home's jars and JVM caches."""
    known = Settings()
    return known.model_copy(update={"home": path, "cache": known.cache_root, "kafka_port": 0, "registry_port": 0})
