"""A category that is given more partitions: every stream's history stays as it was, wherever the command is killed."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import httpx
import msgspec
import pytest
from confluent_kafka import Consumer, TopicPartition

from bridge.builtin import BUILT_IN
from bridge.errors import Invalid, LighthouseError
from bridge.feed.cursor import Point
from bridge.feed.order import Found
from bridge.history.events import Range
from bridge.history.reader import At
from bridge.local import ports
from bridge.log.groups import Groups, group_of
from bridge.log.headers import header_values
from bridge.log.producer import Outgoing
from bridge.log.record import H_APPEND, H_TICK, headers_of
from bridge.query.reactors import Condition
from bridge.reactor import PUBLISHER
from bridge.repartition.passes import Tell
from bridge.repartition.reading import ends
from bridge.repartition.steps import Repartition, Repartitioned
from bridge.store.contract import Stores
from bridge.store.factory import open_stores
from bridge.wiring import Platform, create_topics, open_base
from tests.checker import CATEGORY, Checker
from tests.faults.conftest import Report
from tests.faults.harness import PARTITIONS, Process, Stage, eventually, owned, playing, soon
from tests.faults.journal import Journal, Outcome
from tests.faults.reference import log_below
from tests.faults.test_garbage import Foreigner, dead_letters, foreign, is_parked, skip_all, transact
from tests.faults.test_reactors import ANN, Desk, desk
from tests.faults.writers import at, commit, writing

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

AFTER = 6
PARKED = "project/parked"
APPEND = {"expected_version": None, "events": [{"type": "CommitRecorded", "data": {"sha": "0" * 40, "message": "no"}}]}
STEPS = (
    "created copy",
    "begun",
    "closed spaces",
    "closed topic",
    "closed",
    "copied",
    "verified",
    "switching",
    "deleted",
    "created",
    "written",
    "filled",
    "opened topic",
    "placed",
    "forgot histories",
)
"""All that are told, in their order."""


@dataclass(frozen=True)
class Past:
    """What was told of one stream: its events, but for where they lie, and its state as of a time that is final."""

    events: list[Found]
    at: At
    version: int
    state: Any


@dataclass(frozen=True)
class Before:
    """A category with a past: what was asked of it, and what was told."""

    journal: Journal
    pasts: Mapping[str, Past]
    cursor: str


async def past_of(platform: Platform, stream: str) -> Past:
    """A stream's past, with its state as of the middle of it."""
    head = (await platform.history.info(stream)).head
    at = At(time=(head.first + head.last) // 2)
    answer = await platform.history.state(stream, at)
    assert answer.final
    return Past(await placeless(platform, stream), at, answer.version, answer.state)


async def placeless(platform: Platform, stream: str) -> list[Found]:
    """All that its events are, but for partition and offset."""
    found: list[Found] = []
    while page := (await platform.history.events(stream, Range(len(found), 500))).events:
        found += page
    return [msgspec.structs.replace(event, partition=0, offset=0) for event in found]


async def raced(platform: Platform, journal: Journal) -> None:
    """A duplicate and a conflict that are in the log, as a client's retries leave them."""
    told = journal.of(Outcome.ACKNOWLEDGED)[0].appended
    assert told is not None
    place = platform.spaces.of(told.stream).place
    log = await log_below(
        platform.base.settings.kafka_bootstrap, place.topic, place.partition, told.position.offset + 1
    )
    first = next(one for one in log if dict(one.headers).get(H_APPEND) == told.append)
    for headers in (list(first.headers), headers_of(b"lost" * 4, 0, 1, bytes(16))):
        where = Outgoing(place.topic, place.partition, first.key, first.value, list(headers))
        await platform.producer.send(where)


async def lived(stage: Stage) -> Before:
    """Guarded appends, conflicts, duplicates, garbage, a parked stream; then all processes end."""
    reactors = stage.reactors()
    async with playing(stage, 1) as (platform, checker):
        async with writing(platform.handler, checker.journal) as writers:
            await writers.progress(4, 30)
            foreigner = Foreigner(stage)
            foreigner.write(0, b"no stream", b"garbage", [])
            foreign(foreigner, platform, PARKED, b"\0\0\x0f\x42\x3fno schema", 2)
            await asyncio.to_thread(transact, stage, 1)
            await writers.progress(4, 30)
        await raced(platform, checker.journal)
        for projection in BUILT_IN:
            await skip_all(platform, projection.name)
        await all_published(platform)
        assert len(list(dead_letters(stage, 3))) == 3
        await checker.check()
        streams = sorted({one.request.stream for one in checker.journal.of(Outcome.ACKNOWLEDGED)})
        pasts = {stream: await past_of(platform, stream) for stream in streams}
        cursor = platform.feed.cursors.point(Point(1, CATEGORY, 0))
    await ended(reactors, *stage.processes)
    return Before(checker.journal, pasts, cursor)


async def all_published(platform: Platform) -> None:
    """Returns once the publisher has published all but what nobody can read, which it is told to skip."""

    async def met() -> bool:
        status = await platform.reactors.status(PUBLISHER)
        if status.condition is Condition.PARKED:
            await platform.reactor_steering.skip(PUBLISHER, None, ANN)
        mine = [one for one in status.partitions if one.category == CATEGORY]
        return all(one.condition is Condition.RUNNING and one.lag == 0 for one in mine)

    await soon(met, 60, "all is published")


async def ended(*processes: Process) -> None:
    """Ends them as a supervisor does: they leave their groups."""
    for process in processes:
        process.signal(signal.SIGTERM)
    for process in processes:
        await process.ended()


@asynccontextmanager
async def repartition(
    stage: Stage, category: str = CATEGORY, stores: Stores | None = None, tell: Tell = lambda *_: None, **base: Any
) -> AsyncIterator[Repartition]:
    """A repartition in the test's own process, with stores that are open in it already, if there are some."""
    async with open_base(stage.settings) as found:
        mine = stores or open_stores(stage.settings.history_store, stage.settings)
        try:
            yield Repartition(replace(found, **base), mine, category, tell)
        finally:
            if stores is None:
                await mine.close()


async def run(stage: Stage, after: int = AFTER, **base: Any) -> Repartitioned:
    """The whole of it, once the owners are known to have ended."""
    async with repartition(stage, **base) as found:

        async def free() -> bool:
            return not any("beat" in one or "members" in one for one in (await found.look(after)).problems)

        await soon(free, 20, "nobody is at work")
        return await found.run(after)


async def refused(stage: Stage, after: int = AFTER, **base: Any) -> str:
    """Why it is not done."""
    async with repartition(stage, **base) as found:
        with pytest.raises(LighthouseError) as error:
            await found.run(after)
        assert await found._facts(found._copy) is None, "nothing was begun"
    return str(error.value)


@asynccontextmanager
async def after_it(stage: Stage, before: Before) -> AsyncIterator[tuple[Platform, Checker]]:
    """Processors and the platform of the time after; all that was told still holds."""
    stage.processor()
    async with stage.platform() as platform:
        await owned(platform)
        assert platform.spaces.categories[CATEGORY] == AFTER
        await soon(partial(built, platform), 60, "the projections are built anew")
        checker = Checker(platform, before.journal)
        await checker.check()
        for stream, past in before.pasts.items():
            answer = await platform.history.state(stream, past.at)
            assert (answer.final, answer.version, answer.state) == (True, past.version, past.state), stream
            assert await placeless(platform, stream) == past.events
        yield platform, checker


async def built(platform: Platform) -> bool:
    """Whether the rows of every projection are there."""
    known = [await platform.projections.status(projection.name) for projection in BUILT_IN]
    return all(build.live for one in known for build in one.builds)


async def test_it_is_killed_at_each_step_and_gone_on_with(stage: Stage, report: Report) -> None:
    before = await lived(stage)
    async with repartition(stage) as found:

        async def free() -> bool:
            return not (await found.look(AFTER)).problems

        await soon(free, 20, "nothing is in the way")
    for step in STEPS:
        process = stage.start("tests.faults.repartitioning", CATEGORY, str(AFTER), step)
        assert await process.ended(60) == -signal.SIGKILL, f"{step}: {process.output}"
        before.journal.fault(f"killed when it had {step}")
        with pytest.raises(LighthouseError, match="is being repartitioned"):
            async with stage.platform():
                pass
        async with open_base(stage.settings) as base:
            with pytest.raises(LighthouseError, match="is being repartitioned"):
                await create_topics(base)
    done = await resumed(stage)
    assert (done.before, done.after) == (PARTITIONS, AFTER)
    assert (done.conflicts, done.duplicates, done.malformed) >= (1, 1, 3)
    await untouched(stage, before)
    async with after_it(stage, before) as (platform, checker):
        assert (await platform.history.info(PARKED)).head.parked
        with pytest.raises(Invalid, match="none of this platform's"):
            platform.feed.cursors.parse(before.cursor, "cursor")
        stage.reactors()
        async with writing(platform.handler, before.journal) as writers:
            await writers.progress(20, 60)  # the first of them are the requests of before, under their keys
        duplicates = [one for one in before.journal.of(Outcome.ACKNOWLEDGED) if one.appended and one.appended.duplicate]
        assert len(duplicates) > 50
        run_ = await checker.check()
        await all_published(platform)
        await published_once(platform, before.journal)
        report(run_ | msgspec.structs.asdict(done))


async def resumed(stage: Stage) -> Repartitioned:
    """What the last run tells; the one before was killed when only the copy was left to be deleted."""
    async with repartition(stage) as found:
        return await found.run(AFTER)


async def untouched(stage: Stage, before: Before) -> None:
    """The topic is as one that was made now, holds the old times, and the publisher goes on behind all of it."""
    async with open_base(stage.settings) as base:
        topic = base.topics.name(CATEGORY)
        specs = await base.topics.specs(base.catalog.categories)
        assert await base.topics.differences([one for one in specs if one.name == topic]) == []
        assert (await base.topics.facts([base.topics.copy(CATEGORY)])) == {}
    places = await Groups(stage.settings).committed(group_of(stage.settings.group, PUBLISHER))
    ends_ = await asyncio.to_thread(last_records, stage, topic)
    assert {number: spot for (name, number), spot in places.items() if name == topic} == {
        number: (offset + 1, 0) for number, (offset, _) in ends_.items()
    }
    times = {time for _, time in ends_.values()}
    latest = max(event.effective for past in before.pasts.values() for event in past.events)
    assert len(times) == 1, "each ends with a tick of the latest time"
    assert times.pop() >= latest


def last_records(stage: Stage, topic: str) -> dict[int, tuple[int, int]]:
    """Offset and time of the last record of each partition, by the time's own kind: it is a tick with our time."""
    consumer = Consumer({"bootstrap.servers": stage.settings.kafka_bootstrap, "group.id": "test"})
    found = {}
    for number in range(AFTER):
        end = consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=10)[1]
        consumer.assign([TopicPartition(topic, number, end - 1)])
        message = consumer.poll(10)
        assert message is not None
        assert dict(message.headers() or [])[H_TICK] == b"1"
        found[number] = (message.offset() or 0, message.timestamp()[1] * 1000)
    consumer.close()
    return found


