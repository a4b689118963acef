"""One platform with some streams in it, and one headless Chromium, for all tests of the pages.

Each test gets a page in a browser context of its own. When it ends, the context must have loaded nothing from elsewhere
and its console must hold no error: that is asserted for every test, whatever it was about.
"""

from __future__ import annotations

import base64
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from bridge.settings import Settings
from tests.forks import completed
from tests.installed import install
from tests.servers import PATIENCE, SITE, environment, ready, running, servers, until, url

CHROMIUM = shutil.which("chromium")
ACCOUNT = "account/ada"
PROJECT = "project/apollo"
TICKET = "ticket/leak"
DEPOSITS = 299
PLAYWRIGHT_PATIENCE = 10_000
"""Milliseconds that a page may take for what a test waits for."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--pictures` makes the pictures of the documentation anew; else that is no test."""
    parser.addoption("--pictures", action="store_true", help="write docs/pictures")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves the pictures out unless they are asked for; skips what needs a browser where there is none."""
    if not config.getoption("--pictures", default=False):
        items[:] = [item for item in items if item.get_closest_marker("pictures") is None]
    if CHROMIUM is None:
        reason = "there is no chromium on the PATH: scripts/debian installs it where it can"
        for item in items:
            if "tests/pages/" in item.nodeid:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """The settings of an API that is ready and has streams; a processor, Kafka and a registry stand behind it."""
    home = tmp_path_factory.mktemp("pages")
    install(home / SITE, "tickets", "tests.pages.tickets:application")
    with servers(home) as settings:
        prepared = completed("tests.prepare", environment=environment(settings))
        assert prepared.returncode == 0, prepared.stderr
        with running(settings, "streams", "--role", "processor"), running(settings, "bridge.api"):
            until(lambda: ready(settings), f"the API is ready; its log lies in {settings.root}")
            with httpx.Client(base_url=url(settings), trust_env=False, timeout=PATIENCE) as client:
                fill(client)
            yield settings


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def api(served: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the API."""
    async with httpx.AsyncClient(base_url=url(served), trust_env=False, timeout=PATIENCE) as client:
        yield client


def fill(api: httpx.Client) -> None:
    """The streams that the tests look at: an account with 300 events, a project with a few files, a ticket."""
    deposits = [{"type": "MoneyDeposited", "data": {"amount": 100 + number}} for number in range(DEPOSITS)]
    appended(api, ACCOUNT, 0, {"type": "AccountOpened", "data": {"owner": "Ada"}})
    for start in range(0, DEPOSITS, 23):
        appended(api, ACCOUNT, start + 1, *deposits[start : start + 23])
    ticket(api, "Open", title="Leak in tank 2")
    ticket(api, "LogTime", minutes=90)
    command(api, "CreateFile", path="README.md", content=b"# Apollo\n\none\ntwo\nthree\n")
    command(api, "CreateFile", path="src/engine/burn.py", content=b"def burn() -> None:\n    pass\n")
    command(api, "ModifyFile", path="README.md", content=b"# Apollo\n\none\n2\nthree\nfour\n")
    command(api, "MoveFile", source="src/engine/burn.py", path="src/engine/ignite.py")
    command(api, "DeleteFile", path="README.md")


def appended(api: httpx.Client, stream: str, expected: int, *events: Any) -> None:
    body = {"expected_version": expected, "events": list(events)}
    headers = {"Lighthouse-Actor": "ada@bank", "Lighthouse-Correlation-Id": f"order-{expected}"}
    answer = api.post(f"/v1/streams/{stream}/events", json=body, headers=headers)
    assert answer.status_code == 201, answer.text


async def appended_live(api: httpx.AsyncClient, count: int) -> None:
    """Opens some accounts."""
    for _ in range(count):
        stream = f"account/{uuid4().hex[:8]}"
        event = {"type": "AccountOpened", "data": {"owner": "Eve"}}
        headers = {"Lighthouse-Actor": "teller-7", "Lighthouse-Correlation-Id": f"order-{stream[-4:]}"}
        body = {"expected_version": 0, "events": [event]}
        assert (await api.post(f"/v1/streams/{stream}/events", json=body, headers=headers)).status_code == 201


def ticket(api: httpx.Client, name: str, stream: str = TICKET, **body: Any) -> None:
    answer = api.post(f"/v1/commands/{stream}/{name}", json=body)
    assert answer.status_code == 201, answer.text


def command(api: httpx.Client, name: str, **body: Any) -> None:
    if "content" in body:
        body |= {"content": base64.b64encode(body["content"]).decode(), "hash": "", "size": 0, "mode": "100644"}
    answer = api.post(f"/v1/commands/{PROJECT}/{name}", json=body)
    assert answer.status_code == 201, answer.text


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Headless Chromium. Its sandbox needs privileges that containers rarely give; it loads our own pages only."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        await browser.close()


@dataclass
class Seen:
    """What a browser context did besides what it was told."""

    base: str
    allowed: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def watch(self, context: BrowserContext) -> None:
        """Notes errors of the console and of scripts, and requests that leave the API."""
        context.on("console", lambda said: self._note(said.type in ("error", "warning"), f"console: {said.text}"))
        context.on("weberror", lambda error: self._note(True, f"error: {error.error}"))
        context.on("request", lambda asked: self._note(not self._is_ours(asked.url), f"request: {asked.url}"))

    def _is_ours(self, asked: str) -> bool:
        return asked.startswith((self.base, self.base.replace("http", "ws", 1), "data:", "blob:"))

    def _note(self, wrong: bool, what: str) -> None:
        if wrong and not any(each in what for each in self.allowed):
            self.faults.append(what)


@pytest.fixture
def seen(served: Settings) -> Seen:
    """What the test's pages did; a test that provokes an error adds its text to `allowed`."""
    return Seen(url(served))


@pytest.fixture
def look() -> dict[str, Any]:
    """Options of the test's browser context; tests parametrize it."""
    return {}


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser, seen: Seen, look: dict[str, Any]) -> AsyncIterator[Page]:
    """A page of the API, in a context that is watched."""
    options = {"viewport": {"width": 1280, "height": 900}, "base_url": seen.base, **look}
    context = await browser.new_context(**options)
    context.set_default_timeout(PLAYWRIGHT_PATIENCE)
    seen.watch(context)
    yield await context.new_page()
    await context.close()
    assert seen.faults == []
