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
