"""Ticks: records that only move a partition's effective time on, so that an as-of answer can become final (P7)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog

from bridge.log.producer import Delivered, Outgoing, Producer
from bridge.log.record import H_TICK, Place

log = structlog.get_logger()


class Ticker:
    """Writes at most one tick a second to a partition; whether one was written matters to nobody but the clock."""

    def __init__(self, producer: Producer, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` counts seconds."""
        self._producer = producer
        self._clock = clock
        self._last: dict[str, float] = {}

    def tick(self, place: Place) -> None:
        """Writes a tick soon, unless the last one is less than a second old."""
        now = self._clock()
        if now - self._last.get(place.space, -1.0) < 1.0:
            return
        self._last[place.space] = now
        outgoing = Outgoing(place.topic, place.partition, None, b"", [(H_TICK, b"1")])
        try:
            self._producer.send(outgoing).add_done_callback(_look)
        except Exception as error:  # a tick that cannot be written now is written a second later
            log.info("tick not taken", partition=place.space, error=str(error))


def _look(report: asyncio.Future[Delivered]) -> None:
    if not report.cancelled() and (error := report.exception()) is not None:
        log.info("tick not confirmed", error=str(error))