async def published_once(platform: Platform, journal: Journal) -> None:
    """Each admitted event that can be read, and none twice."""
    settings, topic = platform.base.settings, f"{platform.base.topics.name(CATEGORY)}.events"
    count = (await platform.base.topics.facts([topic]))[topic].partitions
    ids = await asyncio.to_thread(header_values, settings, topic, count, "ce_id", 100_000)
    ends_ = await platform.reader.ends([(topic, number) for number in range(count)])
    assert sum(ends_.values()) == len(ids)
    streams = {one.request.stream for one in journal.of(Outcome.ACKNOWLEDGED)}
    heads = [(await platform.history.info(stream)).head.next for stream in streams]
    assert len(ids) == sum(heads)


async def test_what_is_in_the_way_is_said_and_nothing_is_begun(stage: Stage) -> None:
    async with playing(stage, 1) as (platform, _):
        stores = platform.stores
        await platform.handler.append("project/a", [commit("one")], 0, replace(ANN, key="one"))
        said = await refused(stage, stores=stores)
        assert "its owner beat" in said
        assert "has 1 members: end them" in said
        await ended(stage.processes[-1])
        assert "say more than that" in await refused(stage, PARTITIONS, stores=stores)
        foreigner, where = Foreigner(stage), platform.spaces.of("project/a").place.partition

        async def idle() -> bool:
            async with repartition(stage, stores=stores) as found:
                return not (await found.look(AFTER)).problems

        await soon(idle, 20, "nothing is in the way")
        foreigner.write(where, None, b"", [(H_TICK, b"1")])
        assert await idle(), "a tick that nobody has applied is no append"
        foreigner.write(where, b"project/a", b"\0\0\0\0\1body", headers_of(b"n" * 16, None, 1, bytes(16)))
        assert "let the processors apply the rest" in await refused(stage, stores=stores)
    for category, why in (("system", "has one partition"), ("nothing", "there is no category 'nothing'")):
        async with repartition(stage, category) as found:
            with pytest.raises(LighthouseError, match=why):
                await found.run(AFTER)


