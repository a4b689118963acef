"""Appends and reads of `eventsourcing` with PostgreSQL: `python -m benchmarks.peers.aggregates append|load FILE`.

The library's own settings come in its environment variables. The answer is written into the file as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event

SECONDS = 4.0
WARM = 1.0
THREADS = (1, 4, 8, 16, 32)
LENGTH = 1_000
LOADS = 50


class Account(Aggregate):
    """The account of examples/bank."""

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.balance = 0

    @event("Deposited")
    def deposit(self, amount: int) -> None:
        """Money comes in."""
        self.balance += amount


class Bank(Application):
    """Every account from its first event."""


class QuickBank(Application):
    """With a snapshot every hundred events, as ours has."""

    is_snapshotting_enabled = True
    snapshotting_intervals: ClassVar[dict[type[Aggregate], int]] = {Account: 100}


def append() -> dict[str, float]:
    """Appends a second by the number of threads, each with an aggregate of its own and one event a save."""
    bank = Bank()
    _run(bank, max(THREADS), WARM)
    return {str(threads): _run(bank, threads, SECONDS) for threads in THREADS}


def _run(bank: Bank, threads: int, seconds: float) -> float:
    began = time.perf_counter()

    def write(_: int) -> int:
        account, count = Account("Ada"), 1
        bank.save(account)
        while time.perf_counter() - began < seconds:
            account.deposit(10)
            bank.save(account)
            count += 1
        return count

    with ThreadPoolExecutor(threads) as pool:
        total = sum(pool.map(write, range(threads)))
    return total / (time.perf_counter() - began)


def load() -> dict[str, list[float]]:
    """Milliseconds of each load of an aggregate of a thousand events, from the events alone and with snapshots."""
    return {"events": _loads(Bank()), "snapshots": _loads(QuickBank())}


def _loads(bank: Application) -> list[float]:
    account = Account("Ada")
    bank.save(account)
    for _ in range(LENGTH - 1):
        account.deposit(10)
        bank.save(account)
    found = []
    for _ in range(LOADS):
        began = time.perf_counter()
        loaded: Account = bank.repository.get(account.id)
        found.append((time.perf_counter() - began) * 1000)
        assert loaded.balance == (LENGTH - 1) * 10, f"loaded a balance of {loaded.balance}"
    return found


if __name__ == "__main__":
    answer = {"append": append, "load": load}[sys.argv[1]]()
    Path(sys.argv[2]).write_text(json.dumps(answer))
