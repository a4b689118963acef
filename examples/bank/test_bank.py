import pytest
from bank import (
    Account,
    AccountClosed,
    AccountOpened,
    Close,
    Deposit,
    MoneyDeposited,
    MoneyWithdrawn,
    OpenAccount,
    Withdraw,
    account,
)

from bridge.decider import given

OPENED = AccountOpened("Ada")


def test_an_account_is_opened() -> None:
    given(account).when(OpenAccount("Ada")).then(OPENED)


def test_money_comes_and_goes() -> None:
    given(account, OPENED).when(Deposit(10)).then(MoneyDeposited(10))
    given(account, OPENED, MoneyDeposited(10)).when(Withdraw(10)).then(MoneyWithdrawn(10))


def test_the_balance_is_what_came_less_what_went() -> None:
    given(account, OPENED, MoneyDeposited(10)).when(Withdraw(3)).then_state(Account("open", "Ada", 7))


def test_an_empty_account_closes() -> None:
    past = given(account, OPENED, MoneyDeposited(10), MoneyWithdrawn(10))
    past.when(Close()).then(AccountClosed())
    past.when(Close()).then_state(Account("closed", "Ada"))


def test_an_account_is_opened_once() -> None:
    given(account, OPENED).when(OpenAccount("Bob")).then_refused("B1")
    given(account, OPENED, AccountClosed()).when(OpenAccount("Bob")).then_refused("B1")


@pytest.mark.parametrize("command", [Deposit(1), Withdraw(1), Close()])
def test_only_an_open_account_accepts_anything(command: Deposit | Withdraw | Close) -> None:
    given(account).when(command).then_refused("B2")
    given(account, OPENED, AccountClosed()).when(command).then_refused("B2")


@pytest.mark.parametrize("amount", [0, -1])
def test_an_amount_is_positive(amount: int) -> None:
    given(account, OPENED).when(Deposit(amount)).then_refused("B3")
    given(account, OPENED).when(Withdraw(amount)).then_refused("B3")


def test_an_overdraft_is_refused() -> None:
    given(account, OPENED, MoneyDeposited(10)).when(Withdraw(11)).then_refused("B4")


def test_an_account_with_money_does_not_close() -> None:
    given(account, OPENED, MoneyDeposited(10)).when(Close()).then_refused("B5")
