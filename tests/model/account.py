"""A small application for tests: accounts that are never overdrawn, with an `evolve` that can break and be mended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from immutables import Map

from bridge.decider import Decider, Refused

SCHEMAS = Path(__file__).parent / "schemas"
POISON = "poison"


@dataclass(frozen=True)
class Deposited:
    amount: int
    memo: str = ""


@dataclass(frozen=True)
class Withdrawn:
    amount: int


@dataclass(frozen=True)
class Deposit:
    amount: int
    memo: str = ""
    times: int = 1


@dataclass(frozen=True)
class Withdraw:
    amount: int


@dataclass(frozen=True)
class Look:
    """Decides nothing."""


Command = Deposit | Withdraw | Look
Event = Deposited | Withdrawn


@dataclass(frozen=True)
class Account:
    balance: int = 0
    memos: Map[str, int] = field(default_factory=Map)


def decide(command: Command, account: Account) -> Sequence[Event]:
    match command:
        case Deposit(amount, memo, times):
            return [Deposited(amount, memo)] * times
        case Withdraw(amount) if amount > account.balance:
            raise Refused("overdraft", f"{amount} is more than {account.balance}")
        case Withdraw(amount):
            return [Withdrawn(amount)]
        case Look():
            return []


def evolve(account: Account, event: Event) -> Account:
    match event:
        case Deposited(amount, memo):
            memos = account.memos.set(memo, account.memos.get(memo, 0) + amount)
            return Account(account.balance + amount, memos)
        case Withdrawn(amount):
            return replace(account, balance=account.balance - amount)


def fragile(account: Account, event: Event) -> Account:
    """`evolve` with a bug: it fails at a memo."""
    if isinstance(event, Deposited) and event.memo == POISON:
        raise ValueError("no such memo")
    return evolve(account, event)


COMMANDS = (Deposit, Withdraw, Look)
EVENTS = (Deposited, Withdrawn)
account = Decider("account", 1, Account(), Account, decide, evolve, COMMANDS, EVENTS)
broken = Decider("account", 1, Account(), Account, decide, fragile, COMMANDS, EVENTS)
