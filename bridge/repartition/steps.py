"""The steps of a repartition, each of which may be done again: whoever starts it anew goes on where it was ended.

C1 look, and refuse; C2 begin; C3 close; C4 copy; C5 compare; C6 switch: delete, create, fill; C7 open. Until C6 it can
be given up; from then on the copy is what the category is, and it only goes on. Which of both it is stands in the
journal, and there the first one counts: who switches and who gives it up may be on two machines.
"""

from __future__ import annotations

import asyncio
import fcntl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import msgspec

from bridge.errors import Fenced, LighthouseError
from bridge.log.groups import Groups
from bridge.log.record import AppendRecord, Place
from bridge.log.topics import CATEGORY_CONFIG, TopicFacts, TopicSpec
from bridge.repartition.checks import Examination, Found
from bridge.repartition.journal import Begun, Closed, Entry, Filled, GivenUp, Journal, Switching, Verified
from bridge.repartition.passes import Log, Passes, Tell
from bridge.repartition.reading import ends
from bridge.repartition.writing import still_open
from bridge.store import keys
from bridge.store.contract import Mark, Stores, Writes
from bridge.store.rows import Identity
from bridge.wiring import Base

T = TypeVar("T")

SIZE = "max.message.bytes"
TIMES = "message.timestamp.type"
WRITTEN = {TIMES: "CreateTime"}
"""While records keep the times that they are written with."""

KNOWN = 0.1
"""Seconds between two looks whether all brokers know that a topic is closed."""

TIMEOUT = 30.0


class Repartitioned(msgspec.Struct, frozen=True):
    """What was done. `read` and the verdicts count records of the old topic; those that lost were not copied."""

    category: str
    before: int
    after: int
    streams: int
    appends: int
    events: int
    read: int
    conflicts: int
    duplicates: int
    malformed: int


Step = Callable[[str], None]


