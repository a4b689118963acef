"""What must hold of an answer, of a time, and of a store, by the reference and by a clean rebuild."""

from __future__ import annotations

from bisect import bisect_right

from bridge.cache import StateCache
from bridge.errors import Conflict, KeyReused, Unavailable
from bridge.events import Appended
from bridge.history.times import ClockName
from bridge.store import keys
from bridge.store.memory import MemoryStores
from streams.owner import Code, Owner
from tests.model import account
from tests.model.reference import Fact, Truth, balance
from tests.model.world import PARTITION, PLACE, Attempt, World, asked, now
from tests.simlog import rows_of, schemas_of


def acknowledged(attempt: Attempt, answer: Appended, told: Truth) -> None:
    """I1: what was acknowledged is in the log, admitted, at the versions that were told."""
    ask = attempt.ask
    if isinstance(ask.what, account.Look):
        assert answer.last_version == answer.first_version - 1
        assert not attempt.flights
        return
    assert answer.append in told.wins, f"I1: {ask} was acknowledged with {answer}, but nothing was admitted"
    win = told.wins[answer.append]
    assert (win.stream, win.first, win.first + win.count - 1) == (
        answer.stream,
        answer.first_version,
        answer.last_version,
    ), f"I1: {ask} was told {answer}, not {win}"
    assert answer.position.offset == win.offset + 1
    assert ask.expected in (None, win.first), f"{ask} expected another version than {win}"
    if not answer.duplicate:
        assert win.offset in [offset for flight in attempt.flights for offset in flight.offsets]
    facts = told.streams[win.stream]
    assert [(one.type, one.data) for one in facts[win.first : win.first + win.count]] == asked(ask), "I1: other events"
    if isinstance(ask.what, account.Withdraw) and all(fact.data for fact in facts):
        assert ask.what.amount <= balance(facts[: win.first]), "an overdraft"


def refused(attempt: Attempt, error: BaseException, attempts: list[Attempt]) -> None:
    """A refusal has a reason, and never comes after an acknowledgement of the same request under the same key."""
    if isinstance(error, Unavailable):
        return
    assert not attempt.after, f"I1: {attempt.ask} was acknowledged before, and is now refused: {error}"
    if isinstance(error, Conflict):
        assert error.expected != error.actual
        assert error.actual > error.expected or attempt.head < error.expected, "A2: refused before the log was read"
    if isinstance(error, KeyReused):
        same = [one.ask for one in attempts if (one.ask.key, one.ask.stream) == (attempt.ask.key, attempt.ask.stream)]
        assert any(ask != attempt.ask for ask in same), "a key was used by one request only"


def moments(facts: list[Fact], clock: ClockName) -> list[int]:
    """The facts' times by a clock."""
    return [fact.effective if clock is ClockName.EFFECTIVE else fact.event_time for fact in facts]


def as_of(facts: list[Fact], clock: ClockName, at: int) -> int:
    """The last version at or before a time."""
    return bisect_right(moments(facts, clock), at) - 1


def rebuilt(world: World) -> dict[bytes, bytes]:
    """The rows of a clean rebuild from the log up to the store's position."""
    stores = MemoryStores(world.loop.time)
    schemas = schemas_of(world.registry, "account", account.SCHEMAS / "account")
    owner = Owner(PLACE, stores.open(PLACE.space), Code(schemas, world.typed, StateCache(100, 100_000)))
    now(owner.open(world.log.ends(*PARTITION)))
    now(owner.take(world.log.read(*PARTITION, 0, world.position)))
    return rows_of(stores, PLACE.space, keys.PASSING)
