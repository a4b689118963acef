"""The API as a client has it: appends with the library's errors, and reads that are written down to be explained."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import msgspec

from bridge.errors import Conflict, KeyReused, Unavailable, Unknown
from bridge.events import Appended, Event, Position
from bridge.handle import Context
from bridge.log import ids
from bridge.opaque import value_of
from bridge.times import rfc3339
from tests.faults.reference import TRACED

TIMEOUT = 20.0
"""Seconds for an answer: more than the API's own deadline."""

TOKEN = "Lighthouse-Position"
HOT = 'lighthouse_hot_reads_total{outcome="'
_TOKENS = msgspec.msgpack.Decoder(dict[str, dict[int, int]])


@dataclass(frozen=True)
class Read:
    """A read of a stream's head: what was told, in which position, and what it had to have seen.

    `least` is the head that the reader knew of and asked for with a token; `offset` is the next one of the partition.
    """

    stream: str
    head: int
    partition: int
    offset: int
    least: int
    began: float
    ended: float
    hot: bool = False


@dataclass(frozen=True)
class Miss:
    """A read of a stream's head that was not answered."""

    stream: str
    began: float
    ended: float
    hot: bool


Final = tuple[int, Any]
"""Version and state of an answer that nothing can change any more."""


@dataclass
class Remote:
    """A client of the two APIs. Each call may land in either; connections are kept, and broken ones made anew.

    `finals` are the answers that were final, by stream and time in microseconds, and `asked_again` counts the answers
    to such a question that came later; those that differed are in `unstable`.
    """

    url: str
    reads: list[Read] = field(default_factory=list)
    misses: list[Miss] = field(default_factory=list)
    finals: dict[tuple[str, int], Final] = field(default_factory=dict)
    asked_again: int = 0
    unstable: list[str] = field(default_factory=list)
    tokens: dict[str, tuple[str, int]] = field(default_factory=dict)
    _http: httpx.AsyncClient | None = None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Remote]:
        """Has connections meanwhile."""
        limits = httpx.Limits(max_connections=64, max_keepalive_connections=64)
        async with httpx.AsyncClient(base_url=self.url, timeout=TIMEOUT, trust_env=False, limits=limits) as self._http:
            yield self

    async def append(self, stream: str, events: Sequence[Event], expected: int | None, context: Context) -> Appended:
        """See bridge.handle.Handler; a connection that breaks leaves the outcome unknown, a refused one does not."""
        assert context.key is not None
        assert context.metadata is not None
        headers = {
            "Idempotency-Key": context.key,
            "Lighthouse-Actor": context.actor,
            "traceparent": TRACED.format(number=int(context.metadata["attempt"])),
        }
        body = {"expected_version": expected, "events": [{"type": one.type, "data": one.data} for one in events]}
        answer = await self._call("POST", f"/v1/streams/{stream}/events", headers, body)
        if answer.status_code != 201:
            raise _error(stream, answer)
        found = answer.json()
        token = answer.headers[TOKEN]
        self.tokens[stream] = token, max(found["last_version"] + 1, self.tokens.get(stream, ("", 0))[1])
        position = Position("", *_place(token))
        id_ = ids.append_id(stream, context.actor, context.key)
        return Appended(stream, found["first_version"], found["last_version"], position, id_, found["duplicate"])

    async def _call(self, method: str, path: str, headers: Mapping[str, str], body: Any = None) -> httpx.Response:
        assert self._http is not None
        try:
            return await self._http.request(method, path, headers=dict(headers), json=body)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise Unavailable(f"no API there: {error!r}") from error
        except httpx.HTTPError as error:
            raise Unknown(f"the connection broke: {error!r}") from error

    async def look(self, stream: str, mine: bool, hot: bool) -> None:
        """Reads a stream's head, at least as far as this client was told if it is `mine`; notes what it was told.

        From its history, or, if `hot`, from its row of the projection `streams`, which may come from Redis.
        """
        token, least = self.tokens.get(stream, ("", 0)) if mine else ("", 0)
        headers = {"Lighthouse-At-Least": token} if token else {}
        began = time.monotonic()
        path = f"/v1/projections/streams/rows/{stream}" if hot else f"/v1/streams/{stream}"
        answer = await self._read(path, headers)
        ended = time.monotonic()
        if answer is None or TOKEN not in answer.headers:
            self.misses.append(Miss(stream, began, ended, hot))
            return
        told = answer.json()
        head = (told["row"]["head"] if hot else told["head"]) if answer.status_code == 200 else 0
        self.reads.append(Read(stream, head, *_place(answer.headers[TOKEN]), least, began, ended, hot))

    async def recall(self, stream: str, at: int) -> bool:
        """Asks for the state at a time in microseconds, and whether there was an answer.

        Where one was final before the question, every later one must be the same (I7).
        """
        known = self.finals.get((stream, at))
        answer = await self._read(f"/v1/streams/{stream}/state?as_of={rfc3339(at)}", {})
        if answer is not None:
            self.asked_again += known is not None
            self._compare((stream, at), known, answer)
        return answer is not None

    def _compare(self, asked: tuple[str, int], known: Final | None, answer: httpx.Response) -> None:
        """Keeps an answer that is final. Two that were under way at once may be the first one both."""
        told = answer.json()
        found = (told["version"], told["state"]) if answer.status_code == 200 and told["final"] else None
        first = self.finals.setdefault(asked, found) if found is not None else known
        if found != first:
            now = found or f"answered with {answer.status_code}, {told.get('detail', 'not final')}"
            self.unstable.append(f"I7: {asked[0]} as of {rfc3339(asked[1])} was {first}, and now is {now}")

    async def recall_all(self, seconds: float) -> None:
        """Asks again for everything that was final, until each is answered; fails after that many seconds."""
        deadline = time.monotonic() + seconds
        for asked in tuple(self.finals):
            while not await self.recall(*asked):
                assert time.monotonic() < deadline, f"I7: {asked[0]} as of {rfc3339(asked[1])}"
                await asyncio.sleep(0.1)

    @asynccontextmanager
    async def one_api(self) -> AsyncIterator[Callable[[], Awaitable[dict[str, int]]]]:
        """How many questions the hot store answered and how many fell through, as one API counts them.

        It is the same one every time, for the connection is kept. Raises httpx.HTTPError.
        """
        async with httpx.AsyncClient(base_url=self.url, timeout=TIMEOUT, trust_env=False) as http:

            async def hot_reads() -> dict[str, int]:
                lines = (await http.get("/metrics")).text.splitlines()
                found = [line.removeprefix(HOT).split('"} ') for line in lines if line.startswith(HOT)]
                return {outcome: round(float(count)) for outcome, count in found}

            yield hot_reads

    async def _read(self, path: str, headers: Mapping[str, str]) -> httpx.Response | None:
        """The answer, 404 among them; None where there was none in time."""
        try:
            answer = await self._call("GET", path, headers)
        except (Unavailable, Unknown):
            return None
        assert answer.status_code in (200, 404, 503, 504), answer.text
        return answer if answer.status_code in (200, 404) else None


