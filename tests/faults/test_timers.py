"""Timers on real Kafka: once, though the owner is killed at each step; never early, never again after a rebuild."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bridge.errors import NotFound, Unavailable
from bridge.events import RecordedEvent
from bridge.handle import Context
from bridge.history.events import Range
from bridge.settings import Settings
from bridge.wiring import Platform
from tests.alarms.alarms import Drop, How, SetAlarm, bell
from tests.faults.harness import Stage, playing, soon, staged
from tests.faults.reference import log_below
from tests.installed import install, python_path

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

SECOND = 1_000_000
ANN = Context("ann")


@pytest.fixture
async def stage(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    """A stage where the alarms are installed, as pip would."""
    install(tmp_path, "alarms", "tests.alarms.alarms:application")
    monkeypatch.setenv("PYTHONPATH", python_path(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    async with staged(settings, tmp_path) as stage:
        yield stage


@dataclass
class Clocks:
    """Streams of alarms, and what became of them."""

    platform: Platform
    set_: dict[str, int] = field(default_factory=dict)

    async def set(self, stream: str, after: float, how: How = "rings", name: str = "") -> int:
        """Sets an alarm so many seconds from now; answers when it is due."""
        at = int((time.time() + after) * SECOND)
        await self.platform.handler.execute(stream, SetAlarm(name, at, how), ANN)
        self.set_[stream] = at
        return at

    async def drop(self, stream: str, name: str = "") -> None:
        """Drops it."""
        await self.platform.handler.execute(stream, Drop(name), ANN)

    async def events(self, stream: str, type_: str) -> list[RecordedEvent]:
        """The stream's events of a type."""
        try:
            found = (await self.platform.history.events(stream, Range(0, 1000))).events
        except NotFound:
            return []
        return [event for event in found if event.type == type_]

    async def rang(self, stream: str) -> list[RecordedEvent]:
        """How it rang."""
        return await self.events(stream, "AlarmRang")

    async def ended(self) -> list[tuple[str, str]]:
        """(stream, rule) of what was ended without an event."""
        found = await self.events("system/timer~bell", "TimerEnded")
        return [(event.data["stream"], event.data["rule"]) for event in found]

    async def all_rang(self, *streams: str, seconds: float = 20) -> None:
        """Returns once each has rung."""

        async def met() -> bool:
            return all([await self.rang(stream) for stream in streams])

        await soon(met, seconds, f"{streams} rang")

    async def all_ended(self, count: int) -> None:
        """Returns once so many were ended."""

        async def met() -> bool:
            return len(await self.ended()) >= count

        await soon(met, 20, f"{count} ended")

    async def check(self) -> None:
        """Nothing rang before its time, or twice; and each event says why it is there."""
        for stream, at in self.set_.items():
            (rang,) = await self.rang(stream)
            assert rang.effective >= at
            assert (rang.envelope.actor, rang.envelope.metadata) == ("lighthouse-timer", {"timer": "bell#"})
            assert rang.envelope.causation == (await self.events(stream, "AlarmSet"))[-1].id

    async def appends(self) -> int:
        """Records in the log of the alarms that are appends, admitted or not."""
        count = 0
        for space in self.platform.spaces.all():
            place = space.place
            if place.category == "alarm" and (end := await self.platform.reader.end(place.topic, place.partition)):
                kafka = self.platform.base.settings.kafka_bootstrap
                records = await log_below(kafka, place.topic, place.partition, end)
                count += sum(any(name == "lh_append" for name, _ in record.headers) for record in records)
        return count


@asynccontextmanager
async def ticking(stage: Stage, processors: int = 1) -> AsyncIterator[Clocks]:
    """Processors, the platform, and every partition owned."""
    async with playing(stage, processors) as (platform, _):
        await living(platform)
        yield Clocks(platform)


async def living(platform: Platform) -> None:
    """Returns once the alarms' partitions have owners."""

    async def met() -> bool:
        for space in platform.spaces.all():
            async with space.store.view() as view:
                try:
                    await space.check_writable(view, platform.handler._rules.limits)
                except Unavailable:
                    return False
        return True

    await soon(met, 30, "every partition has an owner")


