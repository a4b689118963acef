"""Timers: the owner of a partition gives the commands that are due, by effective time (P7).

What is pending are rows of the timer's projection, in the commit of the history itself. A timer fires only where that
projection is live and the owner has come to the log's end: what a rebuild finds on its way was set long ago, and was
fired, cancelled or ended further on. It fires under a key of the event that set it, so that every repetition (by the
next owner, by a zombie, after a crash) is a duplicate; and it is looked at once more in the very view in which the
command is decided, so that what was cancelled or set anew does not fire.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import structlog

from bridge import states
from bridge.decisions import Decisions, stream_of_timer
from bridge.errors import Contended, LighthouseError, Refused, Unavailable, Unknown
from bridge.events import Appended
from bridge.handle import Context, Handler
from bridge.log.ids import request_hash
from bridge.log.record import Place
from bridge.store import keys
from bridge.store.contract import Mark, Store, View
from bridge.store.rows import Clock, Progress
from bridge.timer import ACTOR, DUE, TIMER, Pending, Timer, due_from, slot, unpack_due
from bridge.timings import BeginTimer, EndTimer
from streams.owner import Owner
from streams.source import Partition

log = structlog.get_logger()

EVERY = 0.1
"""Seconds between two looks at the clock."""

PAGE = 200
"""Timers that are fired before the next look, at most, in one partition."""

AT_ONCE = 16
"""Streams of a partition whose timers fire at once."""

GRACE = 60_000_000
"""Microseconds before a timer was first known in which it may have been due: deployments take their time."""

HELD = 1.0
"""Seconds after which a timer that could not be fired is tried again; ten times that where its command has a fault."""


@dataclass(frozen=True)
class Around:
    """What timers are fired with. `decisions` are those so far, `caught_up` waits for all that the log holds now.

    `step` is told each step's name, for tests; `now` is this process's clock in seconds since 1970.
    """

    timers: Sequence[Timer]
    handler: Handler
    open: Callable[[str], Store]
    tick: Callable[[Place], None]
    decisions: Callable[[], Awaitable[Decisions]]
    caught_up: Callable[[], Awaitable[Decisions]]
    step: Callable[[str], None] = lambda _: None
    now: Callable[[], float] = time.time


class NotPending(Exception):
    """The timer was cancelled, set anew, or is done; or its projection is not live."""


@dataclass(frozen=True)
class Due:
    """A timer that is due, and the prefix of the rows that said so."""

    timer: Timer
    stream: str
    name: str
    pending: Pending
    prefix: bytes

    @property
    def tag(self) -> str:
        """What tells it from all others."""
        return self.timer.key(self.pending.event, self.name)

    async def check(self, view: View) -> None:
        """Raises NotPending unless the view still has it."""
        raw = await view.get(keys.row(self.prefix, slot(self.stream, self.name)))
        if raw is None or states.decode(raw, Pending).event != self.pending.event:
            raise NotPending


class Clockwork:
    """What a partition's time is now, as far as its owner knows: no wall clock that went back stops it.

    It is only a guess, on which a tick is written; what is due is told by effective time alone.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._effective = 0
        self._since = 0.0

    def now(self, effective: int, wall: float) -> int:
        """Microseconds: the wall's, or effective time and what has passed since it was first seen, if that is later."""
        if effective != self._effective:
            self._effective, self._since = effective, self._monotonic()
        return max(int(wall * 1e6), effective + int((self._monotonic() - self._since) * 1e6))


@dataclass
class Watched:
    """A partition under one owner: its mark when it was last looked at, and when the next timer is due.

    `again` says that there is more to do than the mark tells; `faulty` until when timers are let be whose command has
    a fault, by the tags of what set them.
    """

    owner: Owner
    clockwork: Clockwork = field(default_factory=Clockwork)
    ready: bool = False
    mark: Mark | None = None
    again: bool = False
    effective: int = 0
    next: int | None = None
    task: asyncio.Task[None] | None = None
    rest: float = 0.0
    faulty: dict[str, float] = field(default_factory=dict)


