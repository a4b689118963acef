"""The write side as an application sees it: who asks and why, and the command that is decided and appended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from bridge.events import Appended


@dataclass(frozen=True, slots=True)
class Context:
    """Who asks, and why. `key` is the Idempotency-Key; without one the append id is random: nothing can be retried.

    `time` is the event time in microseconds since 1970 UTC; None stands for now. `request` is the hash of the request
    as it was sent (`ids.request_hash`); left empty, the handler hashes what it was given.
    """

    actor: str
    key: str | None = None
    time: int | None = None
    correlation: str = ""
    causation: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    traceparent: str = ""
    request: bytes = b""


class Commands(Protocol):
    """The write side as an application sees it."""

    async def execute(self, stream: str, command: Any, context: Context) -> Appended:
        """Decides the command on the stream's state and appends what was decided.

        Raises Refused, KeyReused, Contended, Unavailable, Unknown. A command that decides no event answers with
        first_version = head and last_version = head - 1 and writes nothing.
        """