async def test_it_rings_when_it_is_due_unless_it_is_dropped_set_anew_or_refused(stage: Stage) -> None:
    async with ticking(stage) as clocks:
        await clocks.set("alarm/soon", 1.0)
        await clocks.set("alarm/past", -3600)
        await clocks.set("alarm/anew", 0.5)
        await clocks.set("alarm/anew", 1.5)
        dropped = await clocks.set("alarm/dropped", 1.0)
        await clocks.drop("alarm/dropped")
        await clocks.set("alarm/refused", 0.5, "refuses")
        await clocks.set("alarm/asleep", 0.5, "sleeps")
        await clocks.set("alarm/broken", 0.5, "breaks")
        await clocks.set("alarm/two", 0.6, name="x")
        await clocks.set("alarm/two", 0.7, name="y")
        await clocks.all_rang("alarm/soon", "alarm/past", "alarm/anew")
        await clocks.all_ended(2)
        assert sorted(await clocks.ended()) == [("alarm/asleep", ""), ("alarm/refused", "A1")]
        for stream in ("alarm/dropped", "alarm/refused", "alarm/asleep", "alarm/broken", "alarm/two"):
            clocks.set_.pop(stream)
        await clocks.check()
        names = [event.data["name"] for event in await clocks.rang("alarm/two")]
        assert names == ["x", "y"]
        await clocks.set("alarm/dropped", 0.2)
        await clocks.all_rang("alarm/dropped")
        assert [event.effective >= dropped for event in await clocks.rang("alarm/dropped")] == [True]
        assert not await clocks.rang("alarm/refused")


async def test_it_rings_once_though_its_owners_are_killed(stage: Stage) -> None:
    """T2 after the command, T3 before its refusal is recorded, T1 before the command: one is left that takes it all."""
    async with ticking(stage, 4) as clocks:
        streams, refused = [f"alarm/{number}" for number in range(12)], [f"alarm/r{number}" for number in range(8)]
        for number, stream in enumerate(streams):
            await clocks.set(stream, 1.0 + number / 10)
        for number, stream in enumerate(refused):
            await clocks.set(stream, 1.2 + number / 10, "refuses")
            del clocks.set_[stream]
        for step in ("T2", "T3", "T1"):
            victim = await stage.strike(step, signal.SIGKILL)
            assert await victim.ended() == -signal.SIGKILL
        await clocks.all_rang(*streams)
        await clocks.all_ended(len(refused))
        await clocks.check()
        assert sorted(await clocks.ended()) == [(stream, "A1") for stream in refused]
        assert not [stream for stream in refused if await clocks.rang(stream)]


async def test_a_rebuild_rings_nothing_and_does_not_even_try(stage: Stage) -> None:
    """Of the projection, and of everything; what is still to come rings."""
    async with ticking(stage) as clocks:
        for number in range(6):
            await clocks.set(f"alarm/{number}", 0.1)
        await clocks.set("alarm/refused", 0.1, "refuses")
        await clocks.all_rang(*(f"alarm/{number}" for number in range(6)))
        await clocks.all_ended(1)
        await clocks.platform.steering.rebuild(bell.pending, None, ANN)
        await soon(lambda: answers(clocks.platform, (1, 1)), 20, "the second build answers")
        later = await clocks.set("alarm/later", 5)
        appends = await clocks.appends()
        assert appends == 6 * 2 + 2
    stage.end()
    shutil.rmtree(Path(stage.settings.history_store.removeprefix("lmdb://")))
    async with ticking(stage) as again:
        await again.set("alarm/new", 0.1)
        await again.all_rang("alarm/new", "alarm/later")
        again.set_ |= {"alarm/later": later} | {f"alarm/{number}": 0 for number in range(6)}
        await again.check()
        assert await again.appends() == appends + 3
        assert len(await again.ended()) == 1


async def answers(platform: Platform, build: tuple[int, int]) -> bool:
    return (await platform.projections.status(bell.pending)).answering == build


async def test_clocks_that_are_wrong_ring_neither_early_nor_late(stage: Stage) -> None:
    """One is far ahead, one behind. Nothing else is written: the owners' own ticks move effective time on."""
    for wrong in ("3600", "-30"):
        stage.start("tests.faults.skewed", wrong)
    async with ticking(stage, 0) as clocks:
        due = [await clocks.set(f"alarm/{number}", 2.0) for number in range(8)]
        await clocks.all_rang(*clocks.set_)
        await clocks.check()
        for stream, at in zip(clocks.set_, due, strict=True):
            (rang,) = await clocks.rang(stream)
            assert rang.effective < at + 5 * SECOND
