"""The example as its author has it: it registers, its schemas fit its events, its own tests pass."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from bridge.application import catalog
from bridge.handle import Context
from bridge.log.compose import load
from tests.memory_commands import MemoryCommands

BANK = Path(__file__).parents[2] / "examples" / "bank"


@pytest.fixture
def bank(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BANK)
    return import_module("bank")


def test_the_bank_registers_its_category(bank: ModuleType) -> None:
    found = catalog([bank.application])
    assert found.categories == ("account",)
    assert found.deciders["account"] is bank.account


def test_the_schemas_fit_the_events(bank: ModuleType) -> None:
    events = load("account", BANK / "schemas" / "account")["fields"][-1]["type"]["items"]
    in_avro = {event["name"]: [field["name"] for field in event["fields"]] for event in events}
    assert in_avro == {event.__name__: [field.name for field in fields(event)] for event in bank.account.events}


def test_the_events_survive_avro(bank: ModuleType) -> None:
    platform = MemoryCommands(bank.account, BANK / "schemas" / "account")
    for command in (bank.OpenAccount("Ada"), bank.Deposit(2**40), bank.Withdraw(2**40), bank.Close()):
        asyncio.run(platform.execute("account/1", command, Context("test")))
    assert asyncio.run(platform.state("account/1")) == bank.Account("closed", "Ada")


def test_its_own_tests_pass() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "pyproject.toml"]
    done = subprocess.run(command, cwd=BANK, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