class Repartition:
    """One category on its way into more partitions. `step` is told each step that was done, for tests."""

    def __init__(self, base: Base, stores: Stores, category: str, tell: Tell, step: Step = lambda _: None) -> None:
        self._base = base
        self._stores = stores
        self._category = category
        self._topic, self._copy = base.topics.name(category), base.topics.copy(category)
        self._examination = Examination(base, stores, category)
        self._directory = base.settings.root / "repartition" / self._topic
        self._stopping = threading.Event()
        self._passes = Passes(base.settings, self._directory, self._stoppable(tell))
        self._step = step
        self._marks: dict[int, Mark] = {}

    async def look(self, after: int) -> Found:
        """C1: what there is, and what is in the way. Raises LighthouseError for a bad request."""
        await self._check_none()
        return await self._examination.look(after)

    async def _check_none(self) -> None:
        if await self._facts(self._copy) is not None:
            raise LighthouseError(f"category {self._category} is being repartitioned already: run it without --dry-run")

    async def run(self, after: int) -> Repartitioned:
        """All steps, or those that an earlier run has not done.

        Raises LighthouseError with what is in the way; what was done up to there is kept.
        """
        with self._alone():
            journal = await self._begin(after)
            if journal.filled is None:
                await self._close(journal)
                await asyncio.to_thread(journal.read)  # whoever held the spaces before may have written until now
            begun, closed, verified = journal.begun, journal.closed, journal.verified
            assert begun is not None
            if journal.filled is None and verified is None:
                assert closed is not None
                verified = await self._copied(journal, begun, closed)
            assert verified is not None
            if journal.filled is None:
                assert closed is not None
                await self._switch(journal, begun, closed, verified)
            await self._open(begun, verified)
            return _told(self._category, begun, verified)

    # C2

    async def _begin(self, after: int) -> Journal:
        """The journal of this repartition, begun now or by an earlier run."""
        copy = await self._facts(self._copy)
        if copy is None:
            begun = await self._examined(after)
            await self._base.topics.ensure([_spec(self._copy, after + 1, begun)])
            self._step("created copy")
            return await self._written(Journal(self._base.settings, self._copy, after), begun)
        journal = Journal(self._base.settings, self._copy, copy.partitions - 1)
        await asyncio.to_thread(journal.read)
        if journal.partition != after:
            raise LighthouseError(
                f"category {self._category} is being repartitioned into {journal.partition} partitions: go on with "
                f"--partitions {journal.partition}, or give that up with --abandon"
            )
        if isinstance(journal.decided, GivenUp):
            raise self._given_up()
        return journal if journal.begun is not None else await self._written(journal, await self._examined(after))

    async def _examined(self, after: int) -> Begun:
        """C1. Raises LighthouseError with all that is in the way."""
        found = await self._examination.look(after)
        if found.problems:
            raise LighthouseError("; ".join(found.problems))
        config = await self._base.topics.overrides(self._topic)
        fact = found.topic
        return Begun(found.cluster, fact.topic_id, fact.partitions, after, fact.replication, config, list(found.groups))

    # C3

    async def _close(self, journal: Journal) -> None:
        """Takes the spaces over, so that nobody reads or applies the category, and closes the topic for every writer.

        What had not been applied before, nobody was told of; but a reactor would have to see it, and will not.
        """
        begun = journal.begun
        assert begun is not None
        await self._check_nobody()
        for number in range(begun.before):
            self._marks[number] = await self._close_space(self._place(begun, number), begun)
        self._step("closed spaces")
        if await self._is_there(begun):
            await self._base.topics.alter(self._topic, {SIZE: "0"})
            self._step("closed topic")
            await self._until_closed(begun.before)
        if journal.closed is None:
            found = await asyncio.to_thread(ends, self._base.settings, self._topic, begun.before)
            await self._check_applied(begun, found)
            await self._written(journal, Closed(found, time.time()))

    async def _is_there(self, begun: Begun) -> bool:
        """Whether the topic is still the old one."""
        fact = await self._facts(self._topic)
        return fact is not None and fact.topic_id == begun.topic

    async def _check_nobody(self) -> None:
        if at_work := await self._examination.at_work():
            raise LighthouseError("; ".join(at_work))

    async def _close_space(self, place: Place, begun: Begun) -> Mark:
        """With an identity that no log has, no processor opens it; the reason is for readers and writers."""
        store = self._stores.open(place.space)
        mark = await store.own()
        writes = Writes({keys.IDENTITY: _nobody(begun).pack()})
        why = f"category {self._category} is being repartitioned: it can be read and written again soon"
        writes.put(keys.STOPPED, why.encode())
        return await store.commit(mark, max(mark.position, 0), writes)

    async def _until_closed(self, partitions: int) -> None:
        """Until each leader has refused a record: it, and whoever leads after it, knows that the topic is closed."""
        left = set(range(partitions))
        try:
            async with asyncio.timeout(TIMEOUT):
                while left := await asyncio.to_thread(still_open, self._base.settings, self._topic, left):  # noqa: ASYNC110
                    await asyncio.sleep(KNOWN)
        except TimeoutError:
            raise LighthouseError(f"{self._topic} still takes records after {TIMEOUT:g} s: {sorted(left)}") from None

    async def _check_applied(self, begun: Begun, found: list[int]) -> None:
        for number, end in enumerate(found):
            place, position = self._place(begun, number), self._marks[number].position
            if await self._examination.waiting(place, position, end, AppendRecord):
                raise LighthouseError(
                    f"{place.space}: appends came while it was being closed: give it up with --abandon, let processors "
                    "and reactors go on until all is done, end the API as well, and begin again"
                )

    # C4, C5

    async def _copied(self, journal: Journal, begun: Begun, closed: Closed) -> Verified:
        source = Log(self._topic, self._category, closed.ends)
        await self._in_thread(lambda: self._passes.copy(source, self._copy, begun.after))
        self._step("copied")
        found = await asyncio.to_thread(ends, self._base.settings, self._copy, begun.after)
        copy = Log(self._copy, self._category, found)
        try:
            verified = await self._in_thread(lambda: self._passes.compare(source, copy))
        except LighthouseError as error:
            raise LighthouseError(f"{error}; give this up with --abandon: the category is as it was") from error
        await self._written(journal, verified)
        return verified

    # C6

    async def _switch(self, journal: Journal, begun: Begun, closed: Closed, verified: Verified) -> None:
        """Deletes the topic and makes it anew from its copy.

        Whoever asked before it was closed has been answered by then: nobody waits any more for a place in it.
        """
        await asyncio.sleep(max(0.0, closed.since + self._base.settings.deadline - time.time()))
        if await self._is_there(begun):
            now = await asyncio.to_thread(ends, self._base.settings, self._topic, begun.before)
            if now != closed.ends:
                raise LighthouseError(f"{self._topic} has got more records, though it is closed: look who wrote them")
        await self._check_held()
        if isinstance(await asyncio.to_thread(journal.decide, Switching()), GivenUp):
            raise self._given_up()
        self._step("switching")
        await self._check_held()  # once more, for a processor may have come in between
        await self._base.topics.delete(self._topic)  # the old one, or one that was not filled to its end
        self._step("deleted")
        await self._base.topics.ensure([_spec(self._topic, begun.after, begun)])
        self._step("created")
        copy = Log(self._copy, self._category, verified.ends)
        await self._in_thread(lambda: self._passes.fill(copy, self._topic, verified))
        self._step("written")
        made = await self._facts(self._topic)
        assert made is not None
        await self._check_held()
        await self._written(journal, Filled(made.topic_id))

    async def _check_held(self) -> None:
        """Raises LighthouseError where somebody has taken a space over."""
        await self._check_nobody()
        for number, mark in self._marks.items():
            space = f"{self._topic}-{number}"
            try:
                await self._stores.open(space).beat(mark)
            except Fenced as error:
                raise LighthouseError(f"somebody has taken {space} over meanwhile: end that, and go on") from error

    # C7

    async def _open(self, begun: Begun, verified: Verified) -> None:
        """Times are the brokers' again; who reads it goes on behind the copy; histories are built anew."""
        await self._base.topics.alter(self._topic, {TIMES: "LogAppendTime"})
        self._step("opened topic")
        for group in begun.groups:
            await self._place_group(
                group, {(self._topic, number): (end, 0) for number, end in enumerate(verified.ends)}
            )
        self._step("placed")
        for number in range(begun.before):
            await self._forget(self._place(begun, number), begun)
        self._step("forgot histories")
        await self._base.topics.delete(self._copy)

    async def _place_group(self, group: str, places: dict[tuple[str, int], tuple[int, int]]) -> None:
        """Raises LighthouseError unless the group is there then, for Kafka has just forgotten its old places."""
        groups = Groups(self._base.settings)
        await groups.place(group, places)
        found = await groups.committed(group)
        if not places.items() <= found.items():
            raise LighthouseError(f"group {group} was placed at {places}, but is at {found}: run the command again")

    async def _forget(self, place: Place, begun: Begun) -> None:
        """Removes a history that was closed; one that has been begun since is let be."""
        store = self._stores.open(place.space)
        async with store.view() as view:
            known = await view.get(keys.IDENTITY)
        if known == _nobody(begun).pack():
            await store.wipe(await store.own())

    # Giving it up

    async def abandon(self) -> None:
        """Undoes all that was done. Raises LighthouseError where nothing is under way, or the switch has begun."""
        with self._alone():
            copy = await self._facts(self._copy)
            if copy is None:
                raise LighthouseError(f"category {self._category} is not being repartitioned")
            journal = Journal(self._base.settings, self._copy, copy.partitions - 1)
            await asyncio.to_thread(journal.read)
            if journal.begun is not None and not await self._is_there(journal.begun):
                raise self._too_late()
            if isinstance(await asyncio.to_thread(journal.decide, GivenUp()), Switching):
                raise self._too_late()
            self._step("given up")
            if journal.begun is not None:
                await self._undo(journal.begun)
            await self._base.topics.delete(self._copy)

    async def _undo(self, begun: Begun) -> None:
        for number in range(begun.before):
            await self._restore(self._place(begun, number), begun)
        await self._base.topics.alter(self._topic, {SIZE: begun.config.get(SIZE, CATEGORY_CONFIG[SIZE])})

    def _too_late(self) -> LighthouseError:
        return LighthouseError(
            f"category {self._category} cannot be given up any more, for its switch has begun: where nobody is at it, "
            "run the command again without --abandon"
        )

    def _given_up(self) -> LighthouseError:
        return LighthouseError(
            f"the repartition of category {self._category} was given up: where nobody is at that, run the command "
            "again with --abandon, and then begin anew"
        )

    async def _restore(self, place: Place, begun: Begun) -> None:
        store = self._stores.open(place.space)
        async with store.view() as view:
            known, last = await view.get_many([keys.IDENTITY, keys.LAST])
        if known != _nobody(begun).pack():
            return
        mark = await store.own()
        if last is None:
            await store.wipe(mark)
            return
        writes = Writes({keys.IDENTITY: Identity(begun.cluster, begun.topic, begun.before).pack()})
        writes.delete(keys.STOPPED)
        await store.commit(mark, mark.position, writes)

    # Means

    async def _facts(self, topic: str) -> TopicFacts | None:
        return (await self._base.topics.facts([topic])).get(topic)

    def _place(self, begun: Begun, number: int) -> Place:
        return Place(self._topic, self._category, number, begun.before)

    async def _written(self, journal: Journal, entry: Entry) -> Journal:
        await asyncio.to_thread(journal.write, entry)
        self._step(type(entry).__name__.lower())
        return journal

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Runs what blocks; ended with Ctrl-C, it ends soon."""
        try:
            return await asyncio.to_thread(work)
        except asyncio.CancelledError:
            self._stopping.set()
            raise

    def _stoppable(self, tell: Tell) -> Tell:
        def told(what: str, done: int, of: int) -> None:
            if self._stopping.is_set():
                raise LighthouseError("ended before it was done: run the command again to go on")
            tell(what, done, of)

        return told

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One process of this machine at a time. The spaces' epochs tell of one elsewhere."""
        self._directory.mkdir(parents=True, exist_ok=True)
        with (self._directory / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise LighthouseError(f"category {self._category} is being repartitioned by another process") from None
            yield


def _spec(name: str, partitions: int, begun: Begun) -> TopicSpec:
    return TopicSpec(name, partitions, begun.replicas, {**begun.config, **CATEGORY_CONFIG, **WRITTEN})


def _nobody(begun: Begun) -> Identity:
    """Who the log of a closed space is."""
    return Identity(begun.cluster, f"{begun.topic}, which is being repartitioned", begun.after)


def _told(category: str, begun: Begun, verified: Verified) -> Repartitioned:
    totals = verified.totals
    counts = totals.streams, totals.appends, totals.events, verified.read
    lost = verified.conflicts, verified.duplicates, verified.malformed
    return Repartitioned(category, begun.before, begun.after, *counts, *lost)