async def test_it_can_be_given_up_until_the_switch(stage: Stage) -> None:
    before = await lived(stage)
    for step in ("created copy", "closed topic", "verified"):
        process = stage.start("tests.faults.repartitioning", CATEGORY, str(AFTER), step)
        while (code := await process.ended(60)) == 1:  # the groups still have members for a moment
            assert "members" in process.output or "beat" in process.output, process.output
            process = stage.start("tests.faults.repartitioning", CATEGORY, str(AFTER), step)
        assert code == -signal.SIGKILL, process.output
        async with repartition(stage) as found:
            with pytest.raises(LighthouseError, match="into 6 partitions: go on with --partitions 6"):
                await found.run(AFTER + 1)
            await found.abandon()
            with pytest.raises(LighthouseError, match="is not being repartitioned"):
                await found.abandon()
    stage.processor()
    async with stage.platform() as platform:
        await owned(platform)
        for stream, past in before.pasts.items():
            assert await placeless(platform, stream) == past.events
        async with writing(platform.handler, before.journal) as writers:
            await writers.progress(20, 60)
        await Checker(platform, before.journal).check()


async def test_it_cannot_be_given_up_after_the_switch(stage: Stage) -> None:
    before = await lived(stage)
    async with repartition(stage) as found:

        async def free() -> bool:
            return not (await found.look(AFTER)).problems

        await soon(free, 20, "nothing is in the way")
    process = stage.start("tests.faults.repartitioning", CATEGORY, str(AFTER), "deleted")
    assert await process.ended(60) == -signal.SIGKILL
    async with repartition(stage) as found:
        with pytest.raises(LighthouseError, match="its switch has begun"):
            await found.abandon()
        await found.run(AFTER)
    async with after_it(stage, before):
        pass