class Firing:
    """Looks at the partitions that this process owns, while it runs."""

    def __init__(self, around: Around, owners: Callable[[], Mapping[Partition, Owner]]) -> None:
        self._around = around
        self._owners = owners
        self._watched: dict[Partition, Watched] = {}
        self._room = asyncio.Semaphore(AT_ONCE)
        self._beginning = asyncio.Lock()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Looks again and again while the context is open."""
        task = asyncio.create_task(self._run(), name="timers")
        try:
            yield
        finally:
            tasks = [task, *(one.task for one in self._watched.values() if one.task is not None)]
            for one in tasks:
                one.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self) -> None:
        while self._around.timers:
            await asyncio.sleep(EVERY)
            owners = dict(self._owners())
            for part in self._watched.keys() - owners.keys():
                self._forget(self._watched.pop(part))
            for part, owner in owners.items():
                if any(timer.category == owner.place.category for timer in self._around.timers):
                    self._look(part, owner)

    def _forget(self, watched: Watched) -> None:
        if watched.task is not None:
            watched.task.cancel()

    def _look(self, part: Partition, owner: Owner) -> None:
        """One look at a time in a partition, however long the one before takes."""
        watched = self._watched.get(part)
        if watched is None or watched.owner is not owner:
            if watched is not None:
                self._forget(watched)
            watched = self._watched[part] = Watched(owner)
        if (watched.task is None or watched.task.done()) and time.monotonic() >= watched.rest:
            watched.task = asyncio.create_task(self._go(watched), name=f"timers {owner.place.space}")

    async def _go(self, watched: Watched) -> None:
        try:
            await self.go(watched)
        except LighthouseError as error:
            log.info("timers wait", partition=watched.owner.place.space, error=str(error))
            watched.rest = time.monotonic() + HELD
        except Exception:  # an error of ours must not end all timers
            log.exception("timers", partition=watched.owner.place.space)
            watched.rest = time.monotonic() + 10 * HELD

    async def go(self, watched: Watched) -> None:
        """One look: fires what is due, and writes a tick where only effective time is missing. Raises LighthouseError.

        Before an owner fires for the first time it knows all that was decided until then: also what its predecessor
        has ended just now.
        """
        owner = watched.owner
        if not owner.caught_up:
            return
        if not watched.ready:
            await self._begin(owner.place.category)
            watched.ready = True
        if watched.again or watched.mark != owner.mark:
            watched.mark, watched.again = owner.mark, True  # until this look has come to its end
            due = await self.what_is_due(watched)
            done = await self._fire_all(watched, due)
            watched.again = len(due) >= PAGE or bool(watched.faulty) or not done
            watched.rest = 0.0 if done and not watched.faulty else time.monotonic() + HELD
        if watched.next is not None and watched.clockwork.now(watched.effective, self._around.now()) >= watched.next:
            self._around.tick(owner.place)

    async def _begin(self, category: str) -> None:
        """Records of each timer, once, that it is known from now on."""
        async with self._beginning:
            decisions = await self._around.caught_up()
            new = [one for one in self._around.timers if one.category == category]
            for timer in new:
                if decisions.of_timer(timer.name).begun is None:
                    stream = stream_of_timer(timer.name)
                    await self._around.handler.execute(stream, BeginTimer(), Context(ACTOR))
                    await self._around.caught_up()

    # What is due

    async def what_is_due(self, watched: Watched) -> list[Due]:
        """What is due and neither ended nor let be, in the order of its time; notes effective time and what is next."""
        decisions, place = await self._around.decisions(), watched.owner.place
        found: list[Due] = []
        watched.faulty = {tag: until for tag, until in watched.faulty.items() if until > time.monotonic()}
        async with self._around.open(place.space).view() as view:
            watched.effective, watched.next = Clock.unpack(await view.get(keys.CLOCK)).effective, None
            for timer in self._around.timers:
                if timer.category == place.category:
                    found += await self._of(timer, view, watched, decisions)
        return sorted(found, key=lambda due: due.pending.at)

    async def _of(self, timer: Timer, view: View, watched: Watched, decisions: Decisions) -> list[Due]:
        version, generation = decisions.of(timer.pending).newest(timer.version)
        build, begun = keys.build(version, generation), decisions.of_timer(timer.name).begun
        progress = await view.get(keys.progress(timer.pending, build))
        if begun is None or progress is None or not Progress.unpack(progress).live:
            return []
        prefix = keys.projection(timer.pending, build)
        later = keys.row(prefix, due_from(watched.effective + 1))
        following = await view.scan(keys.row(prefix, DUE), start=later, limit=1)
        if following:
            at = unpack_due(following[0][0][len(prefix) + 1 :].decode())[0]
            watched.next = min(at, watched.next or at)
        ended = decisions.of_timer(timer.name).ended
        return await _pages(
            view,
            Span(timer, prefix, keys.row(prefix, due_from(max(begun - GRACE, 0))), later),
            lambda due: ended(due.pending.event, due.name) or due.tag in watched.faulty,
        )

    # Firing

    async def _fire_all(self, watched: Watched, found: Sequence[Due]) -> bool:
        """Whether all of it is done with. Those of one stream fire one after the other."""
        by_stream: dict[str, list[Due]] = {}
        for due in found:
            by_stream.setdefault(due.stream, []).append(due)
        return all(await asyncio.gather(*(self._fire_in_turn(watched, some) for some in by_stream.values())))

    async def _fire_in_turn(self, watched: Watched, found: Sequence[Due]) -> bool:
        async with self._room:
            for due in found:
                if not await self._fire(watched, due):
                    return False
        return True

    async def _fire(self, watched: Watched, due: Due) -> bool:
        """Whether it is done with: fired, ended, or not pending any more; or let be for a while, for it has a fault."""
        self._around.step("T1")
        try:
            await self._give(watched, due)
        except NotPending:
            return True
        except (Unavailable, Unknown, Contended) as error:
            log.info("timer waits", timer=due.timer.name, stream=due.stream, error=str(error))
            return False
        except Exception:  # the application's code, or a command that it does not have any more
            log.exception("timer cannot be fired", timer=due.timer.name, stream=due.stream)
            watched.faulty[due.tag] = time.monotonic() + 10 * HELD
        return True

    async def _give(self, watched: Watched, due: Due) -> None:
        """Gives the command; where it leads to no event, records that. Raises NotPending, LighthouseError."""
        try:
            answer = await self._execute(watched, due)
        except Refused as refused:
            await self._end(due, refused.rule, str(refused))
            return
        if answer.last_version < answer.first_version:
            await self._end(due, "", "the command decided nothing")
        self._around.step("T4")

    async def _execute(self, watched: Watched, due: Due) -> Appended:
        """The command, at the partition's time; whatever code makes it, it is one request."""
        timer, pending = due.timer, due.pending
        command = self._around.handler.decider(due.stream).command(pending.command, pending.body)
        context = Context(
            ACTOR,
            key=timer.key(pending.event, due.name),
            time=min(watched.effective, int(self._around.now() * 1e6)),
            correlation=pending.correlation,
            causation=pending.event,
            metadata={TIMER: timer.tag(due.name)},
            request=request_hash("TIMER", timer.tag(due.name), None, pending.event),
        )
        answer = await self._around.handler.execute(due.stream, command, context, due.check)
        self._around.step("T2")
        return answer

    async def _end(self, due: Due, rule: str, error: str) -> None:
        """Records that it has led to no event; until then it is tried again."""
        self._around.step("T3")
        log.info("timer ended", timer=due.timer.name, stream=due.stream, rule=rule, error=error)
        end = EndTimer(due.stream, due.name, due.pending.event, rule, error)
        await self._around.handler.execute(stream_of_timer(due.timer.name), end, Context(ACTOR))
        await self._around.caught_up()


@dataclass(frozen=True)
class Span:
    """The rows of a timer that are due: the keys from `start` to `stop`."""

    timer: Timer
    prefix: bytes
    start: bytes
    stop: bytes


async def _pages(view: View, span: Span, passed: Callable[[Due], bool]) -> list[Due]:
    """The first of them that are not passed over; what is, does not hide those behind."""
    start = span.start
    while True:
        rows = await view.scan(keys.row(span.prefix, DUE), start=start, stop=span.stop, limit=PAGE)
        found = [due for key, raw in rows if not passed(due := _unpack(span, key, raw))]
        if found or len(rows) < PAGE:
            return found
        start = rows[-1][0] + b"\0"


def _unpack(span: Span, key: bytes, raw: bytes) -> Due:
    _, stream, name = unpack_due(key[len(span.prefix) + 1 :].decode())
    return Due(span.timer, stream, name, states.decode(raw, Pending), span.prefix)
