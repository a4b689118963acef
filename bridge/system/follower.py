"""Follows the log of category `system`, admits it, and folds what was decided (DESIGN 6).

The topic has one partition and a record a decision, so each process reads it whole when it starts.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import structlog

from bridge.decisions import Decisions, decider
from bridge.errors import LighthouseError, SchemaError, Unavailable, Undecodable
from bridge.log.admission import Verdict, judge
from bridge.log.avro import decode
from bridge.log.readers import Reader
from bridge.log.record import AppendRecord, Place, Record, parse
from bridge.log.schemas import Schemas
from bridge.typed import Typed

log = structlog.get_logger()

PAUSE = 0.5
"""Seconds between two attempts to read a log that does not answer."""


class Admitted:
    """The decisions of a log, admitted as a processor would: pure but for what it keeps."""

    def __init__(self, place: Place, decisions: Decisions) -> None:
        self.position = 0
        self._place = place
        self._decisions = decisions
        self._typed = Typed(decider)
        self._heads: dict[str, int] = {}
        self._seen: set[bytes] = set()

    async def take(self, record: Record, schemas: Schemas) -> None:
        """One record. Raises RegistryAway, with nothing taken, where its schema cannot be had now."""
        parsed = parse(record, self._place)
        if isinstance(parsed, AppendRecord):
            head = self._heads.get(parsed.stream, 0)
            if judge(parsed, head, parsed.append in self._seen) is Verdict.ADMITTED:
                await self._admit(parsed, head, record.time, schemas)
        self.position = record.offset + 1

    async def _admit(self, append: AppendRecord, head: int, time: int, schemas: Schemas) -> None:
        try:
            schema = await schemas.reader(append.schema)
            events = [
                self._typed.event(event.branch.type, event.newest)
                for event in decode(schema, append.value, append.count).events
            ]
        except (SchemaError, Undecodable, ValueError) as error:  # nobody but a foreign producer writes such a thing
            log.error("a decision cannot be read and is not heeded", stream=append.stream, error=str(error))
            events = []
        for event in events:
            self._decisions.take(append.stream, event, time)
        self._heads[append.stream] = head + append.count
        self._seen.add(append.append)


class Follower:
    """Keeps `decisions` as the log has them, from `start` to `close`."""

    def __init__(self, reader: Reader, schemas: Schemas, place: Place) -> None:
        self.decisions = Decisions(complete=False)
        self._reader = reader
        self._schemas = schemas
        self._place = place
        self._admitted = Admitted(place, self.decisions)
        self._task: asyncio.Task[None] | None = None
        self._complete = asyncio.Event()
        self._moved = asyncio.Event()

    def start(self) -> Decisions:
        """Follows from now on; answers what is known so far, which may be nothing yet."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="decisions")
        return self.decisions

    async def current(self, timeout: float) -> Decisions:
        """The decisions; the first call waits until they are complete. Raises Unavailable after `timeout` seconds."""
        self.start()
        if not self.decisions.complete:
            try:
                async with asyncio.timeout(timeout):
                    await self._complete.wait()
            except TimeoutError:
                raise Unavailable(f"{self._place.topic} was not read within {timeout:g} s") from None
        return self.decisions

    async def caught_up(self, timeout: float) -> Decisions:
        """The decisions, with all that the log holds now. Raises Unavailable after `timeout` seconds."""
        await self.current(timeout)
        end = await self._reader.end(self._place.topic, self._place.partition)
        try:
            async with asyncio.timeout(timeout):
                while self._admitted.position < end:
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            raise Unavailable(f"{self._place.topic} was not read up to {end} within {timeout:g} s") from None
        return self.decisions

    async def _run(self) -> None:
        while True:
            try:
                await self._follow()
            except LighthouseError as error:
                log.warning("decisions are not followed for now", error=str(error))
            except Exception:  # an error of ours must not leave a process with old decisions for ever
                log.exception("decisions are not followed for now")
            await asyncio.sleep(PAUSE)

    async def _follow(self) -> None:
        start, end = self._admitted.position, await self._reader.end(self._place.topic, self._place.partition)
        self._reached(end)
        async with aclosing(self._reader.follow(self._place.topic, self._place.partition, start)) as found:
            async for records, behind in found:
                for record in records:
                    await self._admitted.take(record, self._schemas)
                self._admitted.position = behind
                self._moved.set()
                self._reached(end)

    def _reached(self, end: int) -> None:
        """The first time that the end is reached which the log had, the decisions are complete."""
        if not self.decisions.complete and self._admitted.position >= end:
            self.decisions.complete = True
            self._complete.set()

    async def close(self) -> None:
        """Ends the reading."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
