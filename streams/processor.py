"""The processor: one member of the group, the owners of its partitions, and the loop that feeds them (P1-P7)."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from bridge.errors import Fenced, ForeignLog, LighthouseError, Unavailable
from bridge.log.record import Place, Record
from bridge.log.registry import RegistryAway
from bridge.settings import Settings
from bridge.store.contract import Stores
from bridge.store.rows import Identity
from streams.opening import Identities, Openings
from streams.owner import Code, LogEnds, Owner
from streams.source import Batches, Callbacks, Join, Partition, Source
from streams.tenure import Worker

log = structlog.get_logger()

POLL = 0.1
"""Seconds that P2 waits for a first record: the grain of beats, ticks and the reaction to a stop."""

P1_TIMEOUT = 30.0
AT_ONCE = 1.0
"""Seconds that the group waits for P1; it goes on beside the round. Nothing is polled, applied or beaten meanwhile."""

FAREWELL = 0.5
"""Seconds in which a partition that is taken away must have been let go in its store."""

BEAT = 1.0
AGAIN = 1.0
"""Seconds until P1 is done again for a partition that could not be opened, or whose store did not take a commit."""

HELD = 0.5
"""Seconds between two attempts to apply a batch, or to go on with a build, that waits for the registry."""

SLICE = 75
"""Events of the history that builds are fed with in one commit (B2). A round has one at least: it must be short."""

SHARE = 0.2
"""The part of the batches' time that slices take while events come in: appends are not slowed by more."""

ALONE = 0.05
"""Seconds of slices between two looks while none come in."""


@dataclass(frozen=True)
class Parts:
    """What a processor is made of: how to place a partition, its code, its log's identity, and its side doors.

    `tick` writes a tick to a partition, at most one a second. `step` is called at each step of the protocol with its
    name; the fault tests end or stop the process there. `let_go` is told of a space that is no longer owned here.
    `clock` counts seconds.
    """

    settings: Settings
    stores: Stores
    place: Callable[[Partition], Place]
    code: Callable[[str], Code]
    identify: Callable[[Sequence[str]], Coroutine[Any, Any, dict[str, Identity]]]
    tick: Callable[[Place], None]
    step: Callable[[str], None] = lambda _: None
    clock: Callable[[], float] = time.monotonic
    let_go: Callable[[str], None] = lambda _: None


