"""What an autoscaler goes by, on real processes: how old the lag is, and how much of its time a processor waits."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable

import pytest
from confluent_kafka import Producer

from bridge.api.standing import Standing
from bridge.repartition.steps import TIMES, WRITTEN
from bridge.store.rows import Lived
from bridge.survey import PartitionStatus, survey
from bridge.wiring import Platform
from tests.checker import CATEGORY
from tests.faults.harness import PATIENCE, Stage, playing, soon, spaces
from tests.faults.journal import Outcome, Request
from tests.faults.writers import at, commit

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

HOUR = 3600.0


class Past:
    """Writes records that no admission counts, with times of its own."""

    def __init__(self, platform: Platform) -> None:
        self._topics = platform.base.topics
        self._topic = self._topics.name(CATEGORY)
        self._kafka = Producer({"bootstrap.servers": platform.base.settings.kafka_bootstrap})

    async def write(self, partition: int, *ages: float) -> None:
        """Records that came in so many seconds ago."""
        await self._topics.alter(self._topic, WRITTEN)
        for age in ages:
            self._kafka.produce(self._topic, b"x", b"x", partition, timestamp=int((time.time() - age) * 1000))
        assert await asyncio.to_thread(self._kafka.flush, 20) == 0
        await self._topics.alter(self._topic, {TIMES: "LogAppendTime"})


async def look(platform: Platform, partition: int) -> PartitionStatus:
    found = await survey(platform.spaces, platform.reader)
    return next(one for one in found if (one.category, one.partition) == (CATEGORY, partition))


async def test_the_lag_in_seconds_is_the_age_of_the_oldest_record_that_is_not_applied(stage: Stage) -> None:
    async with playing(stage, 1) as (platform, _):
        past = Past(platform)
        await past.write(0, HOUR)

        async def applied() -> bool:
            found = await look(platform, 0)
            return (found.position, found.end, found.behind) == (1, 1, 0.0)

        await soon(applied, PATIENCE, "the record of an hour ago is applied")
        (processor,) = stage.processes
        processor.kill()
        await past.write(0, 0.0)
        found = await look(platform, 0)
        assert found.lag == 1
        assert found.behind < PATIENCE, "it has just come in, behind an idle hour"
        await past.write(1, HOUR / 2, HOUR / 3, 0.0)
        found = await look(platform, 1)
        assert (found.lag, found.effective) == (3, 0)
        assert HOUR / 2 <= found.behind < HOUR / 2 + PATIENCE, "nothing was ever applied, and records wait"


async def test_an_append_behind_an_idle_hour_is_not_refused(stage: Stage) -> None:
    """A4 goes by the appends that have waited, not by the age of what was applied last."""
    async with playing(stage, 1) as (platform, checker):
        past = Past(platform)
        await past.write(0, HOUR)

        async def lag(records: int) -> bool:
            return (await look(platform, 0)).lag == records

        await soon(lambda: lag(0), PATIENCE, "the record of an hour ago is applied")
        (processor,) = stage.processes
        processor.signal(signal.SIGSTOP)
        await processor.stopped()
        stream = at(platform.handler, 0)
        asking = asyncio.create_task(checker.journal.ask(platform.handler, Request(stream, 0, stream, [commit("x")])))
        await soon(lambda: lag(1), PATIENCE, "the append waits")
        processor.signal(signal.SIGCONT)
        assert (await asking).outcome is Outcome.ACKNOWLEDGED


async def test_a_processor_with_nothing_to_do_waits_all_the_time_and_writes_little(stage: Stage) -> None:
    async with playing(stage, 1) as (platform, _):
        first = await idle(platform, lambda told: told.seconds > 0)
        began, commits = time.monotonic(), await committed(platform)
        then = await idle(platform, lambda told: told.seconds >= first.seconds + 8)
        took = time.monotonic() - began
        assert then.waited - first.waited > 0.8 * (then.seconds - first.seconds), "nearly all of its time"
        assert await committed(platform) - commits <= took, "all partitions together: less than one a second"
        (processor,) = stage.processes
        processor.kill()
        await soon(lambda: is_gone(platform), PATIENCE, "a process that is gone is not shown")


async def told(platform: Platform) -> dict[tuple[str, ...], Lived]:
    """What each living process has lived and waited, by its labels, as /metrics tells."""
    standing = Standing()
    standing.show(await survey(platform.spaces, platform.reader), platform.base.settings.session)
    found = {one.name: one.samples for one in standing.collect()}
    seconds, waited = (found[f"lighthouse_processor_{name}"] for name in ("seconds", "waited_seconds"))
    return {
        tuple(one.labels.values()): Lived(one.value, other.value) for one, other in zip(seconds, waited, strict=True)
    }


async def idle(platform: Platform, met: Callable[[Lived], bool]) -> Lived:
    """What the only processor tells, once that is enough."""
    found: list[Lived] = []

    async def enough() -> bool:
        found[:] = (await told(platform)).values()
        return len(found) == 1 and met(found[0])

    await soon(enough, PATIENCE, "the processor tells how long it has waited")
    return found[0]


async def is_gone(platform: Platform) -> bool:
    return not await told(platform)


async def committed(platform: Platform) -> int:
    """Commits of all partitions of the category so far."""
    found = 0
    for space in spaces(platform):
        async with space.store.view() as view:
            found += view.mark.commit
    return found