class Interrupted(Exception):
    """What Ctrl-C leads to, in the middle of it."""


async def test_of_a_switch_and_an_abandon_on_two_machines_the_first_counts(stage: Stage) -> None:
    """Whoever comes second changes nothing, wherever the other one is just then."""
    before = await lived(stage)
    async with repartition(elsewhere(stage)) as found:

        async def free() -> bool:
            return not (await found.look(AFTER)).problems

        await soon(free, 20, "nothing is in the way")
        switching = await standing_still(stage, "verified")

        def interrupt(step: str) -> None:
            if step == "given up":
                raise Interrupted

        found._step = interrupt
        with pytest.raises(Interrupted):
            await found.abandon()
        switching.signal(signal.SIGCONT)
        assert await switching.ended(60) == 1
        assert "was given up" in switching.output
        with pytest.raises(LighthouseError, match="was given up"):
            await found.run(AFTER)
        found._step = lambda _: None
        await found.abandon()
        assert not (await found.look(AFTER)).problems, "it is as it was"
    switching = await standing_still(stage, "switching")
    async with repartition(elsewhere(stage)) as found:
        with pytest.raises(LighthouseError, match="its switch has begun"):
            await found.abandon()
    switching.signal(signal.SIGCONT)
    assert await switching.ended(60) == 0, switching.output
    async with after_it(stage, before):
        pass


