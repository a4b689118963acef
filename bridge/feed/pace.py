"""When an event of a replay is due: the gaps between effective times, divided by the speed."""

from __future__ import annotations

import math
from collections.abc import Callable

Clock = Callable[[], float]
"""Seconds that only go forward."""

LONGEST = 30.0
"""Seconds that a reader waits for the next event at most, if not told otherwise: a quiet night is skipped."""


class Pace:
    """A clock of the past that runs `speed` times as fast as the given one, stands while paused, and leaps over gaps.

    Speed 0 is as fast as possible: everything is due at once. A reader that falls behind gets what it has missed as
    fast as it can, and is in step again.
    """

    def __init__(self, clock: Clock, speed: float, longest: float = LONGEST) -> None:
        """`longest` is the longest wait for the next event, in seconds of the given clock."""
        self._clock = clock
        self._speed = speed
        self._longest = longest
        self._paused = False
        self._past: float | None = None  # in microseconds; None until the first event
        self._since = clock()

    @property
    def speed(self) -> float:
        """Seconds of the past in a second; 0 for as fast as possible."""
        return self._speed

    @speed.setter
    def speed(self, speed: float) -> None:
        """From now on."""
        self._settle()
        self._speed = speed

    @property
    def paused(self) -> bool:
        """Whether the past stands still; nothing is due then."""
        return self._paused

    @paused.setter
    def paused(self, paused: bool) -> None:
        """From now on."""
        self._settle()
        self._paused = paused

    def wait(self, effective: int) -> float:
        """Seconds until an event of this effective time is due, if nothing changes meanwhile; 0 for now.

        Ask in the order of the events. Infinite while paused.
        """
        if self._paused:
            return math.inf
        self._settle()
        if not self._speed or self._past is None:
            self._past = effective
        per_second = self._speed * 1e6
        if effective - self._past > self._longest * per_second:
            self._past = effective - self._longest * per_second
        return max(0.0, (effective - self._past) / per_second) if self._speed else 0.0

    def _settle(self) -> None:
        """Moves the past on to now."""
        now = self._clock()
        if self._past is not None and not self._paused:
            self._past += (now - self._since) * self._speed * 1e6
        self._since = now
