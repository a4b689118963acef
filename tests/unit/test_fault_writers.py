"""That the writers of a fault test ask until they are told, and that some of them compete."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from bridge.errors import Conflict, Unavailable, Unknown
from bridge.events import Appended, Event, Position
from bridge.handle import Context
from tests.campaign.reads import untold
from tests.faults.journal import Journal, Outcome
from tests.faults.writers import GUARDED, Writers, stream_of, writing


@dataclass
class Log:
    """Takes appends in memory; while it is `losing`, it writes and does not tell, and while `away` it does nothing."""

    heads: Counter[str] = field(default_factory=Counter)
    known: dict[str, Appended] = field(default_factory=dict)
    losing: bool = False
    away: bool = False

    async def append(self, stream: str, events: Sequence[Event], expected: int | None, context: Context) -> Appended:
        """See bridge.handle.Handler."""
        assert context.key is not None
        await asyncio.sleep(0)
        if self.away:
            raise Unavailable("nobody there")
        if context.key not in self.known:
            if expected not in (None, self.heads[stream]):
                raise Conflict(stream, expected, self.heads[stream])
            first, self.heads[stream] = self.heads[stream], self.heads[stream] + len(events)
            position = Position("t", 0, self.heads.total())
            self.known[context.key] = Appended(stream, first, self.heads[stream] - 1, position, b"id")
        if self.losing:
            raise Unknown("the answer was lost")
        return self.known[context.key]


async def lost(log: Log, writers: Writers) -> None:
    """Returns once the writers were told nothing of their requests."""
    log.losing = True
    asked = len(writers.journal.attempts)
    await writers.journal.until(lambda journal: len(journal.attempts) >= asked + 2 * len(writers.tasks), 10, "attempts")
    assert untold(writers.journal.attempts)


async def test_requests_under_way_at_the_end_are_asked_again_until_they_are_told() -> None:
    log, journal = Log(), Journal()
    async with writing(log, journal, 0.001) as writers:
        await writers.progress(2, 10)
        await lost(log, writers)
        ending = asyncio.create_task(writers.finish())
        await journal.until(lambda _: writers.stop.is_set(), 10, "told to end")
        log.losing = False
        await ending
    assert untold(journal.attempts) == []


async def test_what_may_have_been_written_is_not_given_up_while_the_log_is_away() -> None:
    log, journal = Log(), Journal()
    async with writing(log, journal, 0.001) as writers:
        await lost(log, writers)
        log.losing, log.away = False, True
        refused = len(journal.attempts) + 10 * len(writers.tasks)
        await journal.until(lambda now: len(now.attempts) >= refused, 10, "refusals")
        log.away = False
    assert untold(journal.attempts) == []


async def test_the_end_of_the_writers_has_a_bound() -> None:
    log, journal = Log(losing=True), Journal()
    writers = Writers(log, journal)
    writers.tasks.append(asyncio.create_task(writers.guarded("w0", "project/w0")))
    await journal.until(lambda now: bool(now.attempts), 10, "an attempt")
    writers.stop.set()  # with `late` in the past
    await asyncio.wait_for(writers.finish(), 10)
    assert len(untold(journal.attempts)) == 1


async def test_rivals_share_a_stream() -> None:
    shared = {stream: count for stream, count in Counter(map(stream_of, range(GUARDED))).items() if count > 1}
    assert shared == {"project/rivals-a": 3, "project/rivals-b": 3}
    log, journal = Log(), Journal()
    async with writing(log, journal, 0.001) as writers:
        await writers.progress(5, 10)
    assert {one.request.stream for one in journal.of(Outcome.CONFLICT)} == shared.keys()
