"""The accounts of `account`, two schema versions later: memos are notes now, and amounts of deposits are in cents."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from immutables import Map

from bridge.decider import Decider
from bridge.log.compose import load
from bridge.upcast import Upcast, by_category

SCHEMAS = Path(__file__).parent / "newer"
COMPOSED = load("account", SCHEMAS / "account")
NEWER = 2
"""The id of this schema in a test's registry."""


@dataclass(frozen=True)
class Deposited:
    cents: int
    note: str
    by: str


@dataclass(frozen=True)
class Withdrawn:
    amount: int
    fee: int


Event = Deposited | Withdrawn


@dataclass(frozen=True)
class Account:
    cents: int = 0
    notes: Map[str, int] = field(default_factory=Map)
    by: Map[str, int] = field(default_factory=Map)


def evolve(account: Account, event: Event) -> Account:
    match event:
        case Deposited(cents, note, by):
            notes = account.notes.set(note, account.notes.get(note, 0) + cents)
            return Account(account.cents + cents, notes, account.by.set(by, account.by.get(by, 0) + 1))
        case Withdrawn(amount, fee):
            return replace(account, cents=account.cents - 100 * amount - fee)


def renamed(data: dict[str, Any]) -> dict[str, Any]:
    """Version 1 to 2: `memo` is called `note`."""
    return {"amount": data["amount"], "note": data["memo"]}


def in_cents(data: dict[str, Any]) -> dict[str, Any]:
    """Version 2 to 3: `amount` becomes `cents`. It changes what it is given, as an upcast may."""
    data["cents"] = 100 * data.pop("amount")
    return data


def fragile(data: dict[str, Any]) -> dict[str, Any]:
    """`renamed` with a bug: it fails at a memo."""
    if data["memo"] == "poison":
        raise ValueError("no such memo")
    return renamed(data)


UPCASTS = (Upcast("account", "Deposited", 1, renamed), Upcast("account", "Deposited", 2, in_cents))
STEPS = by_category(UPCASTS)["account"]
BROKEN = {**STEPS, ("Deposited", 1): fragile}
account: Decider[Any, Account, Event] = Decider(
    "account", 2, Account(), Account, lambda _, __: [], evolve, (), (Deposited, Withdrawn)
)
