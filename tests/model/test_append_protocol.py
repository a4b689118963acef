"""The append protocol against a naive reference, in any interleaving: play.py says what happens and what must hold."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.model import account
from tests.model.play import Play, idle, zombie
from tests.model.world import Ask, World

STREAMS = st.sampled_from(["account/a", "account/b"])
KEYS = st.sampled_from([None, "k0", "k1", "k2", "k3", "k4"])
SERVERS = st.integers(0, 1)
DELTAS = st.sampled_from([None, -1, 0, 0, 0, 1, 2])
AMOUNTS = st.integers(1, 9)
RARELY = st.integers(0, 7).map(lambda number: number == 7)
TAKES = st.sampled_from([0, 0, 1, 5])
STOPS = st.sampled_from([None, None, None, "commit", "committed"])
FATES = st.sampled_from([None, None, "deliver", "deliver", "deliver", "lose", "late", "twice", "drop"])
VOIDS = ["headers", "magic", "partition", "count", "expected", "key", "id", "tick", "category"]
GARBAGE = st.sampled_from([*VOIDS, "schema", "schema", "schema", "miscount", ""])
COMMANDS = st.one_of(
    st.builds(account.Deposit, AMOUNTS, st.just("c"), st.integers(1, 3)),
    st.builds(account.Withdraw, AMOUNTS),
    st.just(account.Look()),
)
ASKS = st.one_of(
    st.builds(Ask, STREAMS, KEYS, st.lists(AMOUNTS, min_size=1, max_size=3).map(tuple), DELTAS),
    st.builds(Ask, STREAMS, KEYS, COMMANDS),
    st.builds(Ask, st.just(""), st.none(), st.tuples(AMOUNTS), create=st.just(True)),
)


class AppendProtocol(RuleBasedStateMachine):
    """Rules are what can happen; invariants are what must hold whatever happens."""

    @initialize()
    def begin(self) -> None:
        self.play = Play(World(), lambda _: None)

    def _with(self, data: st.DataObject) -> Play:
        """The play, which chooses as this rule's data say."""
        self.play.pick = lambda options: data.draw(st.sampled_from(options))
        return self.play

    # Clients

    @rule(server=SERVERS, ask=ASKS, fate=FATES, most=TAKES, refuse=RARELY)
    def ask(self, server: int, ask: Ask, fate: str | None, most: int, refuse: bool) -> None:
        self.play.ask(server, ask, fate, most, refuse)

    @precondition(lambda self: self.play.world.keyed())
    @rule(server=SERVERS, data=st.data(), fate=FATES, most=TAKES)
    def again(self, server: int, data: st.DataObject, fate: str | None, most: int) -> None:
        self._with(data).again(server, fate, most)

    @precondition(lambda self: self.play.world.keyed())
    @rule(server=SERVERS, amount=AMOUNTS, data=st.data(), fate=FATES, most=TAKES)
    def another_body(self, server: int, amount: int, data: st.DataObject, fate: str | None, most: int) -> None:
        self._with(data).another_body(server, amount, fate, most)

    # The log

    @precondition(lambda self: self.play.world.pending())
    @rule(data=st.data(), fate=FATES, most=TAKES)
    def report(self, data: st.DataObject, fate: str | None, most: int) -> None:
        self._with(data).report(fate, most)

    @precondition(lambda self: self.play.world.late)
    @rule(data=st.data())
    def arrive_late(self, data: st.DataObject) -> None:
        self._with(data).arrive_late()

    @rule(milliseconds=st.integers(-1500, 2500), tick=st.booleans())
    def clock(self, milliseconds: int, tick: bool) -> None:
        self.play.clock(milliseconds, tick)

    @rule(stream=STREAMS, what=GARBAGE)
    def foreign(self, stream: str, what: str) -> None:
        self.play.foreign(stream, what)

    @rule()
    def learn(self) -> None:
        self.play.learn()

    # Owners

    @precondition(lambda self: idle(self.play.world.current))
    @rule(most=st.integers(1, 9), stop_at=STOPS)
    def consume(self, most: int, stop_at: str | None) -> None:
        self.play.consume(most, stop_at)

    @precondition(lambda self: idle(self.play.world.current))
    @rule(stop_at=STOPS)
    def unpark(self, stop_at: str | None) -> None:
        self.play.unpark(stop_at)

    @rule(stop_at=st.sampled_from([None, None, None, "owned", "commit"]), lost=RARELY)
    def another_owner(self, stop_at: str | None, lost: bool) -> None:
        self.play.another_owner(stop_at, lost)

    @precondition(lambda self: any(one.gate.stopped for one in self.play.world.processes))
    @rule(data=st.data())
    def wake(self, data: st.DataObject) -> None:
        self._with(data).wake()

    @precondition(lambda self: any(zombie(one, self.play.world) for one in self.play.world.processes))
    @rule(data=st.data(), most=st.integers(0, 9))
    def zombie_goes_on(self, data: st.DataObject, most: int) -> None:
        self._with(data).zombie_goes_on(most)

    @precondition(lambda self: any(one.store.last is not None for one in self.play.world.processes))
    @rule(data=st.data())
    def commit_comes_again(self, data: st.DataObject) -> None:
        self._with(data).commit_comes_again()

    @rule(seconds=st.sampled_from([0.5, 3.5, 6.0, 11.0]), beats=st.sampled_from([True, True, False]))
    def wait(self, seconds: float, beats: bool) -> None:
        self.play.wait(seconds, beats)

    @rule(server=SERVERS)
    def stop_behind_wait(self, server: int) -> None:
        self.play.stop_behind_wait(server)

    @precondition(lambda self: any(one.gate.stopped for one in self.play.world.servers))
    @rule()
    def go_on_behind_wait(self) -> None:
        self.play.go_on_behind_wait()

    @invariant()
    def everything_holds(self) -> None:
        self.play.check()

    def teardown(self) -> None:
        if hasattr(self, "play"):
            self.play.end()


AppendProtocol.TestCase.settings = settings(
    max_examples=200,
    stateful_step_count=40,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
TestAppendProtocol = AppendProtocol.TestCase