def elsewhere(stage: Stage) -> Stage:
    """The same on another machine: no lock in the home is shared."""
    return replace(stage, settings=stage.settings.model_copy(update={"home": stage.directory / "elsewhere"}))


async def standing_still(stage: Stage, step: str) -> Process:
    """A repartition in another process that stands still at a step."""
    process = stage.start("tests.faults.repartitioning", CATEGORY, str(AFTER), step, "SIGSTOP")
    await eventually(lambda: not process.alive or process.state == "T", 60, f"it stands still at {step}")
    assert process.alive, process.output
    return process


async def test_what_comes_in_between_is_noticed_before_the_switch(stage: Stage) -> None:
    """An append while it is being closed; and somebody who takes a space over."""
    async with playing(stage, 1) as (platform, _):
        stores = platform.stores
        await platform.handler.append("project/a", [commit("one")], 0, replace(ANN, key="one"))
        await ended(stage.processes[-1])
        value = b"\0\0\0\0\1body"
        foreigner = Foreigner(stage)

        def write(step: str) -> None:
            if step == "closed spaces":
                foreign(foreigner, platform, "project/late", value, 1)

        async with repartition(stage, stores=stores) as found:
            found._step = write
            with pytest.raises(LighthouseError, match="appends came while it was being closed"):
                await found.run(AFTER)
            await found.abandon()
        processor = stage.processor()
        await owned(platform)
        await soon(partial(is_parked, platform, "project/late"), 20, "what came late is applied")
        await ended(processor)

        async def take_over() -> None:
            await platform.spaces.at(CATEGORY, 0).store.own()

        async with repartition(stage, stores=stores) as found:
            others: list[asyncio.Task[None]] = []
            found._step = lambda name: others.append(asyncio.ensure_future(take_over())) if name == "verified" else None
            with pytest.raises(LighthouseError, match=r"somebody has taken .*project-0 over meanwhile"):
                await found.run(AFTER)
            assert await found._facts(found._topic) is not None, "the old topic is there"
            found._step = lambda _: None
            assert (await found.run(AFTER)).appends == 2


async def test_who_reads_and_writes_meanwhile_is_told_so(stage: Stage) -> None:
    """An API that was started before it and goes on behind it answers nothing, and asks to be started again."""
    before = await lived(stage)
    port = ports.pick(1)[0]
    api = stage.start("bridge.api", more={"api_port": port})
    told: dict[str, set[tuple[int, str]]] = {}

    def ask(step: str) -> None:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20, trust_env=False) as http:
            for stream in before.pasts:
                read = http.get(f"/v1/streams/{stream}/state")
                write = http.post(f"/v1/streams/{stream}/events", json=APPEND, headers={"Idempotency-Key": step})
                for answer in (read, write):
                    said = answer.json().get("detail", "") if not answer.is_success else "answered"
                    told.setdefault(step, set()).add((answer.status_code, said))

    async with repartition(stage) as found:

        async def ready() -> bool:
            if (await found.look(AFTER)).problems:
                return False  # as long as an owner seems to live, a write would be taken
            try:
                ask("before")
            except httpx.TransportError:
                return False
            return True

        await soon(ready, 30, "nothing is in the way")
        found._step = lambda name: ask(name) if name in ("closed topic", "verified", "written", "placed") else None
        await found.run(AFTER)
    assert {status for status, _ in told.pop("before")} == {200, 503}, "it reads, and nobody would apply a write"
    being = (503, "category project is being repartitioned: it can be read and written again soon")
    assert told == {step: {being} for step in ("closed topic", "verified", "written", "placed")}
    async with after_it(stage, before):
        told.clear()
        ask("behind")
        ((status, said),) = {(status, said.partition(" has ")[2]) for status, said in told["behind"]}
    assert (status, said) == (503, "6 partitions, and had 4 when this process was started: start it again")
    await ended(api)


