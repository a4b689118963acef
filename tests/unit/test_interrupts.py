"""Signals end what runs, once, wherever it is."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from bridge.cli.interrupts import Interrupts, Stopped

NUMBERS = [signal.SIGINT, signal.SIGTERM]


@pytest.fixture
def interrupts() -> Iterator[Interrupts]:
    found = Interrupts()
    before = [signal.getsignal(number) for number in NUMBERS]
    with found.told():
        yield found
    assert [signal.getsignal(number) for number in NUMBERS] == before


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", NUMBERS)
def test_the_first_signal_raises_and_the_next_ones_wait(interrupts: Interrupts, number: int) -> None:
    with pytest.raises(Stopped):
        send(number)
    send(number)
    send(signal.SIGINT)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_ends_a_coroutine_that_cleans_up(interrupts: Interrupts, number: int) -> None:
    ended: list[str] = []

    async def work() -> None:
        asyncio.get_running_loop().call_soon(send, number)
        try:
            await asyncio.sleep(60)
        finally:
            send(number)  # impatient
            await asyncio.sleep(0.01)
            ended.append("cleanly")

    with pytest.raises(Stopped):
        interrupts.run(work())
    assert ended == ["cleanly"]
    send(number)


def test_a_signal_in_a_callback_of_the_loop_is_not_lost(interrupts: Interrupts) -> None:
    """An exception that is raised there is only logged, and the loop goes on."""

    def callback() -> None:
        send(signal.SIGINT)

    async def work() -> None:
        asyncio.get_running_loop().call_soon(callback)
        await asyncio.sleep(60)

    with pytest.raises(Stopped):
        interrupts.run(work())


def test_a_signal_at_the_very_end_of_a_coroutine_is_not_lost(interrupts: Interrupts) -> None:
    async def work() -> int:
        send(signal.SIGTERM)
        return 7

    with pytest.raises(Stopped):
        interrupts.run(work())


def test_without_a_signal_there_is_a_result(interrupts: Interrupts) -> None:
    async def work() -> int:
        await asyncio.sleep(0)
        return 7

    assert interrupts.run(work()) == 7
    with pytest.raises(Stopped):
        send(signal.SIGINT)