def _place(token: str) -> tuple[int, int]:
    """(partition, next offset) of a token that names one partition."""
    ((_, found),) = value_of(token, _TOKENS).items()
    ((partition, offset),) = found.items()
    return partition, offset


def _error(stream: str, answer: httpx.Response) -> Exception:
    """The library's error that a problem tells of."""
    told = answer.json()
    match told["type"].rpartition("/")[2], answer.status_code:
        case ("conflict", _):
            return Conflict(stream, told["expected_version"], told["actual_version"])
        case ("key-reused", _):
            return KeyReused("key", told["detail"])
        case (_, 503 | 429):
            return Unavailable(told["detail"])
        case (_, 504):
            return Unknown(told["detail"])
        case _:
            raise AssertionError(f"an append was answered with {answer.status_code}: {answer.text}")


@dataclass
class Readers:
    """Clients that only read, until they are told to stop: heads with and without a token, and the past."""

    remote: Remote
    streams: Sequence[str]
    pause: float
    chance: random.Random = field(default_factory=lambda: random.Random(11))
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """One of them."""
        while not self.stop.is_set():
            stream = self.chance.choice(self.streams)
            if self.chance.random() < 0.3:
                await self.remote.recall(stream, _past(self.chance))
            else:
                await self.remote.look(stream, self.chance.random() < 0.5, self.chance.random() < 0.5)
            await asyncio.sleep(self.pause)


def _past(chance: random.Random) -> int:
    """A time some tens of seconds ago, of few that there are, so that many ask for the same one."""
    return (int(time.time()) // 10 - chance.randint(1, 6)) * 10 * 1_000_000


@asynccontextmanager
async def reading(remote: Remote, streams: Sequence[str], readers: int, pause: float) -> AsyncIterator[Readers]:
    """So many readers while the block runs."""
    found = Readers(remote, streams, pause)
    tasks = [asyncio.create_task(found.run()) for _ in range(readers)]
    try:
        yield found
    finally:
        found.stop.set()
        await asyncio.wait_for(asyncio.gather(*tasks), 2 * TIMEOUT)
