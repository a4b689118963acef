"""What holds for every test."""

from __future__ import annotations

import signal

import pytest

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell that runs the tests in the background lets them ignore Ctrl-C, and all that they start would do the same.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--seeds N`: `scripts/test --long` plays 100,000."""
    parser.addoption("--seeds", type=int, default=2_000, help="seeds that the simulation plays")


WAITING = ("cli", "faults", "pages", "integration", "stores")
"""Folders of tests that take long and mostly wait, the longest first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files come first: what is left for the end is short, and no process of the tests waits for another."""

    def place(item: pytest.Item) -> int:
        folder = item.path.parent.name
        return WAITING.index(folder) if folder in WAITING else len(WAITING)

    items.sort(key=place)  # stable: within a folder as they were
