"""Several API processes behind one address: each connection lands in one of them, and it matters to nobody which."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import psutil
import pytest

from bridge.local.ports import pick
from bridge.settings import Settings
from tests.client import append, commit
from tests.forks import Forked
from tests.readers import Socket
from tests.servers import PATIENCE, ready, running, until, url

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

READERS = 12
"""Connections of which one half lands in either process: that all are in one has a chance of one in 2,000."""


@pytest.fixture(scope="module")
def shared(served: Settings) -> Settings:
    """The settings of two APIs with one address, beside the one that the other tests share."""
    return served.model_copy(update={"api_port": pick(1)[0]})


@pytest.fixture(scope="module")
def apis(shared: Settings) -> Iterator[list[Forked]]:
    with ExitStack() as stack:
        started = [stack.enter_context(running(shared, "bridge.api", "--shared")) for _ in range(2)]
        until(lambda: all(listens(one, shared.api_port) for one in started), "both listen")
        until(lambda: ready(shared), "an API is ready")
        yield started


def listens(process: Forked, port: int) -> bool:
    return any(one.laddr.port == port for one in psutil.Process(process.pid).net_connections("tcp"))


def connections(process: Forked, port: int) -> int:
    """How many readers this process has."""
    found = psutil.Process(process.pid).net_connections("tcp")
    return sum(one.laddr.port == port and one.status == psutil.CONN_ESTABLISHED for one in found)


def client(settings: Settings) -> httpx.Client:
    """A client whose every call is a connection of its own, and so may be answered by any process."""
    limits = httpx.Limits(max_keepalive_connections=0)
    return httpx.Client(base_url=url(settings), trust_env=False, timeout=PATIENCE, limits=limits)


def test_what_one_has_acknowledged_the_other_tells(shared: Settings, apis: list[Forked], stream: str) -> None:
    with client(shared) as api:
        for version in range(40):
            written = append(api, stream, version, commit(f"{version}"))
            assert written.status_code == 201, written.text
            seen = {"Lighthouse-At-Least": written.headers["lighthouse-position"]}
            assert api.get(f"/v1/streams/{stream}", headers=seen).json()["head"] == version + 1
            row = api.get(f"/v1/projections/streams/rows/{stream}", headers=seen)
            assert row.json()["row"]["head"] == version + 1


async def test_readers_of_either_see_each_event_once(shared: Settings, apis: list[Forked], stream: str) -> None:
    readers = [await Socket.open(shared, {"stream": stream}) for _ in range(READERS)]
    try:
        assert all(connections(one, shared.api_port) for one in apis), "all readers are with one process"
        with client(shared) as api:
            for version in range(5):
                assert append(api, stream, version, commit(f"{version}")).status_code == 201
        for reader in readers:
            found: list[int] = []
            while len(found) < 5:
                message = await reader.next()
                if message["kind"] == "event":
                    found.append(message["event"]["version"])
            assert found == [0, 1, 2, 3, 4]
    finally:
        for reader in readers:
            reader.leave()


def test_one_that_is_killed_takes_nothing_but_its_connections_with_it(
    shared: Settings, apis: list[Forked], stream: str
) -> None:
    with client(shared) as api:
        assert append(api, stream, 0, commit("before"), Idempotency_Key="first").status_code == 201
        apis[0].send_signal(signal.SIGKILL)
        apis[0].wait(PATIENCE)
        again = append(api, stream, 0, commit("before"), Idempotency_Key="first")
        assert again.json()["duplicate"]
        for version in range(1, 30):
            assert append(api, stream, version, commit(f"{version}")).status_code == 201


def test_an_address_is_shared_only_by_those_who_say_so(shared: Settings, apis: list[Forked]) -> None:
    with running(shared, "bridge.api") as third:
        assert third.wait(PATIENCE) == 1
