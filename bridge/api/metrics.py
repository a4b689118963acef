"""Prometheus metrics of one API process, and of how partitions and processors stand (standing.py)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from fastapi import APIRouter, Request
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector
from starlette.responses import Response

from bridge.api.openapi import documents
from bridge.api.problems import kind_of
from bridge.api.standing import Standing
from bridge.errors import LighthouseError, Unavailable
from bridge.hot import HotRows
from bridge.survey import survey
from bridge.wiring import Platform

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
PATIENCE = 2.0
"""Seconds that a scrape waits for Kafka; without its answer the lag is left out."""


STREAM = "lighthouse.stream"
"""In a request's scope: its answer goes on for as long as its reader likes."""


class Metrics:
    """Counts and times of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.flying = 0
        in_flight = Gauge("lighthouse_http_in_flight", "Requests being answered.", registry=self.registry)
        in_flight.set_function(lambda: self.flying)
        self._seconds = Histogram(
            "lighthouse_http_request_seconds",
            "Time to answer, by route and status.",
            ("method", "route", "status"),
            buckets=SECONDS,
            registry=self.registry,
        )
        self._appends = Counter(
            "lighthouse_appends", "Appends and commands by outcome.", ("outcome",), registry=self.registry
        )
        self.standing = Standing()
        self.registry.register(self.standing)
        self._reading = Gauge(
            "lighthouse_readers", "Readers of many streams, by call.", ("call",), registry=self.registry
        )
        self._observer = lru_cache(maxsize=1024)(self._seconds.labels)
        self._counter = lru_cache(maxsize=64)(self._appends.labels)

    def tell_hot(self, rows: HotRows) -> None:
        """Counts the questions that the hot store answers."""
        self.registry.register(_HotReads(rows))

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Counts and times one answer."""
        self._observer(method, route, str(status)).observe(seconds)

    def written(self, duplicate: bool) -> None:
        """Counts an append that was answered with its versions."""
        self._counter("duplicate" if duplicate else "written").inc()

    @contextmanager
    def reading(self, call: str) -> Iterator[None]:
        """Counts a reader of many streams while it is there."""
        with self._reading.labels(call).track_inprogress():
            yield

    @contextmanager
    def outcome(self) -> Iterator[None]:
        """Counts an append that ends in an error, under the problem's name."""
        try:
            yield
        except LighthouseError as error:
            self._counter(kind_of(error).name).inc()
            raise


class _HotReads(Collector):
    """What this process asked of the hot store."""

    def __init__(self, rows: HotRows) -> None:
        self._rows = rows

    def collect(self) -> Iterator[Metric]:
        """As Prometheus asks for it."""
        reads = CounterMetricFamily("lighthouse_hot_reads", "Questions to the hot store by outcome.", None, ["outcome"])
        reads.add_metric(["hot"], self._rows.answered)
        reads.add_metric(["fell_through"], self._rows.fell_through)
        yield reads


router = APIRouter(tags=["operation"])


@router.get("/metrics", response_class=Response, **documents(str, media_type="text/plain"))
async def metrics(request: Request) -> Response:
    """Metrics in the text format of Prometheus."""
    found: Metrics = request.app.state.metrics
    try:
        async with asyncio.timeout(PATIENCE):
            await _measure(request.app.state.front.platform, found)
    except (TimeoutError, Unavailable):
        found.standing.clear()
    return Response(generate_latest(found.registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)


async def _measure(platform: Platform, found: Metrics) -> None:
    found.standing.show(await survey(platform.spaces, platform.reader), platform.base.settings.session)
