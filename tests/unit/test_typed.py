from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest

from bridge.decider import Decider
from bridge.errors import Invalid, NotFound
from bridge.events import Event
from bridge.typed import Typed, UnknownEvent
from tests.model import account
from tests.model.account import Account, Deposit, Deposited

TYPED = Typed(account.account)


@dataclass(frozen=True)
class Held:
    """What Avro's logical types give."""

    at: datetime
    day: date
    price: Decimal
    id: UUID
    raw: bytes
    names: tuple[str, ...]


@dataclass(frozen=True)
class Order:
    lines: list[dict[str, int]]


HELD = Held(datetime(2024, 1, 1, tzinfo=UTC), date(2024, 1, 1), Decimal("1.50"), UUID(int=7), b"\0", ("a", "b"))
OTHER = Typed(Decider("other", 1, 0, int, lambda _, __: [], lambda state, _: state, (Order,), (Held,)))


def test_an_event_and_its_plain_form() -> None:
    assert TYPED.event("Deposited", {"amount": 3, "memo": "m"}) == Deposited(3, "m")
    assert TYPED.plain(Deposited(3, "m")) == Event("Deposited", {"amount": 3, "memo": "m"})


def test_what_avro_keeps_is_kept() -> None:
    plain = OTHER.plain(HELD)
    assert plain.data["at"] is HELD.at
    assert plain.data["raw"] == b"\0"
    assert OTHER.event("Held", plain.data) == HELD


def test_an_event_that_the_decider_does_not_name() -> None:
    with pytest.raises(UnknownEvent, match="knows no Vanished"):
        TYPED.event("Vanished", {})


def test_fields_that_the_class_does_not_take() -> None:
    with pytest.raises(msgspec.ValidationError):
        TYPED.event("Deposited", {"amount": "3"})


def test_evolve_is_the_deciders() -> None:
    assert TYPED.evolve(Account(), "Deposited", {"amount": 3, "memo": "m"}) == account.evolve(
        Account(), Deposited(3, "m")
    )


def test_a_command_from_json() -> None:
    assert TYPED.command("Deposit", {"amount": 3}) == Deposit(3)


def test_an_unknown_command_is_told_what_there_is() -> None:
    with pytest.raises(NotFound, match="it has Deposit, Look, Withdraw"):
        TYPED.command("Steal", {})


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "lines"),
        ({"lines": 5}, "lines"),
        ({"lines": [{}, 5]}, "lines.1"),
        ({"lines": [{"a": "x"}]}, "lines.0"),
        ([], ""),
    ],
)
def test_a_bad_command_names_the_field(body: Any, path: str) -> None:
    with pytest.raises(Invalid) as caught:
        OTHER.command("Order", body)
    assert caught.value.path == path


def test_states_go_through_the_deciders_class() -> None:
    state = Account(5, Account().memos.set("m", 5))
    assert TYPED.decode(TYPED.encode(state)) == state
