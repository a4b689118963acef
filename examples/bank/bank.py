"""A bank: one stream an account, amounts in cents.

B1  an account is opened once
B2  only an open account takes deposits, pays out and closes
B3  an amount is positive
B4  a withdrawal is covered by the balance
B5  an account is empty when it closes
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from bridge.application import Application
from bridge.decider import Decider, Refused
from bridge.events import RecordedEvent
from bridge.projection import Projection, Rows


@dataclass(frozen=True, slots=True)
class OpenAccount:
    owner: str


@dataclass(frozen=True, slots=True)
class Deposit:
    amount: int


@dataclass(frozen=True, slots=True)
class Withdraw:
    amount: int


@dataclass(frozen=True, slots=True)
class Close:
    pass


@dataclass(frozen=True, slots=True)
class AccountOpened:
    owner: str


@dataclass(frozen=True, slots=True)
class MoneyDeposited:
    amount: int


@dataclass(frozen=True, slots=True)
class MoneyWithdrawn:
    amount: int


@dataclass(frozen=True, slots=True)
class AccountClosed:
    pass


@dataclass(frozen=True, slots=True)
class Account:
    status: Literal["new", "open", "closed"] = "new"
    owner: str = ""
    balance: int = 0


Command = OpenAccount | Deposit | Withdraw | Close
Event = AccountOpened | MoneyDeposited | MoneyWithdrawn | AccountClosed


def decide(command: Command, account: Account) -> Sequence[Event]:
    match command:
        case OpenAccount() if account.status != "new":
            raise Refused("B1", f"the account of {account.owner} was opened before")
        case OpenAccount(owner):
            return [AccountOpened(owner)]
        case _ if account.status != "open":
            raise Refused("B2", "the account is not open")
        case Deposit(amount) | Withdraw(amount) if amount <= 0:
            raise Refused("B3", f"an amount of {amount} is not positive")
        case Withdraw(amount) if amount > account.balance:
            raise Refused("B4", f"withdrawing {amount} would overdraw the balance of {account.balance}")
        case Close() if account.balance > 0:
            raise Refused("B5", f"the account still holds {account.balance}")
        case Deposit(amount):
            return [MoneyDeposited(amount)]
        case Withdraw(amount):
            return [MoneyWithdrawn(amount)]
        case Close():
            return [AccountClosed()]


def evolve(account: Account, event: Event) -> Account:
    match event:
        case AccountOpened(owner):
            return Account("open", owner)
        case MoneyDeposited(amount):
            return replace(account, balance=account.balance + amount)
        case MoneyWithdrawn(amount):
            return replace(account, balance=account.balance - amount)
        case AccountClosed():
            return replace(account, status="closed")


account = Decider(
    category="account",
    version=1,
    initial=Account(),
    state=Account,
    decide=decide,
    evolve=evolve,
    commands=(OpenAccount, Deposit, Withdraw, Close),
    events=(AccountOpened, MoneyDeposited, MoneyWithdrawn, AccountClosed),
)


def hold(event: RecordedEvent, rows: Rows[int]) -> None:
    """What each open account holds."""
    balance = rows.get(event.stream) or 0
    match event.type:
        case "AccountOpened":
            rows.put(event.stream, 0)
        case "MoneyDeposited":
            rows.put(event.stream, balance + event.data["amount"])
        case "MoneyWithdrawn":
            rows.put(event.stream, balance - event.data["amount"])
        case "AccountClosed":
            rows.delete(event.stream)


balances = Projection("balances", version=1, project=hold, row=int, categories=("account",), versioned=True, hot=True)

application = Application(
    name="bank", schemas=Path(__file__).parent / "schemas", deciders=(account,), projections=(balances,)
)
