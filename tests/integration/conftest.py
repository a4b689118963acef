"""One Kafka, registry, processor and API for all tests that only read and write through the API."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from uuid import uuid4

import httpx
import pytest

from bridge.settings import Settings
from tests.servers import PATIENCE, prepare, ready, running, servers, until, url


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """The settings of an API that is ready; a processor, Kafka and a registry stand behind it."""
    with servers(tmp_path_factory.mktemp("served")) as settings:
        asyncio.run(prepare(settings))
        with running(settings, "streams", "--role", "processor"), running(settings, "bridge.api"):
            until(lambda: ready(settings), f"the API is ready; its log lies in {settings.root}")
            yield settings


@pytest.fixture(scope="session")
def api(served: Settings) -> Iterator[httpx.Client]:
    """A client of the API."""
    with httpx.Client(base_url=url(served), trust_env=False, timeout=PATIENCE) as client:
        yield client


@pytest.fixture
def stream() -> str:
    """A stream that nobody else has."""
    return f"project/t-{uuid4()}/a"