async def test_a_reactor_goes_on_behind_the_copy_and_is_waited_for_before(stage: Stage) -> None:
    """It is given nothing twice, and misses nothing, whatever partition its streams lie in now."""
    async with desk(stage, "beginning") as before:
        streams = [at(before.platform.handler, number) for number in range(PARTITIONS)]
        with_it: dict[str, Any] = {"catalog": replace(before.platform.base.catalog, reactors=(before.reactor,))}
        async with before.running() as running:
            await before.settled(running)
            for stream in streams:
                await before.write(stream, f"{stream} 1", f"{stream} 2")
            await before.sent(8)
        await before.write(streams[0], "late")
        await ended(*stage.processes)
    stage_ = replace(stage, settings=stage.settings.model_copy(update={"publish": False}))
    assert "reactor mail in project-0: it has events before it" in await settled_refusal(stage_, with_it)
    stage.processor()
    async with stage.platform() as platform:
        await owned(platform)
        again = Desk(platform, before.reactor, before.box)
        async with again.running():
            await again.sent(9)
        await ended(stage.processes[-1])
    await run(stage_, **with_it)
    stage.processor()
    async with stage.platform() as platform:
        await owned(platform)
        after = Desk(platform, before.reactor, before.box)
        async with after.running() as running:
            await soon(partial(settled_in, running, AFTER), 20, "settled")
            for stream in streams:
                await after.write(stream, f"{stream} 3")
            await after.sent(9 + len(streams))
        assert (await after.status()).lag == 0
    for stream in streams:
        texts = [text for text in before.box.texts(stream) if text != "late"]
        assert texts == [f"{stream} 1", f"{stream} 2", f"{stream} 3"]
    assert len(set(before.box.keys)) == len(before.box.keys) == 9 + len(streams)


async def settled_refusal(stage: Stage, base: Mapping[str, Any]) -> str:
    """The refusal once nobody is at work any more."""
    said: list[str] = []

    async def met() -> bool:
        said.append(await refused(stage, **base))
        return "beat" not in said[-1] and "members" not in said[-1]

    await soon(met, 20, "nobody is at work")
    return said[-1]


async def settled_in(running: Any, count: int) -> bool:
    parts = running._parts
    return len(parts) == count and all(one.place for one in parts.values())


def held(stage: Stage, topic: str) -> int:
    """How many records the topic has, but for the journal's."""
    return sum(ends(stage.settings, topic, AFTER))


def arrived(stage: Stage, topic: str) -> None:
    """Returns once some of what was written has arrived."""
    until = time.monotonic() + 20
    while not held(stage, topic):
        assert time.monotonic() < until, f"nothing arrives in {topic}"


async def test_one_that_was_interrupted_in_the_middle_goes_on(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a copy has already is not written again; a new topic that is not full is filled from its beginning."""
    monkeypatch.setattr("bridge.repartition.passes.EVERY", 10)
    monkeypatch.setattr("bridge.repartition.reading.ROOM", 40_000)  # so that partitions have to wait for each other
    before = await lived(stage)
    admitted = sum(len(past.events) for past in before.pasts.values())
    topic = f"{stage.settings.topic_prefix}.{CATEGORY}"
    told: list[str] = []
    for where, target in (("copying", f"{topic}.repartition"), ("filling the new topic", topic)):

        def tell(what: str, done: int, of: int, where: str = where, target: str = target) -> None:
            told.append(what)
            if what == where and done > of // 2:
                arrived(stage, target)
                raise Interrupted

        async with repartition(stage, tell=tell) as found:
            with pytest.raises(Interrupted):
                await found.run(AFTER)
        assert 0 < await asyncio.to_thread(held, stage, target) < admitted
    assert told.count("copying") > 10
    told.clear()
    async with repartition(stage, tell=lambda what, *_: told.append(what)) as found:
        await found.run(AFTER)
    assert "copying" not in told
    async with after_it(stage, before):
        pass
