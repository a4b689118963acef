"""The live tail: what is appended shows within a second, filtered, paused and opened as one likes."""

from __future__ import annotations

import time
from typing import Any
from uuid import uuid4

import httpx
import pytest
from playwright.async_api import Page, WebSocketRoute, expect

from tests.pages.conftest import Seen

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(240)]

IN_TIME = 1000
"""Milliseconds from the append's answer until the event must be seen."""


async def opened(page: Page, address: str = "/events") -> None:
    """The page, connected."""
    await page.goto(address)
    await expect(page.locator("#light")).to_have_attribute("data-state", "on")


async def appended(api: httpx.AsyncClient, stream: str, **headers: str) -> dict[str, Any]:
    """Opens an account, and then deposits into it."""
    body = {"expected_version": 0, "events": [{"type": "AccountOpened", "data": {"owner": "Eve"}}]}
    answer = await api.post(f"/v1/streams/{stream}/events", json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def fresh() -> str:
    return f"account/live-{uuid4()}"


async def test_an_event_appears_within_a_second(page: Page, api: httpx.AsyncClient) -> None:
    await opened(page)
    stream = fresh()
    await appended(api, stream)
    await expect(page.locator("#tail")).to_contain_text(stream, timeout=IN_TIME)


async def test_an_event_opens_with_its_headers_and_data(page: Page, api: httpx.AsyncClient) -> None:
    await opened(page)
    stream = fresh()
    await appended(api, stream, **{"Lighthouse-Actor": "eve", "Lighthouse-Correlation-Id": "c-7"})
    row = page.locator("#tail li", has_text=stream)
    await row.locator("summary .type").click()
    await expect(row.locator("pre")).to_contain_text('"owner": "Eve"')
    for text in ("eve", "c-7", "partition"):
        await expect(row.locator("dl")).to_contain_text(text)
    async with page.expect_navigation(url=f"/streams/{stream}?version=0", wait_until="commit"):
        await row.get_by_role("link").click()
    await expect(page.locator("#time.ready")).to_be_visible()


async def test_filters_let_through_what_they_name(page: Page, api: httpx.AsyncClient) -> None:
    stream, other = fresh(), fresh()
    await opened(page)
    await page.get_by_role("textbox", name="Actor").fill("eve")
    await expect(page).to_have_url("/events?actor=eve&speed=0")
    await expect(page.locator("#light")).to_have_attribute("data-state", "on")
    await appended(api, other, **{"Lighthouse-Actor": "bob"})
    await appended(api, stream, **{"Lighthouse-Actor": "eve"})
    await expect(page.locator("#tail")).to_contain_text(stream)
    await expect(page.locator("#tail")).not_to_contain_text(other)


async def test_a_pause_holds_events_back_and_loses_none(page: Page, api: httpx.AsyncClient) -> None:
    await opened(page)
    await page.get_by_role("button", name="Pause").click()
    await expect(page.locator("#light")).to_have_attribute("data-state", "held")
    streams = [fresh(), fresh()]
    for stream in streams:
        await appended(api, stream)
    await expect(page.locator("#tail li")).to_have_count(0)
    await page.get_by_role("button", name="Resume").click()
    for stream in streams:
        await expect(page.locator("#tail")).to_contain_text(stream)


async def test_a_lost_connection_is_made_again_and_goes_on_at_its_cursor(page: Page, api: httpx.AsyncClient) -> None:
    """The page is cut off from outside, events come meanwhile, and each is there once in the end."""
    served: list[tuple[WebSocketRoute, WebSocketRoute]] = []
    await page.route_web_socket("**/v1/live*", lambda route: served.append((route, route.connect_to_server())))
    await opened(page)
    first, second = fresh(), fresh()
    await appended(api, first)
    await expect(page.locator("#tail")).to_contain_text(first)
    await served[-1][0].close(code=1012)
    await appended(api, second)
    await expect(page.locator("#tail")).to_contain_text(second)
    assert len(served) == 2
    assert "cursor=" in served[-1][0].url
    await expect(page.locator("#tail li", has_text=first)).to_have_count(1)


async def test_a_replay_begins_at_a_time(page: Page, api: httpx.AsyncClient) -> None:
    stream = fresh()
    before = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() - 1))
    await appended(api, stream)
    await opened(page, f"/events?stream={stream}")
    await expect(page.locator("#none")).to_be_visible()
    await page.get_by_label("From (UTC)").fill(before)
    await expect(page.locator("#tail")).to_contain_text(stream)


async def test_what_the_feed_refuses_is_told(page: Page, seen: Seen) -> None:
    await page.goto("/events?stream=no-stream")
    await expect(page.locator("#trouble")).to_contain_text("no-stream")
