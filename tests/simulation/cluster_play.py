"""What can happen to a group of processors, its stores, its builds and its clients; cluster_checks say what holds."""

from __future__ import annotations

import math
from collections.abc import Callable

from bridge.decisions import Begin, Drop, Retry, Skip, stream_of
from bridge.errors import Fenced, Unknown
from bridge.handle import Context
from bridge.log.record import Place
from bridge.query.reader import When
from bridge.store import keys
from bridge.store.rows import ParkedEvent, Progress
from tests.model.play import Pick, Play
from tests.model.world import COMPOSED, UNKNOWN, Ask, Attempt
from tests.simulation.cluster import ACCOUNTS, Cluster, category_of
from tests.simulation.cluster_checks import Checks
from tests.simulation.group import Turn
from tests.simulation.process import Member, MemberStore
from tests.simulation.projected import NEVER, folded
from tests.simulation.server import Connection

CALM = 120
"""Half seconds in which everything must come back: what is parked is helped one after the other."""


class ClusterPlay(Play):
    """What can happen, a method each. Members and partitions are chosen by `pick`."""

    world: Cluster

    def __init__(self, world: Cluster, pick: Pick) -> None:
        super().__init__(world, pick)
        self.checks = Checks(world)
        world.share()
        world.everybody()

    def check(self) -> None:
        """Every invariant, as things are now. Raises AssertionError."""
        self.nothing_is_written_ahead()
        self.checks.check()

    def learn(self) -> None:
        """The registry is given the schema that was missing."""
        self.world.registry.known[UNKNOWN] = COMPOSED

    # The group

    def turn(self, turn: Turn) -> None:
        self.world.turn(self.pick(self.world.waiting()), turn)

    def everybody(self) -> None:
        self.world.share()
        self.world.everybody()

    def join(self, newer: bool) -> None:
        self.world.join(newer)

    def leave(self) -> None:
        member = self.pick(self.world.waiting())
        member.leave()
        self.world.turn(member, Turn(0, told=False))

    def kill(self) -> None:
        self.pick(self.world.alive()).kill()
        self.world.loop.settle()

    def stop(self, step: str | None) -> None:
        """A process stands still: where it is, or at a step once it comes to it."""
        member = self.pick([one for one in self.world.alive() if not one.pace.stopped])
        member.pace.stop_at = step
        if step is None:
            member.pace.stop()

    def go_on(self) -> None:
        self.pick(self.stopped()).pace.go_on()
        self.world.loop.settle()

    def stopped(self) -> list[Member]:
        """The processes that stand still."""
        return [one for one in self.world.alive() if one.pace.stopped]

    def slow(self, seconds: float) -> None:
        """Each call of a store takes a process so long from now on."""
        self.pick(self.world.alive()).pace.slow = seconds

    def fail(self, step: str) -> None:
        """A process loses a connection to a store: before a step, or with the step done and its answer lost."""
        self.pick(self.world.alive()).pace.fail_at = step

    def away(self, away: bool) -> None:
        """The registry does not answer, or does again."""
        self.world.registry.away = away

    def expel(self) -> None:
        """A session ends: of a process that was killed, that stands still, or that only could not be heard."""
        self.world.expel(self.pick(self.world.members))

    def move(self, part: int) -> None:
        """The group gives a partition to another process, once whoever has it has let it go."""
        target = self.world.group.target
        sources = [one.source for one in self.world.alive()]
        target[list(target)[part]] = self.pick(sources)

    # Stores

    def fail_over(self, changes: int) -> None:
        """A store's server forgets changes."""
        disks = [disk for disk in self.world.disks.values() if disk.changes]
        disk = self.pick(disks)
        disk.fail_over(min(changes, disk.changes))
        for store in self.committed():
            store.last = None  # it may have been forgotten

    def lose(self) -> None:
        """A store is lost: its space is empty."""
        disk = self.world.disks[self.pick(ACCOUNTS).space]
        connection = Connection(disk)

        async def wipe() -> None:
            await connection.wipe(await connection.own())

        self.world.loop.run(wipe())

    def commit_comes_again(self) -> None:
        """I6: a commit is applied once, even where it left the position as it was."""
        store = self.pick(self.committed())
        before = {space: disk.store.state for space, disk in self.world.disks.items()}
        again = self.world.loop.create_task(store.commit_again())
        self.world.loop.settle()
        assert isinstance(again.exception(), Fenced)
        assert all(disk.store.state is before[space] for space, disk in self.world.disks.items())

    def committed(self) -> list[MemberStore]:
        """The stores that have something to send again."""
        return [store for member in self.world.members for store in member.stores.values() if store.last is not None]

    # Time

    def wait(self, seconds: float, beats: bool) -> None:
        """Time passes; meanwhile the processes go on, or none comes to anything."""
        steps = min(math.ceil(seconds), 8)
        for _ in range(steps):
            self.world.loop.advance(seconds / steps)
            if beats:
                self.world.everybody()

    def hear(self) -> None:
        """One process hears what was decided."""
        self.pick(list(self.world.readers())).hear()
        self.world.loop.settle()

    # Builds

    def storm(self, storm: bool) -> None:
        """Whether some code of the application fails."""
        self.world.weather.storm = storm

    def begin(self, name: str, version: int) -> None:
        """A build is begun again."""
        self._order(name, Begin(version))

    def drop(self, name: str) -> None:
        """An old build is removed."""
        decided = self.world.decided().of(name)
        self._order(name, Drop(*self.pick([*decided.begun, (1, 0)])))

    def help(self) -> None:
        """Somebody looks at what is parked: some events can only be skipped."""
        name, version, parked = self.pick(self.parked())
        place = self.world.place_of(parked.stream)
        facts = [fact for _, fact in self.world.in_order(place)]
        memos = {f"{fact.append.hex()}:{fact.place[1]}": (fact.data or {}).get("memo") for fact in facts}
        if memos.get(parked.event) == NEVER and (name, version) == ("fragile", 1):
            self._order(name, Skip(version, parked.event, parked.stream, parked.version))
        else:
            self._order(name, Retry(version))

    def parked(self) -> list[tuple[str, int, ParkedEvent]]:
        """The builds that stand still at an event, though they are wanted, once for each partition."""
        found, decided = [], self.world.decided()
        for place in ACCOUNTS:
            for key, progress in progresses(self.world, place):
                name, number = keys.unpack_progress(key)
                build, versions = keys.unpack_build(number), self.world.catalogs[True].versions(name)
                if progress.parked is not None and build in decided.of(name).builds(versions):
                    found.append((name, build[0], progress.parked))
        return found

    def _order(self, name: str, command: object) -> None:
        handler = self.world.admin.handler
        self.world.orders.append(self.world.loop.create_task(handler.execute(stream_of(name), command, Context("eve"))))
        self.world.loop.settle()

    # Readers

    def query(self, server: int, name: str, key: str, at_least: bool, at: int | None) -> None:
        """A row is asked for; perhaps no older than an append that was acknowledged."""
        wanted = self._wanted(key) if at_least else {}
        time = None if at is None or name != "past" else self.world.log.now + at
        self.world.query(self.world.reading[server], name, key, When(time, wanted))

    def keys(self, name: str) -> list[str]:
        """The rows that a projection has once all is applied."""
        told = [one for place in ACCOUNTS for one in self.world.in_order(place) if one[1].data is not None]
        return sorted(folded(name, 1, told).now)

    def _wanted(self, key: str) -> dict[tuple[str, int], int]:
        """Where an append was acknowledged, or where a partition ends that may hold the row."""
        answers = [one.answer for one in self.world.attempts if one.answer is not None and one.wrote]
        places = [self.world.place_of(key)] if key.startswith("account/") else ACCOUNTS
        ends = [place.at(self.world.log.length(place.topic, place.partition)) for place in places]
        position = self.pick([*(one.position for one in answers), *ends])
        return {(category_of(position), position.partition): position.offset}

    def answer_queries(self) -> None:
        """Those who wait for a position look again."""
        self.world.loop.advance(0.05)

    # The end

    def _calm(self) -> None:
        """Nothing fails any more, and tomorrow's code is everywhere; then everything must come back."""
        self.world.weather.storm = self.world.registry.away = False
        self.learn()
        for member in self.world.members:
            if member.lives:
                member.pace.get_well()
            else:
                self.world.expel(member)
        self.world.join(newer=True)
        for member in self.world.alive():
            if member.catalog is not self.world.catalogs[True]:
                member.leave()
        self._until(self._all_well, CALM)
        self.checks.check()
        unknown = [one.ask for one in self.world.attempts if one.ask.key and self._is_unknown(one)]
        for ask in dict.fromkeys(unknown):
            self._tell(ask)
        self.checks.at_the_end()

    def get_well(self) -> None:
        """Half a second in which nothing fails, and whoever waits for something is helped."""
        for producer, flight in self.world.pending():
            producer.deliver(flight)
        for reader in self.world.readers():
            reader.hear()
        self.world.share()
        self.world.loop.advance(0.5)
        self.world.everybody()
        if self.parked():
            self.help()

    def _until(self, met: Callable[[], bool], rounds: int) -> None:
        for _ in range(rounds):
            self.get_well()
            if met():
                return
        raise AssertionError(f"everything is well, but {self.checks.missing()}")

    def _all_well(self) -> bool:
        return not self.checks.missing()

    def _is_unknown(self, attempt: Attempt) -> bool:
        return isinstance(attempt.task.exception(), Unknown)

    def _tell(self, ask: Ask) -> None:
        for _ in range(2):
            self.world.ask(self.world.servers[0], ask)
            attempt = self.world.attempts[-1]
            self._until(attempt.task.done, CALM)
            assert not self._is_unknown(attempt), "asking again did not tell"


def progresses(world: Cluster, place: Place) -> list[tuple[bytes, Progress]]:
    """How far the builds are in a partition."""
    rows = world.state(place).rows
    return [(key, Progress.unpack(raw)) for key, raw in sorted(rows.items()) if key.startswith(keys.PROGRESS)]
