"""The pictures of the documentation: `pytest tests/pages/test_pictures.py --pictures` writes them to docs/pictures."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest
from playwright.async_api import Page, expect

from bridge.settings import Settings
from tests.installed import ROOT
from tests.pages.conftest import ACCOUNT, appended_live
from tests.pages.tickets import UNLUCKY
from tests.servers import environment, running

pytestmark = [pytest.mark.pictures, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(240)]

PICTURES = ROOT / "docs" / "pictures"
LIGHT = {"color_scheme": "light", "viewport": {"width": 1280, "height": 800}}
DARK = {**LIGHT, "color_scheme": "dark"}
NARROW = {**LIGHT, "viewport": {"width": 400, "height": 800}}
HISTORY = "project/lighthouse"


async def imported(served: Settings) -> None:
    """This repository's own history as a project; again, it does nothing."""
    lighthouse = Path(sys.executable).with_name("lighthouse")
    command = [str(lighthouse), "import-git", str(ROOT), "--name", HISTORY.partition("/")[2]]
    process = await asyncio.create_subprocess_exec(*command, env=environment(served))
    assert await process.wait() == 0


async def stream(page: Page, address: str) -> None:
    await page.goto(address)
    await expect(page.locator("#time.ready")).to_be_visible()


async def modified(api: httpx.AsyncClient) -> int:
    """A version of the history in which a file changed, in its middle."""
    answer = await api.get(f"/v1/streams/{HISTORY}/events", params={"from_version": 400, "limit": 200})
    return next(int(one["version"]) for one in answer.json()["events"] if one["type"] == "FileModified")


async def streams(page: Page, api: httpx.AsyncClient) -> None:
    await page.goto("/streams")


async def history(page: Page, api: httpx.AsyncClient) -> None:
    await stream(page, f"/streams/{HISTORY}?version={await modified(api)}")


async def marks(page: Page, api: httpx.AsyncClient) -> None:
    await stream(page, f"/streams/{ACCOUNT}?version=180&a=60&b=140")


async def events(page: Page, api: httpx.AsyncClient) -> None:
    await page.goto("/events")
    await expect(page.locator("#light")).to_have_attribute("data-state", "on")
    await appended_live(api, 12)
    await expect(page.locator("#tail li")).to_have_count(12)
    await page.locator("#tail summary .type").nth(1).click()


async def projections(page: Page, api: httpx.AsyncClient) -> None:
    """With a little going on while the plots are drawn."""
    await page.goto("/projections")
    for _ in range(8):
        await appended_live(api, 10)
        async with page.expect_response("**/ui/course*"):
            pass


async def reactors(page: Page, api: httpx.AsyncClient) -> None:
    """With one that stands still."""
    await api.post("/v1/commands/ticket/mona/Open", json={"title": UNLUCKY})
    await page.goto("/reactors")
    await expect(page.locator(".parked")).to_be_visible(timeout=30_000)


async def system(page: Page, api: httpx.AsyncClient) -> None:
    await page.goto("/system")


Shown = Callable[[Page, httpx.AsyncClient], Awaitable[None]]


@pytest.mark.parametrize(
    ("name", "show", "look"),
    [
        ("streams", streams, LIGHT),
        ("project", history, LIGHT),
        ("project-dark", history, DARK),
        ("marks", marks, LIGHT),
        ("events", events, LIGHT),
        ("projections", projections, DARK),
        ("reactors", reactors, LIGHT),
        ("system", system, LIGHT),
        ("narrow", history, NARROW),
    ],
)
async def test_a_picture(page: Page, api: httpx.AsyncClient, served: Settings, name: str, show: Shown) -> None:
    await imported(served)
    with running(served, "streams", "--role", "reactors"):
        await show(page, api)
        await page.evaluate("document.fonts.ready")
        await page.mouse.move(0, 0)
        await page.screenshot(path=PICTURES / f"{name}.png", animations="disabled")
