"""What a consumer's poll brings: records, and what the client has to say, which whoever runs the platform must hear."""

from __future__ import annotations

from collections.abc import Iterable

import structlog
from confluent_kafka import KafkaError, Message

log = structlog.get_logger()


def sound(messages: Iterable[Message]) -> list[Message]:
    """Those that are records; what the others say is told."""
    found = []
    for message in messages:
        if (error := message.error()) is None:
            found.append(message)
        else:
            tell(error)
    return found


def tell(error: KafkaError) -> None:
    """Logs that a broker is away, or that a topic or a right is missing: the client goes on by itself once it can."""
    log.warning("kafka", error=str(error))
