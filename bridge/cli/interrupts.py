"""Ctrl-C and SIGTERM as one exception, that comes once and never in the middle of an event loop's own work."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(Exception):
    """Ctrl-C, or a termination signal: everything started so far is ended again."""


class Interrupts:
    """The first signal raises Stopped; those that follow wait for the clean end."""

    def __init__(self) -> None:
        self._came = False

    @contextmanager
    def told(self) -> Iterator[None]:
        """Signals raise Stopped from here on. Where coroutines run, use `run` as well."""
        before = {number: signal.signal(number, self._raise) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _raise(self, number: int, frame: FrameType | None) -> None:
        if not self._came:
            self._came = True
            raise Stopped

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine in an event loop of its own; a signal cancels it, and raises Stopped once it has ended.

        Raised from the signal's handler, the exception would come in whatever callback the loop is in, and be lost.
        """
        try:
            result = asyncio.run(self._cancelled(work))
        finally:
            for number in SIGNALS:  # the loop's own end took its handlers away
                signal.signal(number, self._raise)
        if self._came:
            raise Stopped
        return result

    async def _cancelled(self, work: Coroutine[Any, Any, T]) -> T:
        loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work)

        def stop() -> None:
            if not self._came:
                self._came = True
                task.cancel()

        for number in SIGNALS:
            loop.add_signal_handler(number, stop)
        try:
            return await task
        except asyncio.CancelledError:
            raise Stopped from None
