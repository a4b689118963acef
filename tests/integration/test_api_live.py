"""Live readers over WebSocket, and what all readers of many streams are limited by: an API with small limits."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psutil
import pytest

from bridge.local.ports import pick
from bridge.settings import Settings
from tests.client import Api, append, commit, problem
from tests.forks import Forked
from tests.readers import Socket, events_of, sent
from tests.servers import PATIENCE, ready, running, until, url

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

READERS = 1_000
LARGE = "x" * 1000


@pytest.fixture(scope="module")
def small(served: Settings) -> Settings:
    """The settings of an API with small limits, beside the shared one."""
    limits = {"heartbeat": 0.4, "reader_patience": 4.0, "reader_room": 200, "replays": 2}
    return served.model_copy(update={"api_port": pick(1)[0], **limits})


@pytest.fixture(scope="module")
def process(small: Settings) -> Iterator[Forked]:
    with running(small, "bridge.api") as process:
        until(lambda: ready(small), "the API with small limits is ready")
        yield process


@pytest.fixture(scope="module")
def limited(small: Settings, process: Forked) -> Iterator[Api]:
    with httpx.Client(base_url=url(small), trust_env=False, timeout=PATIENCE) as client:
        yield client


@pytest.fixture
async def reader(small: Settings, limited: Api, stream: str) -> AsyncIterator[Socket]:
    """A live reader of the test's own stream."""
    socket = await Socket.open(small, {"stream": stream})
    yield socket
    socket.leave()


def readers(api: Api, call: str) -> int:
    """How many there are, as the metrics say."""
    name = f'lighthouse_readers{{call="{call}"}} '
    return next((int(float(line[len(name) :])) for line in api.get("/metrics").text.splitlines() if name in line), 0)


def versions(messages: list[dict[str, Any]]) -> list[int]:
    return [one["event"]["version"] for one in messages if one["kind"] == "event"]


