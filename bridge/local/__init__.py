"""Real Kafka and a real schema registry with nothing but pip."""

from bridge.local.home import Process, Running, running, wipe
from bridge.local.kafka import Broker, LocalKafka, start_kafka
from bridge.local.registry import LocalRegistry, start_registry

__all__ = [
    "Broker",
    "LocalKafka",
    "LocalRegistry",
    "Process",
    "Running",
    "running",
    "start_kafka",
    "start_registry",
    "wipe",
]
