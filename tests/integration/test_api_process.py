"""The API as a process: how it starts, what it says when nobody applies the log, and how it ends."""

from __future__ import annotations

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from bridge.local.ports import pick
from bridge.settings import Settings
from tests.client import append, commit, problem
from tests.servers import PATIENCE, environment, prepare, ready, running, until, url

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

WRITERS = 8


@pytest.fixture
def another(served: Settings) -> Settings:
    """The settings of another API beside the shared one."""
    return served.model_copy(update={"api_port": pick(1)[0]})


@pytest.fixture
async def alone(another: Settings) -> Settings:
    """The same with topics of its own, which nobody applies."""
    prefix = f"alone{another.api_port}"
    stores = f"lmdb://{another.root}/{prefix}"
    settings = another.model_copy(update={"topic_prefix": prefix, "history_store": stores})
    await prepare(settings)
    return settings


def client(settings: Settings) -> httpx.Client:
    return httpx.Client(base_url=url(settings), trust_env=False, timeout=PATIENCE)


def live(settings: Settings) -> bool:
    try:
        return httpx.get(f"{url(settings)}/health/live", trust_env=False).is_success
    except httpx.TransportError:
        return False


def failing(settings: Settings) -> str:
    """What an API says that cannot start."""
    command = [sys.executable, "-m", "bridge.api"]
    ended = subprocess.run(command, env=environment(settings), capture_output=True, text=True, timeout=PATIENCE)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    return ended.stderr


def test_a_port_that_is_taken_is_named(served: Settings) -> None:
    assert f"cannot listen on 127.0.0.1:{served.api_port} (Address already in use)" in failing(served)


def test_topics_that_are_missing_are_named(another: Settings) -> None:
    assert "topics are missing: nowhere" in failing(another.model_copy(update={"topic_prefix": "nowhere"}))


def test_without_a_processor_nothing_is_written(alone: Settings, stream: str) -> None:
    with running(alone, "bridge.api"), client(alone) as api:
        until(lambda: live(alone), "the API lives")
        answer = api.get("/health/ready")
        assert answer.status_code == 503
        assert not answer.json()["ready"]
        assert all("no processor has opened it" in each["reason"] for each in answer.json()["partitions"])
        refused = append(api, stream, 0)
        problem(refused, 503, "no-owner")
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.headers["idempotency-key"]
        problem(api.get(f"/v1/streams/{stream}"), 503, "no-owner")


class Writer:
    """Appends to a stream of its own until it is refused a connection, and keeps what was acknowledged."""

    def __init__(self, settings: Settings, stream: str) -> None:
        self.stream = stream
        self.acknowledged = 0
        self._settings = settings

    def run(self) -> None:
        with client(self._settings) as api:
            try:
                while True:
                    assert append(api, self.stream, self.acknowledged, commit()).status_code == 201
                    self.acknowledged += 1
            except (httpx.ConnectError, httpx.RemoteProtocolError, httpx.ReadError):
                return


@pytest.fixture
def writers(another: Settings, stream: str) -> list[Writer]:
    return [Writer(another, f"{stream}/{number}") for number in range(WRITERS)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_was_acknowledged_is_kept_when_a_signal_ends_the_api(
    api: httpx.Client, another: Settings, writers: list[Writer], number: signal.Signals
) -> None:
    with running(another, "bridge.api") as process, ThreadPoolExecutor(WRITERS) as pool:
        until(lambda: ready(another), "the API is ready")
        done = [pool.submit(writer.run) for writer in writers]
        until(lambda: all(writer.acknowledged > 5 for writer in writers), "all writers write")
        process.send_signal(number)
        assert process.wait(PATIENCE) == 0
        for each in done:
            each.result(PATIENCE)
    for writer in writers:
        head = api.get(f"/v1/streams/{writer.stream}").json()["head"]
        assert head == writer.acknowledged