def only(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without the heartbeats."""
    return [one for one in messages if one["kind"] != "heartbeat"]


async def events(socket: Socket, count: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while len(found) < count:
        found += only([await socket.next()])
    return found


# what a reader is told


async def test_what_is_new_comes_at_once(reader: Socket, api: Api, stream: str) -> None:
    assert reader.headers["lighthouse-position"]
    await reader.until("heartbeat")
    began = time.monotonic()
    append(api, stream, 0, commit("a"), commit("b"))
    found = await events(reader, 2)
    assert time.monotonic() - began < 1.0
    assert [one["kind"] for one in found] == ["event", "event"]
    plain = api.get("/v1/events", params={"stream": stream}).json()["events"]
    assert [one["event"] for one in found] == plain


async def test_each_reader_gets_events_in_the_form_it_wants(
    reader: Socket, small: Settings, api: Api, stream: str
) -> None:
    other = await Socket.open(small, {"stream": stream, "format": "cloudevents"})
    append(api, stream, 0, commit("a"))
    (plain,), (cloud,) = await events(reader, 1), await events(other, 1)
    other.leave()
    assert plain["cursor"] == cloud["cursor"]
    batch = {"Accept": "application/cloudevents-batch+json"}
    assert [cloud["event"]] == api.get("/v1/events", params={"stream": stream}, headers=batch).json()
    assert (cloud["event"]["id"], cloud["event"]["specversion"]) == (plain["event"]["id"], "1.0")


async def test_the_past_first_and_then_what_is_new(small: Settings, limited: Api, stream: str) -> None:
    for version in range(3):
        append(limited, stream, version)
    reader = await Socket.open(small, {"stream": stream, "from": "2020-01-01T00:00:00Z"})
    assert versions(await events(reader, 3)) == [0, 1, 2]
    append(limited, stream, 3)
    found = await events(reader, 1)
    assert versions(found) == [3]
    reader.leave()
    append(limited, stream, 4)
    again = await Socket.open(small, {"stream": stream, "cursor": found[0]["cursor"]})
    assert versions(await events(again, 1)) == [4]
    again.leave()


async def test_a_reader_with_an_end_is_told_and_closed(small: Settings, limited: Api, stream: str) -> None:
    append(limited, stream, 0)
    moment = limited.get(f"/v1/streams/{stream}").json()["last_effective_time"]
    reader = await Socket.open(small, {"stream": stream, "from": "2020-01-01T00:00:00Z", "to": moment})
    found, code = await reader.rest()
    assert [one["kind"] for one in only(found)] == ["end"]
    assert code == 1000


async def test_a_reader_pauses_and_goes_on(reader: Socket, api: Api, stream: str) -> None:
    await reader.say({"do": "pause"})
    assert only(await reader.until("paused"))[-1] == {"kind": "paused"}
    for version in range(250):  # more than a reader may leave unread
        append(api, stream, version)
    assert only(await reader.until("heartbeat")) == []
    await reader.say({"do": "resume"})
    assert only(await reader.until("resumed")) == [{"kind": "resumed"}]
    assert versions(await events(reader, 250)) == list(range(250))


async def test_another_speed(small: Settings, limited: Api, stream: str) -> None:
    append(limited, stream, 0)
    await asyncio.sleep(2.0)  # what is replayed: two seconds between two events
    append(limited, stream, 1)
    opened = time.monotonic()  # 2 s at a tenth are 20 s, less than the longest wait: no gap is leapt over
    reader = await Socket.open(small, {"stream": stream, "from": "2020-01-01T00:00:00Z", "speed": 0.1})
    assert versions(await events(reader, 1)) == [0]
    began = time.monotonic()
    await reader.say({"do": "speed", "speed": 4})
    assert versions(await events(reader, 1)) == [1]
    left = 2.0 - 0.1 * (began - opened)
    assert left / 4 - 0.02 < time.monotonic() - began < 10.0
    reader.leave()


@pytest.mark.parametrize(
    ("query", "path", "code"),
    [
        ("stream=nonsense", "stream", 1008),
        ("cursor=garbage", "cursor", 1008),
        ("speed=fast", "speed", 1008),
        ("follow=true", "follow", 1008),
        ("to=2020-01-01T00:00:00Z", "to", 1008),
        ("at_least=garbage", "Lighthouse-At-Least", 1008),
    ],
)
async def test_a_bad_parameter_is_told(small: Settings, limited: Api, query: str, path: str, code: int) -> None:
    reader = await Socket.open(small, [tuple(query.split("="))])
    found, closed = await reader.rest()
    assert [(one["kind"], one["status"], one["path"]) for one in found] == [("problem", 422, path)]
    assert closed == code


async def test_a_bad_message_is_told_and_nothing_else_happens(reader: Socket, api: Api, stream: str) -> None:
    for text in (
        b"{}",
        "",
        '{"do": "fly"}',
        "{",
        '{"do": "speed"}',
        '{"do": "speed", "speed": -1}',
        '{"do": "pause", "x": 1}',
    ):
        await reader.say(text)
        told = (await reader.until("problem"))[-1]
        assert (told["type"], told["status"]) == ("/problems/invalid", 422)
    append(api, stream, 0)
    assert versions(await events(reader, 1)) == [0]


async def test_a_reader_sees_what_it_has_written(small: Settings, limited: Api, stream: str) -> None:
    token = append(limited, stream, 0).headers["lighthouse-position"]
    query = {"stream": stream, "from": "2020-01-01T00:00:00Z", "at_least": token}
    reader = await Socket.open(small, query)
    assert versions(await events(reader, 1)) == [0]
    reader.leave()


# limits


def test_heartbeats_lead_on(limited: Api, stream: str) -> None:
    append(limited, stream, 0)
    with limited.stream("GET", "/v1/replay", params={"stream": stream, "follow": "true"}) as response:
        blocks = sent(response)
        next(events_of(blocks))
        beat = next(one for one in blocks if one.comment == "heartbeat")
    append(limited, stream, 1)
    params = {"stream": stream, "follow": "true"}
    with limited.stream("GET", "/v1/replay", params=params, headers={"Last-Event-ID": beat.id}) as response:
        assert next(events_of(sent(response))).json["version"] == 1


def test_only_so_many_replays(small: Settings, limited: Api, stream: str) -> None:
    append(limited, stream, 0)
    append(limited, stream, 1)
    params = {"stream": stream, "speed": "0.000001", "gap": "3600"}
    with limited.stream("GET", "/v1/replay", params=params), limited.stream("GET", "/v1/replay", params=params):
        refused = limited.get("/v1/replay", params=params)
        assert "2 replays are under way" in problem(refused, 503, "unavailable")["detail"]
        assert refused.headers["retry-after"]
    until(lambda: readers(limited, "replay") == 0, "those that have left are read for no more")


@pytest.fixture
def much(api: Api, stream: str) -> str:
    """A stream with 20 MB of events."""
    for number in range(20):
        append(api, stream, number * 1000, *[commit(LARGE) for _ in range(1000)])
    return stream


def connected(settings: Settings, path: str) -> socket.socket:
    """A client with the smallest buffers that has asked and does not read."""
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    found.settimeout(PATIENCE)
    found.connect(("127.0.0.1", settings.api_port))
    found.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return found


def memory(process: Forked) -> float:
    """Megabytes that are the process's own."""
    return float(psutil.Process(process.pid).memory_full_info().uss) / 1e6


def test_a_reader_that_takes_nothing_costs_little_and_is_closed(
    small: Settings, limited: Api, process: Forked, much: str
) -> None:
    before = memory(process)
    with connected(small, f"/v1/replay?stream={much}") as client:
        until(lambda: readers(limited, "replay") == 1, "it has begun")
        began, most = time.monotonic(), before
        while readers(limited, "replay"):
            most = max(most, memory(process))
            assert time.monotonic() - began < small.reader_patience + 10
        assert most - before < 20, "megabytes of 20 that were waiting for it"
        assert time.monotonic() - began >= small.reader_patience * 0.8
        until(lambda: not established(client, small), "the kernel has given the connection up")


def established(client: socket.socket, settings: Settings) -> bool:
    """Whether the server still has this client's connection."""
    here, there = ("127.0.0.1", settings.api_port), client.getsockname()
    return any(
        (each.laddr, each.raddr) == (here, there) and each.status == "ESTABLISHED"
        for each in psutil.net_connections("tcp")
    )


async def test_a_burst_larger_than_a_readers_room_reaches_it(reader: Socket, api: Api, stream: str) -> None:
    for number in range(2):
        append(api, stream, number * 1000, *[commit() for _ in range(1000)])
    assert versions(await events(reader, 2000)) == list(range(2000))


async def test_a_reader_that_lags_is_told_and_closed(small: Settings, limited: Api, api: Api, stream: str) -> None:
    reader, over = await Socket.open(small, {"stream": stream}, buffer=64 * 1024), threading.Event()
    await reader.until("heartbeat")

    def write() -> None:
        number = 0
        while not over.is_set():
            append(api, stream, number * 1000, *[commit(LARGE) for _ in range(1000)])
            number += 1

    async def read() -> list[dict[str, Any]]:
        """Slowly, as long as there is something to be slow for."""
        found = []
        while readers(limited, "live"):
            for _ in range(100):
                found.append(await reader.next())
                await asyncio.sleep(0.01)
        over.set()
        return found

    slowly, _ = await asyncio.gather(read(), asyncio.to_thread(write))
    rest, code = await reader.rest()
    assert code == 1013
    assert only(rest)[-1]["kind"] == "slow"
    assert "more comes than it takes" in rest[-1]["detail"]
    told = versions(slowly + rest)
    assert told == list(range(len(told)))


async def test_a_thousand_idle_readers(small: Settings, limited: Api, api: Api, process: Forked, stream: str) -> None:
    machine, before = psutil.Process(process.pid), memory(process)
    sockets = await asyncio.gather(*(Socket.open(small, {"stream": stream}) for _ in range(READERS)))
    try:
        await asyncio.gather(*(one.until("heartbeat") for one in sockets))
        used, began = sum(machine.cpu_times()[:2]), time.monotonic()
        await asyncio.sleep(2.0)  # what is measured: what they cost while nothing happens
        share = (sum(machine.cpu_times()[:2]) - used) / (time.monotonic() - began)
        each = (memory(process) - before) / READERS
        append(api, stream, 0)
        found = await asyncio.gather(*(events(one, 1) for one in sockets))
        assert {one["event"]["version"] for (one,) in found} == {0}
    finally:
        for one in sockets:
            one.leave()
    assert each < 0.1, "megabytes a reader"
    assert share < 0.8, "of a processor, with 2,500 heartbeats a second"
    await asyncio.to_thread(until, lambda: readers(limited, "live") == 0, "they have left")


# the end


def test_readers_are_told_when_the_api_ends(api: Api, served: Settings, stream: str) -> None:
    mine = served.model_copy(update={"api_port": pick(1)[0]})
    append(api, stream, 0)
    with running(mine, "bridge.api") as process, ThreadPoolExecutor(1) as pool:
        until(lambda: ready(mine), "the API is ready")
        live = pool.submit(asyncio.run, to_the_end(mine, stream))
        with (
            httpx.Client(base_url=url(mine), trust_env=False, timeout=PATIENCE) as client,
            client.stream("GET", "/v1/replay", params={"stream": stream, "follow": "true"}) as response,
        ):
            until(lambda: readers(client, "live") == 1, "both are there")
            blocks = sent(response)
            event = next(events_of(blocks))
            process.send_signal(signal.SIGTERM)
            began = time.monotonic()
            rest = list(blocks)
            assert process.wait(PATIENCE) == 0
            assert time.monotonic() - began < 5.0, "open streams have not held it up"
        found, code = live.result(PATIENCE)
    assert [one.event for one in rest] == ["error"]
    assert rest[0].json["status"] == 503
    assert rest[0].id != event.id, "it was live by then"
    assert (only(found)[-1]["kind"], only(found)[-1]["status"], code) == ("problem", 503, 1012)


async def to_the_end(settings: Settings, stream: str) -> tuple[list[dict[str, Any]], int]:
    """What a live reader is told until the server closes."""
    reader = await Socket.open(settings, {"stream": stream})
    return await reader.rest()
