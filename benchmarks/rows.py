"""The rows: what each one measures, what it must reach, and what it is held against."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from benchmarks.append import append_alone, append_fresh, append_guarded
from benchmarks.as_of import state_as_of
from benchmarks.failover import failover
from benchmarks.figure import Measured, Target
from benchmarks.join import join
from benchmarks.memory import memory
from benchmarks.over_http import http_append, http_append_batch
from benchmarks.page import page
from benchmarks.partitions import partitions
from benchmarks.peer_append import peer_append
from benchmarks.peer_projection import peer_projection
from benchmarks.peer_recovery import peer_recovery
from benchmarks.peer_rehydrate import peer_rehydrate
from benchmarks.postgres import postgres_process
from benchmarks.process import process, project
from benchmarks.publish import publish
from benchmarks.rebuild import rebuild
from benchmarks.redis import redis_row
from benchmarks.replay import replay_sse
from benchmarks.scale_out import scale_out
from benchmarks.servers import Servers
from benchmarks.up_warm import up_warm
from benchmarks.warm import row_as_of, row_http, visible


@dataclass(frozen=True)
class Row:
    """`baseline` says what the baseline is; a ratio is always value / baseline."""

    what: str
    unit: str
    targets: tuple[Target, ...]
    baseline: str
    measure: Callable[[Servers], Awaitable[Measured]]

    @property
    def target(self) -> str:
        """All targets as a text."""
        return ", ".join(map(str, self.targets))


def at_least(bound: float, number: str = "value") -> Target:
    return Target(number, bound, at_least=True)


def below(bound: float, number: str = "value") -> Target:
    return Target(number, bound)


ROWS = {
    "append_guarded": Row(
        "guarded appends through the library, 1 event, 256 writers",
        "appends/s",
        (at_least(10_000), below(50, "p99_ms")),
        "bare confluent-kafka producer, acks=all, 256 in flight",
        append_guarded,
    ),
    "append_alone": Row(
        "guarded appends through the library, 1 event, 1 writer, p50",
        "ms",
        (below(5),),
        "bare confluent-kafka producer, acks=all, 1 in flight, p50",
        append_alone,
    ),
    "http_append": Row(
        "guarded appends over HTTP, 1 event, 64 connections",
        "appends/s",
        (at_least(2_000), below(60, "p99_ms")),
        "an empty FastAPI route with the same client and requests",
        http_append,
    ),
    "http_append_batch": Row(
        "guarded appends over HTTP, 100 events each, 16 connections",
        "events/s",
        (at_least(15_000),),
        "an empty FastAPI route with the same client and requests",
        http_append_batch,
    ),
    "append_fresh": Row(
        "appends to freshly drawn streams through the library, answered by the log",
        "appends/s",
        (at_least(0.5, "ratio"),),
        "bare confluent-kafka producer that encodes and sends the same records",
        append_fresh,
    ),
    "process": Row(
        "one processor: admission, history and state from the start of a topic of single-event appends",
        "events/s",
        (at_least(40_000),),
        "bare confluent-kafka consumer that decodes the same records with fastavro",
        process,
    ),
    "postgres_process": Row(
        "one processor with its history in PostgreSQL on the same machine, as in the row process",
        "events/s",
        (at_least(12_000),),
        "the same processor with its history in LMDB",
        postgres_process,
    ),
    "project": Row(
        "one processor: admission, history, state and the built-in projections, from the same start",
        "events/s",
        (at_least(20_000),),
        "bare confluent-kafka consumer that decodes the same records with fastavro",
        project,
    ),
    "state_as_of": Row(
        "state of a stream of 10,000 events at a random time, in a history of 1,000,000 events, p99",
        "ms",
        (below(2), below(10, "http_p99_ms")),
        "a scan and fold of the same rows from version 0, p50",
        state_as_of,
    ),
    "replay_sse": Row(
        "replay of 1,000,000 events by server-sent events, as fast as possible",
        "events/s",
        (at_least(25_000), below(100, "first_ms")),
        "a scan of the same partitions that decodes each event and does nothing with it",
        replay_sse,
    ),
    "visible": Row(
        "from the broker's acknowledgement to the row readable in another process, at 1,000 events/s, p50",
        "ms",
        (below(5), below(25, "p99_ms")),
        "the same wait for the history alone, p50",
        visible,
    ),
    "row_http": Row(
        "a projection's row over HTTP, warm, 16 connections",
        "rows/s",
        (at_least(3_000), below(10, "p99_ms")),
        "an empty FastAPI route with the same client and requests",
        row_http,
    ),
    "redis_row": Row(
        "a hot row over HTTP from Redis, 16 connections, p99",
        "ms",
        (below(10), at_least(0.99, "from_redis")),
        "the same rows from the history in LMDB, p99",
        redis_row,
    ),
    "row_as_of": Row(
        "a row at a random time, in a versioned projection of 1,000,000 events, in process, p99",
        "ms",
        (below(1),),
        "rows as they are now, p99",
        row_as_of,
    ),
    "publish": Row(
        "the publisher: admitted events to CloudEvents in Kafka, from the beginning of a history",
        "events/s",
        (at_least(10_000),),
        "bare confluent-kafka producer of the raw records",
        publish,
    ),
    "rebuild": Row(
        "rebuild of one projection over 1,000,000 events: alone, and beside 1,000 appends/s",
        "events/s",
        (at_least(50_000), at_least(20_000, "beside_events_s"), below(60, "append_p99_ms")),
        "the same processor when it first applied them, with every built-in projection",
        rebuild,
    ),
    "page": Row(
        "page of a stream of 10,000 events in Chromium, first useful picture; slider moved until the state is shown",
        "ms",
        (below(1_000), below(100, "p95_ms")),
        "a page of the same frame with nothing in it, first paint",
        page,
    ),
    "failover": Row(
        "kill -9 of one of two processors until an append to each partition has succeeded",
        "s",
        (below(4),),
        "kill -9 of one of two bare consumers of a group with the same settings",
        failover,
    ),
    "scale_out": Row(
        "two processors on 16 partitions, with a projection that computes a difference of two states at each event",
        "events/s",
        (at_least(1.6, "ratio"),),
        "one processor",
        scale_out,
    ),
    "partitions": Row(
        "one processor with 512 partitions of each category: admission, history, state, built-in projections",
        "events/s",
        (at_least(0.5, "ratio"),),
        "the same with 16 partitions",
        partitions,
    ),
    "join": Row(
        "a second processor joins, at 3,000 guarded appends/s on 16 partitions: p99 of appends due meanwhile",
        "s",
        (below(1.5), below(1, "failed"), below(1, "terminate_pause_s"), below(4, "kill_pause_s")),
        "the same appends while nobody joins or leaves, p99",
        join,
    ),
    "up_warm": Row(
        "`scripts/up`, second start, to ready",
        "s",
        (below(15),),
        "the first start in an empty home, jars there already",
        up_warm,
    ),
    "memory": Row(
        "anonymous resident memory with 1,000,000 events in history: processor (highest), API",
        "MB",
        (below(350), below(200, "api_mb")),
        "a Python that has imported the same modules as the processor",
        memory,
    ),
    "peer_projection": Row(
        "the same fold of 300,000 events over 10,000 skewed keys into durable state, ours with its full history",
        "events/s",
        (at_least(1.5, "ratio"),),
        "the quicker of Quix Streams and Faust, which keep no history",
        peer_projection,
    ),
    "peer_recovery": Row(
        "kill -9 halfway, from the next process's start to its first event, slowest of 10; keys with a wrong state",
        "s",
        (below(4), below(1, "wrong")),
        "the quicker of Quix Streams and Faust that has no key wrong, slowest of 2 kills, at 6 s sessions",
        peer_recovery,
    ),
    "peer_append": Row(
        "guarded appends through the library, 1 event, at its best concurrency",
        "appends/s",
        (at_least(8, "ratio"),),
        "saves of eventsourcing with PostgreSQL, 1 event, at its best concurrency",
        peer_append,
    ),
    "peer_rehydrate": Row(
        "the state of an aggregate of 1,000 events, without a cache in memory, p50",
        "ms",
        (below(0.05, "ratio"),),
        "repository.get of eventsourcing with PostgreSQL, p50",
        peer_rehydrate,
    ),
}
