"""The reactors' page: how far they are; one that stands still, and one that lost its place, are led on."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import httpx
import pytest
from confluent_kafka.admin import AdminClient
from playwright.async_api import Page, expect

from bridge.log.groups import group_of
from bridge.settings import Settings
from tests.pages.conftest import Seen
from tests.pages.tickets import UNLUCKY
from tests.servers import PATIENCE, running

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(240)]

NAME = "letters"
SLOWLY = 30_000
"""Milliseconds in which a reactor joins its group and comes to an event."""


async def opened(page: Page, actor: str = "ann") -> None:
    await page.goto("/reactors")
    page.on("dialog", lambda dialog: dialog.accept())
    await page.get_by_label("Acting as").fill(actor)


async def decided(api: httpx.AsyncClient) -> list[tuple[str, str]]:
    """What was recorded of the reactor, and by whom."""
    events = (await api.get(f"/v1/streams/system/reactor~{NAME}/events")).json()["events"]
    return [(event["type"], event["actor"]) for event in events]


async def test_each_reactor_stands_with_its_categories(page: Page) -> None:
    await opened(page)
    await expect(page.locator("#reactor-publisher")).to_contain_text("reads every category")
    await expect(page.locator(f"#reactor-{NAME} tbody th")).to_have_text(["ticket"])


async def test_nobody_decides_without_a_name(page: Page, api: httpx.AsyncClient) -> None:
    answer = await api.post(f"/ui/reactors/{NAME}/retry", headers={"HX-Request": "true"})
    assert "Who decides?" in answer.text


async def test_a_reactor_that_fails_is_led_on_and_one_without_its_place_is_told_where_to_go_on(
    page: Page, api: httpx.AsyncClient, served: Settings
) -> None:
    stream = f"ticket/{uuid4()}"
    answer = await api.post(f"/v1/commands/{stream}/Open", json={"title": UNLUCKY})
    assert answer.status_code == 201, answer.text
    await opened(page)
    standing = page.locator(f"#reactor-{NAME} .parked")
    with running(served, "streams", "--role", "reactors"):
        await expect(standing).to_contain_text("no letter for the unlucky", timeout=SLOWLY)
        await expect(standing.get_by_role("link")).to_have_attribute("href", f"/streams/{stream}?version=0")
        await standing.locator("summary").click()
        await expect(standing.locator("pre")).to_contain_text("Traceback")
        await standing.get_by_role("button", name="Skip this event").click()
        await expect(standing).to_have_count(0)
        await expect(page.locator(f"#reactor-{NAME} tbody")).to_contain_text("0 records", timeout=SLOWLY)
    assert ("ReactorSkipped", "ann") in await decided(api)
    await forget(served)
    with running(served, "streams", "--role", "reactors"):
        await expect(standing.first).to_contain_text("lost", timeout=SLOWLY)
        lost = page.locator(f"#{await standing.first.get_attribute('id')}")
        await lost.get_by_role("button", name="Go on at the end").click()
        await expect(lost).to_have_count(0)
    by_ann = [what for what, actor in await decided(api) if actor == "ann"]  # the reactor itself begins afterwards
    assert by_ann[-1] == "ReactorPlaced"


async def forget(settings: Settings) -> None:
    """Deletes the reactor's group, and with it where it was."""
    group = group_of(settings.group, NAME)
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap})
    await asyncio.to_thread(admin.delete_consumer_groups([group])[group].result, PATIENCE)


async def test_another_site_cannot_decide(api: httpx.AsyncClient, seen: Seen) -> None:
    form = {"actor": "mallory"}
    answer = await api.post(f"/ui/reactors/{NAME}/retry", data=form, headers={"Accept": "text/html"})
    assert answer.status_code == 404
    answer = await api.post(f"/ui/reactors/{NAME}/burn", data=form, headers={"HX-Request": "true"})
    assert answer.status_code == 404
    assert "mallory" not in str(await decided(api))
