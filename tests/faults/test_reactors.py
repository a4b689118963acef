"""Reactors: what is admitted, live, in order, at least once; parked, lost, killed; and never by a replay or rebuild."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx
import pytest
from confluent_kafka.admin import AdminClient

from bridge.errors import Conflict, Invalid, NotFound, Unavailable
from bridge.events import RecordedEvent
from bridge.handle import Context
from bridge.local import ports
from bridge.log.groups import group_of
from bridge.log.producer import Outgoing
from bridge.log.record import PREFIX, headers_of
from bridge.query.reactors import Condition, Reactors, ReactorStatus
from bridge.reactor import Reaction, Reactor, Start
from bridge.steering import ReactorSteering
from bridge.wiring import Platform
from streams.reactors import Applied, Running
from tests.faults.harness import Stage, eventually, playing, soon
from tests.faults.writers import at, commit

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

NAME = "mail"
ANN = Context("ann")


@dataclass
class Mailbox:
    """The effects of a reactor; `bad` are texts for which it fails, `away` for which the platform would be away."""

    mails: list[tuple[str, int, str]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    bad: set[str] = field(default_factory=set)
    away: set[str] = field(default_factory=set)

    async def react(self, event: RecordedEvent, reaction: Reaction) -> None:
        """Keeps a mail."""
        if event.data["message"] in self.away:
            raise Unavailable("not now")
        if event.data["message"] in self.bad:
            raise ValueError(f"cannot send {event.data['message']}")
        self.mails.append((event.stream, event.version, event.data["message"]))
        self.keys.append(reaction.key)
        assert reaction.key == event.id == reaction.context.key

    def texts(self, stream: str | None = None) -> list[str]:
        """What was sent, in order."""
        return [text for name, _, text in self.mails if stream in (None, name)]


@dataclass
class Desk:
    """A platform with a reactor, and what a person can ask and say of it."""

    platform: Platform
    reactor: Reactor
    box: Mailbox

    @property
    def reactors(self) -> Reactors:
        """Its reading."""
        known = self.platform.reactors
        return Reactors([self.reactor], known._spaces, known._projections, known._groups, known._group)

    @property
    def steering(self) -> ReactorSteering:
        """What is decided of it."""
        return ReactorSteering(self.platform.handler, self.reactors, self.platform.reader.end)

    async def write(self, stream: str, *texts: str) -> None:
        """Appends an event each."""
        for text in texts:
            await self.platform.handler.append(stream, [commit(text)], None, Context("w", key=text))

    async def status(self) -> ReactorStatus:
        """How the reactor stands."""
        return await self.reactors.status(NAME)

    async def is_(self, condition: Condition, seconds: float = 20) -> ReactorStatus:
        """Returns once it is in this condition somewhere."""

        async def met() -> bool:
            return (await self.status()).condition is condition

        await soon(met, seconds, f"reactor {condition}")
        return await self.status()

    async def behind(self) -> bool:
        """Whether it has something to do."""
        return (await self.status()).lag > 0

    async def sent(self, count: int) -> None:
        """Returns once so many mails were sent."""
        await eventually(lambda: len(self.box.mails) >= count, 20, f"{count} mails, not {self.box.mails}")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Running]:
        """The reactor at work in this process."""
        stop = asyncio.Event()
        running = Running(self.platform, Applied(self.reactor, self.platform.base.schemas, self.platform.handler))
        task = asyncio.create_task(running.run(stop))
        try:
            yield running
        finally:
            stop.set()
            await asyncio.wait_for(task, 20)

    async def settled(self, running: Running) -> None:
        """Returns once it knows where to go on, in every partition."""
        parts = running._parts
        await eventually(lambda: len(parts) == 4 and all(one.place for one in parts.values()), 20, "settled")


@asynccontextmanager
async def desk(stage: Stage, start: Start = "end", processors: int = 1) -> AsyncIterator[Desk]:
    """A processor, and a reactor that is not at work yet."""
    async with playing(stage, processors) as (platform, _):
        box = Mailbox()
        yield Desk(platform, Reactor(NAME, box.react, ("project",), start, attempts=2, timeout=5), box)


async def test_it_is_given_what_is_admitted_and_goes_on_where_it_stopped(stage: Stage) -> None:
    async with desk(stage) as desk_:
        await desk_.write("project/a", "before it began")
        assert (await desk_.status()).condition is Condition.NEW
        async with desk_.running() as running:
            await desk_.settled(running)
            await desk_.write("project/a", "1", "2")
            with pytest.raises(Conflict):
                await desk_.platform.handler.append("project/a", [commit("lost")], 1, Context("w", key="lost"))
            await desk_.write("project/b", "3")
            await desk_.write("project/a", "2", "4")
            await desk_.sent(4)
        assert desk_.box.texts("project/a") == ["1", "2", "4"]
        await desk_.write("project/a", "5", "6")
        desk_.box.away = {"5"}
        async with desk_.running():
            await soon(desk_.behind, 20, "an event waits")
            assert (await desk_.status()).condition is Condition.RUNNING, "a platform that is away is waited for"
            desk_.box.away.clear()
            await desk_.sent(6)
            await desk_.is_(Condition.RUNNING)
        assert desk_.box.texts("project/a") == ["1", "2", "4", "5", "6"]
        assert len(set(desk_.box.keys)) == len(desk_.box.keys) == 6
        status = await desk_.status()
        assert (status.lag, status.seconds) == (0, 0.0)


async def test_it_stands_still_where_it_keeps_failing_until_a_person_speaks(stage: Stage) -> None:
    async with desk(stage, "beginning") as desk_:
        here, there = at(desk_.platform.handler, 0), at(desk_.platform.handler, 1)
        desk_.box.bad = {"bad", "worse"}
        events = [commit(text) for text in ("good", "bad", "later")]
        await desk_.platform.handler.append(here, events, 0, ANN)
        async with desk_.running():
            status = await desk_.is_(Condition.PARKED)
            (parked,) = [one.parked for one in status.partitions if one.parked is not None]
            assert (parked.stream, parked.stream_version, parked.index) == (here, 1, 1)
            assert parked.error == "ValueError: cannot send bad"
            assert "raise ValueError" in parked.traceback
            await desk_.write(there, "elsewhere")
            await desk_.sent(2)
        desk_.box.bad.remove("bad")
        async with desk_.running() as running:
            await desk_.settled(running)
            assert (await desk_.status()).condition is Condition.PARKED
            assert desk_.box.texts() == ["good", "elsewhere"], "a restart is no retry, and repeats nothing before it"
            await desk_.steering.retry(NAME, ANN)
            await desk_.sent(4)
            await desk_.write(here, "worse", "last")
            await desk_.is_(Condition.PARKED)
            with pytest.raises(NotFound):
                await desk_.steering.skip(NAME, "nothing:0", ANN)
            await desk_.steering.skip(NAME, None, ANN)
            await desk_.sent(5)
            await desk_.is_(Condition.RUNNING)
        assert desk_.box.texts(here) == ["good", "bad", "later", "last"]


async def test_an_event_that_nobody_can_read_yet_is_waited_for_or_skipped(stage: Stage) -> None:
    """Its partition waits, all others go on."""
    async with desk(stage, "beginning") as desk_:
        here, there = at(desk_.platform.handler, 0), at(desk_.platform.handler, 1)
        headers = headers_of(b"u" * 16, None, 1, bytes(16))
        value = PREFIX.pack(0, 999_999) + b"no schema"
        topic = desk_.platform.facts["project"].name
        await desk_.platform.producer.send(Outgoing(topic, 0, here.encode(), value, headers))
        await desk_.write(at(desk_.platform.handler, 0, "beside"), "beside")
        await desk_.write(there, "elsewhere")
        async with desk_.running():
            status = await desk_.is_(Condition.PARKED)
            parked = status.partitions[0].parked
            assert parked is not None
            assert (parked.stream, parked.unread) == (here, True)
            assert "cannot be decoded yet" in parked.error
            await desk_.sent(1)
            assert desk_.box.texts() == ["elsewhere"]
            await desk_.steering.skip(NAME, parked.event, ANN)
            await desk_.sent(2)
            await desk_.is_(Condition.RUNNING)
        assert desk_.box.texts() == ["elsewhere", "beside"]


async def test_without_its_offset_it_asks_and_never_guesses(stage: Stage) -> None:
    async with desk(stage) as desk_:
        stream = at(desk_.platform.handler, 2)
        async with desk_.running() as running:
            await desk_.settled(running)
            await desk_.write(stream, "1", "2", "3")
            await desk_.sent(3)
        forget(stage)
        await desk_.write(stream, "4")
        async with desk_.running() as running:
            await soon(partial(lost_in, desk_, 2), 20, "lost")
            lost = (await desk_.status()).partitions[2]
            assert "does not know where to go on in project-2" in lost.lost
            with pytest.raises(Invalid):
                await desk_.steering.place(NAME, ("project", 2), 1_000_000, ANN)
            with pytest.raises(NotFound):
                await desk_.steering.place(NAME, ("system", 0), 0, ANN)
            assert desk_.box.texts() == ["1", "2", "3"]
            await desk_.steering.place(NAME, ("project", 2), 1, ANN)
            await desk_.sent(6)
            for partition in (0, 1, 3):
                await soon(partial(lost_in, desk_, partition), 20, "lost")
                await desk_.steering.place(NAME, ("project", partition), "end", ANN)
            await desk_.settled(running)
            await desk_.is_(Condition.RUNNING)
            with pytest.raises(Invalid):
                await desk_.steering.place(NAME, ("project", 2), "beginning", ANN)
        assert desk_.box.texts() == ["1", "2", "3", "2", "3", "4"]


async def lost_in(desk_: Desk, partition: int) -> bool:
    return any(one.partition == partition and one.lost for one in (await desk_.status()).partitions)


def forget(stage: Stage) -> None:
    """Kafka forgets the offsets, as it does those of a group that was away too long."""
    admin = AdminClient({"bootstrap.servers": stage.settings.kafka_bootstrap})
    group = group_of(stage.settings.group, NAME)
    admin.delete_consumer_groups([group])[group].result()


async def test_no_replay_no_rebuild_and_no_lost_store_fires_it(stage: Stage) -> None:
    """And what is live meanwhile still does."""
    async with desk(stage, "beginning") as desk_:
        await desk_.write("project/a", "1", "2", "3")
        async with desk_.running():
            await desk_.sent(3)
            await desk_.platform.steering.rebuild("streams", None, ANN)
            await rebuilt(desk_.platform)
        stores = Path(stage.settings.history_store.removeprefix("lmdb://"))
        stage.end()
    shutil.rmtree(stores)
    port = ports.pick(1)[0]
    async with playing(stage, 1) as (platform, _):
        again = Desk(platform, desk_.reactor, desk_.box)
        async with again.running() as running:
            await again.settled(running)
            stage.start("bridge.api", more={"api_port": port})
            assert await replayed(f"http://127.0.0.1:{port}") == ["1", "2", "3"]
            await again.write("project/a", "4")
            await again.sent(4)
        assert again.box.texts() == ["1", "2", "3", "4"]


async def rebuilt(platform: Platform) -> None:
    async def met() -> bool:
        return (await platform.projections.status("streams")).answering == (1, 1)

    await soon(met, 20, "the second build answers")


async def replayed(url: str) -> list[str]:
    """The messages of a replay of everything, over HTTP."""
    async with httpx.AsyncClient(base_url=url, timeout=20, trust_env=False) as http:

        async def ready() -> bool:
            try:
                return (await http.get("/health/ready")).is_success
            except httpx.TransportError:
                return False

        await soon(ready, 30, "the API is ready")
        answer = await http.get("/v1/events", params={"category": "project", "limit": 100})
        assert answer.is_success, answer.text
        told = (await http.get("/v1/replay", params={"category": "project", "speed": 0})).text
        found = [event["data"]["message"] for event in answer.json()["events"]]
        assert all(f'"message":"{text}"' in told for text in found), told
        return found


async def test_members_share_the_partitions_and_repeat_nothing(stage: Stage) -> None:
    async with desk(stage, "beginning") as desk_:
        async with desk_.running() as other:
            await desk_.settled(other)
            async with desk_.running() as leaving:
                await eventually(lambda: len(leaving._parts) == 2 and len(other._parts) == 2, 20, "shared")
                await desk_.write("project/a", *map(str, range(5)))
                await desk_.sent(5)
            await eventually(lambda: len(other._parts) == 4, 20, "all are here again")
            for number in range(4):
                await desk_.write(at(desk_.platform.handler, number), f"last {number}")
            await desk_.sent(9)
        assert len(set(desk_.box.keys)) == len(desk_.box.keys) == 9
