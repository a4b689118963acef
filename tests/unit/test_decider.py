from __future__ import annotations

import pytest

from bridge.decider import fold, given
from tests.model.account import Account, Deposit, Deposited, Event, Look, Withdraw, Withdrawn, account


def test_what_was_decided() -> None:
    given(account, Deposited(10)).when(Withdraw(4)).then(Withdrawn(4))
    given(account).when(Deposit(1, times=2)).then(Deposited(1), Deposited(1))
    given(account).when(Look()).then()


def test_what_was_refused() -> None:
    given(account, Deposited(10)).when(Withdraw(11)).then_refused("overdraft")


def test_the_state_that_follows() -> None:
    given(account, Deposited(10)).when(Withdraw(4)).then_state(Account(6, Account().memos.set("", 10)))


def test_other_events_than_expected_fail() -> None:
    with pytest.raises(AssertionError, match="decided"):
        given(account, Deposited(10)).when(Withdraw(4)).then(Withdrawn(5))
    with pytest.raises(AssertionError, match="decided"):
        given(account, Deposited(10)).when(Withdraw(4)).then()


def test_a_refusal_where_events_were_expected_fails() -> None:
    with pytest.raises(AssertionError, match="refused by overdraft: 4 is more than 0"):
        given(account).when(Withdraw(4)).then(Withdrawn(4))
    with pytest.raises(AssertionError, match="refused by overdraft"):
        given(account).when(Withdraw(4)).then_state(Account())


def test_events_where_a_refusal_was_expected_fail() -> None:
    with pytest.raises(AssertionError, match="not refused"):
        given(account, Deposited(10)).when(Withdraw(4)).then_refused("overdraft")


def test_another_rule_than_expected_fails() -> None:
    with pytest.raises(AssertionError, match="not by other"):
        given(account).when(Withdraw(4)).then_refused("other")


def test_another_state_than_expected_fails() -> None:
    with pytest.raises(AssertionError, match="state is"):
        given(account).when(Deposit(1)).then_state(Account())


def test_a_past_is_a_fold() -> None:
    past: list[Event] = [Deposited(3), Withdrawn(1), Deposited(5)]
    assert given(account, *past).state == fold(account, Account(), past)
    assert fold(account, fold(account, Account(), past[:1]), past[1:]) == fold(account, Account(), past)