class Processor:
    """Runs until its stop event is set; then leaves the group and closes its spaces."""

    def __init__(self, parts: Parts) -> None:
        self.owners: dict[Partition, Owner] = {}
        self._parts = parts
        self._clock = parts.clock
        self._worker = Worker(clock=parts.clock)
        self._openings = Openings(parts.identify, self._open)
        self._held: dict[Partition, list[Record]] = {}
        self._again: dict[Partition, float] = {}
        self._beaten = 0.0
        self._retry = 0.0
        self._unparked = self._clock()
        self._fed = 0.0
        self._building: deque[Partition] = deque()
        self._build_at = 0.0
        self._source: Source | None = None

    async def run(self, join: Join, stop: asyncio.Event) -> None:
        """Is a member of the group until `stop` is set."""
        self._source = join(Callbacks(self._assigned, self._revoked))
        try:
            while not stop.is_set():
                await self._round(self._source)
        finally:
            try:
                await self._source.close()
            finally:
                await self._openings.close()

    async def _round(self, source: Source) -> None:
        wait = 0.0 if self._has_builds() else POLL
        batches = await source.poll(self._parts.settings.batch_records, wait)
        began = self._clock()
        self._worker.waited = source.waited
        if batches:
            self._fed = began
            self._parts.step("P2")
        await self._apply(batches)
        await self._lost(source)
        await self._ended(source)
        await self._build(self._clock() - began)
        await self._upkeep(source)

    # P1: what takes longer than the group waits, within `poll`, goes on beside the round.

    async def _assigned(self, partitions: Sequence[Partition]) -> dict[Partition, int | None]:
        log.info("partitions assigned", partitions=[f"{topic}-{number}" for topic, number in partitions])
        self._openings.begin(partitions)
        await self._openings.wait(partitions, AT_ONCE)
        opened = self._openings.ready(partitions)
        self.owners |= opened
        return {part: opened[part].start if part in opened else None for part in partitions}

    def _later(self, partitions: Iterable[Partition], seconds: float = AGAIN) -> None:
        """P1 is done again after so long, where they are still assigned by then."""
        self._again |= dict.fromkeys(partitions, self._clock() + seconds)

    async def _revoked(self, partitions: Sequence[Partition]) -> None:
        """Says of each partition that it is let go, so that the next owner, and whoever looks, knows it for sure."""
        self._parts.step("revoke")
        ready = await self._openings.end(partitions)
        owners = [owner for part in partitions if (owner := self._forget(part)) is not None]
        await asyncio.gather(*map(_say_goodbye, [*ready, *owners]))
        for part in partitions:
            self._parts.let_go(self._parts.place(part).space)
        log.info("partitions revoked", partitions=[f"{topic}-{number}" for topic, number in partitions])

    def _forget(self, part: Partition) -> Owner | None:
        self._held.pop(part, None)
        self._again.pop(part, None)
        return self.owners.pop(part, None)

    async def _open(self, part: Partition, identities: Awaitable[Identities]) -> Owner | None:
        """P1 for one partition; None where it cannot be opened. A foreign log stays so.

        The log is looked at once the space is taken over: from an end that was read before, the owner of then might
        have gone on, and the log would seem to be another one.
        """
        place = self._parts.place(part)
        try:
            async with asyncio.timeout(P1_TIMEOUT):
                return await self._opened(part, place, await identities)
        except ForeignLog as error:
            log.error("partition stopped", partition=place.space, error=str(error))
        except (LighthouseError, OSError) as error:  # a TimeoutError is an OSError
            log.warning("partition not opened", partition=place.space, error=str(error) or repr(error))
            self._later([part])
        return None

    async def _opened(self, part: Partition, place: Place, identities: Identities) -> Owner:
        assert self._source is not None
        if (identity := identities.get(place.topic)) is None:
            raise Unavailable(f"Kafka does not know the topic {place.topic}")
        owner = Owner(place, self._parts.stores.open(place.space), self._parts.code(place.category), self._worker)
        await owner.take_over()
        await owner.open(LogEnds(identity, *await self._source.ends(part)))
        return owner

    # P3-P6

    async def _apply(self, batches: Batches) -> None:
        """All partitions beside each other, where their stores let them: a far one takes its time for each."""
        mine = [part for part in batches if part in self.owners and part not in self._held]  # held: fetched again
        await asyncio.gather(*(self._take(part, batches[part]) for part in mine))

    async def _take(self, part: Partition, records: list[Record]) -> None:
        owner = self.owners[part]
        try:
            self._parts.step("P5")
            await owner.take(records)
            self._parts.step("P6")
        except RegistryAway as error:
            self._hold(part, records, error)
        except ForeignLog as error:
            log.error("partition stopped", partition=owner.place.space, error=str(error))
            self._close(part)
        except LighthouseError as error:
            self._dropped(part, error)

    def _hold(self, part: Partition, records: list[Record], error: RegistryAway) -> None:
        """P4: a registry that cannot be reached holds the batch; the partition is not fetched meanwhile."""
        if part not in self._held:
            log.warning("batch held", partition=part, records=len(records), error=str(error))
        self._held[part] = records
        assert self._source is not None
        self._source.pause(part)

    def _dropped(self, part: Partition, error: LighthouseError) -> None:
        """P5, fenced or with a store that cannot be written: the work is dropped, all other partitions go on.

        P1 is done again soon, for a store that was away; but whoever was fenced waits for a session, and sees by then
        whether the partition is still its own.
        """
        log.warning("fenced" if isinstance(error, Fenced) else "not committed", partition=part, error=str(error))
        self._close(part)
        self._later([part], self._parts.settings.session if isinstance(error, Fenced) else AGAIN)

    def _close(self, part: Partition) -> None:
        if (owner := self._forget(part)) is not None:
            self._parts.let_go(owner.place.space)
        if self._source is not None:
            self._source.pause(part)

    async def _lost(self, source: Source) -> None:
        """Partitions whose log does not hold the position any more: another log under the same name."""
        while source.lost:
            part, error = source.lost.popitem()
            if part in self.owners:
                try:
                    await self.owners[part].stop(str(error))
                except LighthouseError as stopped:
                    log.error("partition stopped", partition=part, error=str(stopped))
            self._close(part)

    async def _ended(self, source: Source) -> None:
        """Partitions that were read to their end, which may lie behind their last record."""
        while source.ended:
            part, offset = source.ended.popitem()
            if part not in self.owners or part in self._held:
                continue
            try:
                await self.owners[part].end_at(offset)
            except LighthouseError as error:
                self._dropped(part, error)

    # B2, between batches

    def _has_builds(self) -> bool:
        """Whether there are builds to go on with; finds the partitions that have some, each in its turn."""
        if self._clock() < self._build_at:
            return False
        mine = [part for part, owner in self.owners.items() if owner.building and part not in self._held]
        self._building = deque([part for part in self._building if part in mine])
        self._building.extend(part for part in mine if part not in self._building)
        return bool(self._building)

    async def _build(self, took: float) -> None:
        """Feeds builds, one partition after the other, for a share of the seconds that this round's batches took."""
        now = self._clock()
        until = now + (ALONE if now - self._fed >= 1.0 else took * SHARE)
        while self._building:
            part = self._building.popleft()
            if part in self.owners:
                await self._build_one(part, self.owners[part])
            if self._clock() >= until:
                return

    async def _build_one(self, part: Partition, owner: Owner) -> None:
        try:
            await owner.build(SLICE, self._parts.step)
        except RegistryAway as error:
            log.warning("builds held", partition=part, error=str(error))
            self._build_at = self._clock() + HELD
        except LighthouseError as error:
            self._dropped(part, error)
        else:
            if owner.building:
                self._building.append(part)

    # Between batches

    async def _upkeep(self, source: Source) -> None:
        now = self._clock()
        if now - self._beaten >= BEAT:
            self._beaten = now
            await self._beat()
        self._adopt(source)
        self._reopen([part for part, at in self._again.items() if at <= now])
        await self._retry_held(source, now)
        self._tick()
        if now - self._unparked >= self._parts.settings.unpark_every:
            self._unparked = now
            await self._unpark()

    async def _beat(self) -> None:
        """All beside each other: a store that is away takes its time for each."""
        await asyncio.gather(*(self._beat_one(part, owner) for part, owner in list(self.owners.items())))

    async def _beat_one(self, part: Partition, owner: Owner) -> None:
        try:
            await owner.beat()
        except LighthouseError as error:
            self._dropped(part, error)

    def _adopt(self, source: Source) -> None:
        """P1 is done for some, beside the round: they are fetched from here on."""
        for part, owner in self._openings.ready().items():
            log.info("partition opened", partition=owner.place.space)
            self.owners[part] = owner
            self._fetch(source, part, owner.start)

    def _fetch(self, source: Source, part: Partition, offset: int) -> None:
        try:
            source.resume(part, offset)
        except Unavailable as error:
            self._dropped(part, error)

    def _reopen(self, partitions: Sequence[Partition]) -> None:
        for part in partitions:
            self._again.pop(part)
        if partitions:
            self._openings.begin(partitions)

    async def _retry_held(self, source: Source, now: float) -> None:
        if now < self._retry:
            return
        self._retry = now + HELD
        for part in list(self._held):
            records = self._held.pop(part)
            await self._take(part, records)
            if part in self.owners and part not in self._held:
                self._fetch(source, part, self.owners[part].rewind())

    def _tick(self) -> None:
        """P7; the ticker writes at most one a second to a partition."""
        for owner in self.owners.values():
            if owner.wants_tick:
                self._parts.tick(owner.place)

    async def _unpark(self) -> None:
        for part, owner in list(self.owners.items()):
            try:
                await owner.unpark()
            except RegistryAway as error:
                log.warning("not unparked", partition=part, error=str(error))
            except LighthouseError as error:
                self._dropped(part, error)


async def _say_goodbye(owner: Owner) -> None:
    """The group waits for this, though not for long: a partition that was lost, and not asked for, is fenced."""
    try:
        async with asyncio.timeout(FAREWELL):
            await owner.leave()
    except (LighthouseError, TimeoutError) as error:
        log.info("partition gone", partition=owner.place.space, error=str(error))
