"""The projections' page: how they stand and did, and a projection that stands still is led on."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest
from playwright.async_api import Page, expect

from bridge.settings import Settings
from tests.forks import completed
from tests.pages.conftest import TICKET, Seen
from tests.servers import environment

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(240)]


async def opened(page: Page, actor: str = "ann") -> None:
    await page.goto("/projections")
    page.on("dialog", lambda dialog: dialog.accept())
    await page.get_by_label("Acting as").fill(actor)


async def doctor(settings: Settings) -> list[str]:
    """The problems that `lighthouse doctor` finds, with the applications that the servers have."""
    done = await asyncio.to_thread(completed, "bridge.cli", "doctor", "--json", environment=environment(settings))
    return [f"{one['subject']}: {one['problem']}" for one in json.loads(done.stdout) if not one["ok"]]


async def test_each_projection_stands_with_its_builds_and_plots(page: Page, api: httpx.AsyncClient) -> None:
    await opened(page)
    names = [one["name"] for one in (await api.get("/v1/projections")).json()["projections"]]
    assert "streams" in names
    for name in names:
        card = page.locator(f"#projection-{name}")
        await expect(card.locator("tbody th")).to_contain_text("1.0")
        await expect(card.locator("[data-plot=lag] canvas")).to_be_visible()
        await expect(card.locator("[data-plot=rate] canvas")).to_be_visible()


async def test_a_rebuild_is_begun_and_answers(page: Page, api: httpx.AsyncClient) -> None:
    await opened(page)
    card = page.locator("#projection-activity")
    await card.get_by_role("button", name="Rebuild").click()
    await expect(card.locator("#build-activity-1-1")).to_contain_text("answers")
    events = (await api.get("/v1/streams/system/activity/events")).json()["events"]
    assert ("BuildBegun", "ann") in [(event["type"], event["actor"]) for event in events]
    await card.locator("#build-activity-1-0").get_by_role("button", name="Drop").click()
    await expect(card.locator("#build-activity-1-0")).to_have_count(0)


async def test_nobody_decides_without_a_name(page: Page) -> None:
    await opened(page, "")
    await page.locator("#projection-streams").get_by_role("button", name="Rebuild").click()
    await expect(page.locator("#said")).to_contain_text("Who decides?")


async def test_a_projection_that_stands_still_says_why_and_goes_on_without_the_event(
    page: Page, api: httpx.AsyncClient, served: Settings
) -> None:
    answer = await api.post(f"/v1/commands/{TICKET}/LogTime", json={"minutes": 13})
    assert answer.status_code == 201, answer.text
    await opened(page)
    parked = page.locator("#projection-minutes .parked")
    await expect(parked).to_contain_text("13 minutes cannot be")
    await expect(parked.get_by_role("link")).to_have_attribute("href", f"/streams/{TICKET}?version=2")
    await parked.locator("summary").click()
    await expect(parked.locator("pre")).to_contain_text("Traceback")
    async with page.expect_response(lambda answer: answer.url.endswith("/projections")):
        pass
    await expect(parked.locator("pre")).to_be_visible()
    assert "13 minutes cannot be" in " ".join(await doctor(served))
    await parked.get_by_role("button", name="Retry").click()
    await expect(parked).to_be_visible()
    await parked.get_by_role("button", name="Skip this event").click()
    await expect(parked).to_have_count(0)
    await expect(page.locator("#projection-minutes tbody")).to_contain_text("live")
    events = (await api.get("/v1/streams/system/minutes/events")).json()["events"]
    assert [(event["type"], event["actor"]) for event in events][-2:] == [
        ("RetryAsked", "ann"),
        ("EventSkipped", "ann"),
    ]


async def test_another_site_cannot_decide(api: httpx.AsyncClient, seen: Seen) -> None:
    form = {"actor": "mallory"}
    answer = await api.post("/ui/projections/streams/rebuild", data=form, headers={"Accept": "text/html"})
    assert answer.status_code == 404
    answer = await api.post("/ui/projections/streams/burn", data=form, headers={"HX-Request": "true"})
    assert answer.status_code == 404
