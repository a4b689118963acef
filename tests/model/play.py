"""What can happen to appends between clients, the log and owners, and the invariants I1-I7 (DESIGN 5) after each step.

The real Handler, Owner, History and memory store run on a simulated log. Each record that a client writes is
confirmed, confirmed in vain, delayed, doubled or lost; owners stop at any of their steps and wake as zombies. Who
chooses is told from outside: a search for the smallest failure (tests/model), or a seed (tests/simulation).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from bridge.errors import (
    Conflict,
    Fenced,
    KeyReused,
    Refused,
    Unavailable,
    Unknown,
)
from bridge.events import Envelope
from bridge.history.events import Range
from bridge.history.reader import At
from bridge.history.times import ClockName
from bridge.log.avro import CategorySchema, encode
from bridge.log.record import headers_of
from bridge.store import keys
from tests.model.answers import answered
from tests.model.checks import acknowledged, as_of, moments, rebuilt, refused
from tests.model.reference import Fact, Truth, balance, memos
from tests.model.world import COMPOSED, KNOWN, PLACE, UNKNOWN, Ask, Attempt, Process, World, now
from tests.simlog import rows_of

Pick: TypeAlias = "Callable[[Sequence[Any]], Any]"


class Play:
    """What can happen in a world, a method each; and what must hold whatever happens, see `check`."""

    def __init__(self, world: World, pick: Pick) -> None:
        """`pick` chooses one of several."""
        self.world = world
        self.pick = pick
        self.final: dict[tuple[str, ClockName, int], int] = {}
        self.checked: Any = None
        self.writes = 0
        world.open()

    # Clients

    def ask(self, server: int, ask: Ask, fate: str | None, most: int, refuse: bool) -> None:
        """A new request. A given expected version is meant from the head."""
        expected = None if ask.expected is None else max(0, self.world.head(ask.stream) + ask.expected)
        self.world.servers[server].producer.refusing = refuse
        self._try(server, replace(ask, expected=expected), fate, most)
        self.world.servers[server].producer.refusing = False

    def again(self, server: int, fate: str | None, most: int) -> None:
        self._try(server, self.pick(self.world.keyed()), fate, most)

    def another_body(self, server: int, amount: int, fate: str | None, most: int) -> None:
        before = self.pick(self.world.keyed())
        self._try(server, Ask(before.stream, before.key, (amount, 7)), fate, most)

    def _try(self, server: int, ask: Ask, fate: str | None, most: int) -> None:
        """One more try, and, to get somewhere, at once what becomes of its record, and an owner that takes it."""
        pending = len(self.world.pending())
        self.world.ask(self.world.servers[server], ask)
        if fate and len(self.world.pending()) > pending:
            self.world.fate(*self.world.sent(), fate)
        if most and idle(self.world.current):
            self.world.take(self.world.current, most)

    # The log

    def report(self, fate: str | None, most: int) -> None:
        producer, flight = self.pick(self.world.pending())
        self.world.fate(producer, flight, fate or "deliver")
        if most and idle(self.world.current):
            self.world.take(self.world.current, most)

    def arrive_late(self) -> None:
        producer, flight = self.pick(self.world.late)
        producer.arrive(flight)

    def clock(self, milliseconds: int, tick: bool) -> None:
        """The broker's clock moves, now and then back."""
        self.world.log.now += milliseconds * 1000
        if tick:
            self.world.write(None, None, {"lh_tick": b"1"})

    def foreign(self, stream: str, what: str) -> None:
        """A foreign producer's record: void, or well-formed and undecodable while (or, by its count, for ever)."""
        schema, count = (UNKNOWN if what == "schema" else KNOWN), (3 if what == "miscount" else 2)
        key, value, headers = self._foreign(stream, schema, count)
        wrong = {"count": ("lh_count", b"01"), "expected": ("lh_expected", b"-1"), "id": ("lh_append", b"short")}
        headers |= dict([wrong[what]]) if what in wrong else {}
        headers |= {"lh_tick": b"1"} if what == "tick" else {}
        others = {"partition": b"account/c", "key": b"account/" + b"a" * 300, "category": b"order/a"}
        value = b"\1" + value[1:] if what == "magic" else value
        self.world.write(others.get(what, key), value, {} if what == "headers" else headers)

    def _foreign(self, stream: str, schema: int, count: int) -> tuple[bytes, bytes, dict[str, bytes]]:
        self.writes += 1
        writer = CategorySchema(schema, COMPOSED)
        events = [(writer.by_type["Deposited"], {"amount": 1, "memo": "f"})] * 2
        value = encode(writer, Envelope("foreign", self.world.log.now), list(events))
        headers = headers_of(self.writes.to_bytes(16, "big"), None, count, bytes(16))
        return stream.encode(), value, {name: value for name, value in headers if isinstance(value, bytes)}

    def learn(self) -> None:
        """The registry is given the schema that was missing, and the owner tries again."""
        self.world.registry.known[UNKNOWN] = COMPOSED
        if idle(self.world.current):
            self.world.start(self.world.current, self.world.current.owner.unpark())

    # Owners

    def consume(self, most: int, stop_at: str | None) -> None:
        self.world.current.gate.stop_at = stop_at
        self.world.take(self.world.current, most)

    def unpark(self, stop_at: str | None) -> None:
        self.world.current.gate.stop_at = stop_at
        self.world.start(self.world.current, self.world.current.owner.unpark())

    def another_owner(self, stop_at: str | None, lost: bool) -> None:
        """A new owner; where the store is lost, it is built again."""
        if lost:
            store = self.world.stores.open(PLACE.space)
            self.world.loop.run(store.wipe(self.world.loop.run(store.own())))
        self.world.open(stop_at)

    def wake(self) -> None:
        process = self.pick([one for one in self.world.processes if one.gate.stopped])
        self._step(process, process.gate.go_on)

    def zombie_goes_on(self, most: int) -> None:
        process = self.pick([one for one in self.world.processes if zombie(one, self.world)])
        if most:
            self._step(process, lambda: self.world.take(process, most))
        else:
            self._step(process, lambda: self.world.start(process, process.owner.beat()))
            assert process.dead, "a zombie's beat was taken"

    def commit_comes_again(self) -> None:
        """I6: a commit is applied once, even where it left the position as it was."""
        stores = [one.store for one in self.world.processes if one.store.last is not None]
        before = self.world.stores.open(PLACE.space).state
        again = self.world.loop.create_task(self.pick(stores).commit_again())
        self.world.loop.settle()
        assert isinstance(again.exception(), Fenced)
        assert self.world.stores.open(PLACE.space).state is before

    def _step(self, process: Process, step: Any) -> None:
        """I6: a zombie writes nothing, and learns that it is one as soon as it tries."""
        store = self.world.stores.open(PLACE.space)
        before = store.state
        step()
        self.world.settle(process)
        if process is not self.world.current:
            assert store.state is before, "I6: a zombie wrote"
        if process.dead and process.task is not None and (error := process.task.exception()):
            answered(error, Fenced)

    def wait(self, seconds: float, beats: bool) -> None:
        self.world.loop.advance(seconds)
        if beats and idle(self.world.current):
            self.world.start(self.world.current, self.world.current.owner.beat())

    def stop_behind_wait(self, server: int) -> None:
        """The next attempt that has waited for its record stands still before it looks (between A5 and A6)."""
        if not self.world.servers[server].gate.stopped:
            self.world.servers[server].gate.stop_at = "waited"

    def go_on_behind_wait(self) -> None:
        for server in self.world.servers:
            if server.gate.stopped:
                server.gate.go_on()
        self.world.loop.settle()

    # Invariants

    def answers_hold(self) -> None:
        """I1 and I2."""
        told = self.world.truth()
        for attempt in self.world.attempts:
            if attempt.task.done() and not attempt.judged:
                attempt.judged = True
                self._judge(attempt, told)
        admitted = told.admitted()
        for flight in self.world.void:
            assert not admitted.keys() & set(flight.offsets), f"I2: {flight.outgoing} was refused, then admitted"

    def _judge(self, attempt: Attempt, told: Truth) -> None:
        error = attempt.task.exception()
        if error is None:
            attempt.answer = attempt.task.result()
            acknowledged(attempt, attempt.answer, told)
        elif isinstance(error, Unknown):
            return
        else:
            answered(error, Conflict, Refused, KeyReused, Unavailable)
            refused(attempt, error, self.world.attempts)
            self.world.void.extend(attempt.flights)

    def nothing_is_written_ahead(self) -> None:
        """A2: no record expects more than the head, or a delayed copy of it might be admitted after a refusal."""
        for flight in self.world.unseen():
            said = dict(flight.outgoing.headers)["lh_expected"]
            stream = (flight.outgoing.key or b"").decode()
            assert said == b"any" or int(said or 0) <= self.world.head(stream), f"A2: {said!r} was written ahead"
            decided = any(
                one.task is flight.sender and not isinstance(one.ask.what, tuple) for one in self.world.attempts
            )
            assert said != b"any" or not decided, "a command's events hold only at the version they were decided on"

    def history_holds(self) -> None:
        """I3, I4, I5, I7."""
        store, known = self.world.stores.open(PLACE.space), UNKNOWN in self.world.registry.known
        if self.checked == (store.state, known):
            return
        self.checked = (store.state, known)
        told = self.world.truth(max(self.world.position, 0))
        rows = rows_of(self.world.stores, PLACE.space)
        whole = self.world.truth()
        for stream, facts in whole.streams.items():
            for (name, clock, at), version in self.final.items():
                if name == stream:
                    assert as_of(facts, clock, at) == version, f"I7: {name} at {at} by {clock} was {version}"
        assert {key[1:] for key in rows if key[:1] == b"a"} == set(told.wins), "I5: appends"
        assert sum(key[:1] == b"e" for key in rows) == sum(map(len, told.streams.values())), "I3: versions"
        if keys.REBUILD in rows and self.world.position >= int.from_bytes(rows[keys.REBUILD], "big"):
            for stream, facts in told.streams.items():
                self._stream_holds(stream, facts, told, keys.parked(stream) in rows)
        if not any(key[:1] == b"k" for key in rows) and self.world.position > 0:
            assert rebuilt(self.world) == rows_of(self.world.stores, PLACE.space, keys.PASSING), "I4"

    def _stream_holds(self, stream: str, facts: list[Fact], told: Truth, parked: bool) -> None:
        history = self.world.history
        readable = next((n for n, fact in enumerate(facts) if fact.data is None), len(facts))
        assert parked or readable == len(facts), f"{stream} holds what cannot be decoded, and is not parked"
        assert now(history.info(stream)).head.next == len(facts), "I3"
        stuck = rows_of(self.world.stores, PLACE.space).get(keys.parked(stream))
        if stuck is not None:
            return
        page = now(history.events(stream, Range(0, len(facts))))
        found = [
            Fact(one.type, one.data, one.effective, one.event_time, one.append, (one.offset, one.index))
            for one in page.events
        ]
        assert found == facts, "I4: history"
        assert [one.version for one in page.events] == list(range(len(facts))), "I3"
        for version in {0, len(facts) // 2, len(facts) - 1}:
            state = now(history.state(stream, At(version))).state
            past = facts[: version + 1]
            assert (state.balance, dict(state.memos)) == (balance(past), memos(past)), "I4: state"
        self._times_hold(stream, facts, told)

    def _times_hold(self, stream: str, facts: list[Fact], told: Truth) -> None:
        for clock in ClockName:
            first = moments(facts, clock)[0]
            for moment in {fact.effective for fact in facts} | {fact.event_time for fact in facts}:
                for at in {max(moment - 1, first), max(moment, first), max(told.effective, first)}:
                    page = now(self.world.history.events(stream, Range(0, len(facts)), At(time=at, clock=clock)))
                    assert len(page.events) - 1 == as_of(facts, clock, at), f"time travel to {at} by {clock}"
                    end = told.effective if clock is ClockName.EFFECTIVE else facts[-1].event_time
                    assert page.final == (at < end), f"{at} is final: {page.final}"
                    if page.final:
                        self.final.setdefault((stream, clock, at), len(page.events) - 1)

    def check(self) -> None:
        """Every invariant, as things are now. Raises AssertionError."""
        self.answers_hold()
        self.nothing_is_written_ahead()
        self.history_holds()

    def end(self) -> None:
        """Everything calms down; then whoever asks again with a key is told (I2). Closes the world."""
        try:
            self._calm()
        finally:
            self.world.close()

    def _calm(self) -> None:
        world = self.world
        world.loop.advance(30.0)
        for server in world.servers:
            server.producer.refusing = False
            server.gate.stop_at = None
        self.go_on_behind_wait()
        for producer, flight in world.pending():
            producer.deliver(flight)
        self._catch_up()
        unknown = [one.ask for one in world.attempts if one.ask.key and isinstance(one.task.exception(), Unknown)]
        for ask in dict.fromkeys(unknown):
            self._tell(ask)
        assert all(one.task.done() for one in world.attempts), "an attempt was never answered"

    def _tell(self, ask: Ask) -> None:
        for _ in range(2):
            self.world.ask(self.world.servers[0], ask)
            for producer, flight in self.world.pending():
                producer.deliver(flight)
            self._catch_up()
            assert not isinstance(self.world.attempts[-1].task.exception(), Unknown), "asking again did not tell"

    def _catch_up(self) -> None:
        world = self.world
        world.loop.settle()
        world.open()
        world.take(world.current, 10_000)
        world.loop.settle()
        assert not world.current.dead, world.current.task
        self.answers_hold()
        self.history_holds()


def idle(process: Process) -> bool:
    """Whether this owner stands between two steps."""
    return process.task is None and not process.dead


def zombie(process: Process, world: World) -> bool:
    """Whether this owner was replaced and does not know it yet."""
    return process is not world.current and idle(process)
