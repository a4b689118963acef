"""What holds for every page: nothing from elsewhere, no errors, no barrier, no sideways scrolling, keys suffice."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from playwright.async_api import Page, expect

from bridge.ui.assets import VENDOR
from tests.pages.conftest import ACCOUNT, PROJECT, Seen

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(240)]

ADDRESSES = {
    "streams": "/streams",
    "stream": f"/streams/{ACCOUNT}?version=57&a=3&b=90",
    "project": f"/streams/{PROJECT}?version=2",
    "events": "/events",
    "projections": "/projections",
    "reactors": "/reactors",
    "system": "/system",
    "fault": "/streams/project/nobody",
}
AXE = (VENDOR / "axe.js").read_text(encoding="utf-8") if (VENDOR / "axe.js").is_file() else ""
GRAVE = ("serious", "critical")


async def visited(page: Page, seen: Seen, name: str) -> None:
    """A page with everything that its scripts do at the start."""
    seen.allowed += ["404 (Not Found)"] if name == "fault" else []
    await page.goto(ADDRESSES[name])
    if name in ("stream", "project"):
        await expect(page.locator("#time.ready")).to_be_visible()
    if name == "projections":
        await expect(page.locator("[data-plot] canvas").first).to_be_visible()


@pytest.mark.parametrize("name", ADDRESSES)
async def test_axe_finds_nothing_grave_in_light_and_dark(page: Page, seen: Seen, name: str) -> None:
    """In dark only the contrasts are looked at: nothing else differs."""
    assert AXE, "axe-core is missing: run `python -m bridge.ui.assets`"
    await visited(page, seen, name)
    await page.evaluate(AXE)
    assert await grave(page, {}) == []
    await page.emulate_media(color_scheme="dark")
    assert await grave(page, {"runOnly": ["color-contrast"]}) == []


async def grave(page: Page, options: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """The rules that are broken gravely, and where."""
    found = await page.evaluate("options => axe.run(options)", {"resultTypes": ["violations"], **options})
    assert found["passes"]
    broken = [each for each in found["violations"] if each["impact"] in GRAVE]
    return [(each["id"], [node["html"] for node in each["nodes"]]) for each in broken]


@pytest.mark.parametrize("name", ADDRESSES)
@pytest.mark.parametrize("look", [{"viewport": {"width": 400, "height": 800}}], ids=["narrow"])
async def test_a_narrow_page_does_not_scroll_sideways(page: Page, seen: Seen, name: str) -> None:
    await visited(page, seen, name)
    assert await page.evaluate("document.documentElement.scrollWidth") <= 400


@pytest.mark.parametrize("name", ADDRESSES)
async def test_a_page_forbids_what_comes_from_elsewhere(api: httpx.AsyncClient, name: str) -> None:
    answer = await api.get(ADDRESSES[name], headers={"Accept": "text/html"})
    assert answer.headers["content-security-policy"].startswith("default-src 'self';")
    assert "unsafe" not in answer.headers["content-security-policy"]


async def test_the_address_of_the_api_leads_to_the_streams(page: Page) -> None:
    await page.goto("/")
    await expect(page).to_have_url("/streams")
    await expect(page.get_by_role("link", name=ACCOUNT)).to_be_visible()


async def test_streams_are_found_while_one_types(page: Page) -> None:
    await page.goto("/streams")
    await page.get_by_role("searchbox").press_sequentially("apo")
    await expect(page.locator("#rows tbody tr")).to_have_count(1)
    await expect(page.locator("#rows tbody th")).to_have_text(PROJECT)
    await expect(page).to_have_url("/streams?q=apo")
    await page.get_by_role("searchbox").fill("no-such-stream")
    await expect(page.locator("#rows")).to_contain_text("No stream begins with no-such-stream")


async def test_the_stream_that_grew_last_comes_first(page: Page, api: httpx.AsyncClient) -> None:
    for name in ("account/older", "account/newer"):
        body = {"expected_version": 0, "events": [{"type": "AccountOpened", "data": {"owner": "Zoe"}}]}
        assert (await api.post(f"/v1/streams/{name}/events", json=body)).status_code == 201
    await page.goto("/streams")
    names = await page.locator("#rows tbody th").all_inner_texts()
    assert names.index("account/newer") < names.index("account/older") < names.index(PROJECT)


async def test_keys_lead_from_the_top_to_a_state(page: Page) -> None:
    await page.goto("/system")
    await page.keyboard.press("Tab")
    await expect(page.get_by_text("Skip to the content")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator("main")).to_be_focused()
    await page.goto("/streams?q=apollo")
    await page.get_by_role("searchbox").focus()
    for _ in range(10):
        await page.keyboard.press("Tab")
        if await page.locator("#rows a:focus").count():
            break
    await page.keyboard.press("Enter")
    await expect(page.locator("#time.ready")).to_be_visible()
    await page.keyboard.press("ArrowLeft")
    await expect(page.get_by_role("slider")).to_have_attribute("aria-valuenow", "3")


async def test_the_chosen_colours_stay(page: Page) -> None:
    await page.goto("/streams")
    await page.get_by_role("button", name="dark", exact=True).click()
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    await page.goto("/system")
    assert await page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(18, 19, 22)"


async def test_the_system_page_renews_itself(page: Page) -> None:
    await page.goto("/system")
    await expect(page.locator("#system .tag.good").first).to_have_text("ready")
    async with page.expect_response(lambda answer: answer.request.headers.get("hx-request") == "true") as renewed:
        pass
    assert (await renewed.value).ok
    await expect(page.locator("#system .figures")).to_contain_text("partitions ready")


@pytest.mark.parametrize("look", [{"java_script_enabled": False}], ids=["without-scripts"])
async def test_a_state_is_there_without_any_script(page: Page) -> None:
    await page.goto(f"/streams/{ACCOUNT}?version=57")
    await expect(page.locator("#step h2")).to_contain_text("57")
    await page.get_by_role("link", name="Version before").click()
    await expect(page.locator("#step h2")).to_contain_text("56")


async def test_what_is_not_there_is_a_page_for_people_and_a_problem_for_programs(page: Page, seen: Seen) -> None:
    seen.allowed.append("404 (Not Found)")
    await page.goto("/streams/project/nobody")
    await expect(page.locator("main")).to_contain_text("there is no stream project/nobody")
    answer = await page.request.get("/v1/streams/project/nobody", headers={"Accept": "text/html"})
    assert answer.headers["content-type"] == "application/problem+json"
    answer = await page.request.get("/no/such/page")
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        (f"/streams/{ACCOUNT}?version=x", 422, "version"),
        (f"/streams/{ACCOUNT}?version=9999", 404, "no version 9999"),
        (f"/streams/{ACCOUNT}?at=yesterday", 422, "is not a date or time"),
        ("/streams/nothing/here", 404, "no category"),
        (f"/ui/branch/{ACCOUNT}?version=3&before=2&pointer=/no/such", 404, "has nothing at"),
        (f"/ui/step/{ACCOUNT}", 422, "which version"),
    ],
)
async def test_a_wrong_address_is_told(api: httpx.AsyncClient, path: str, status: int, text: str) -> None:
    answer = await api.get(path, headers={"Accept": "text/html"})
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/html")
    assert text in answer.text
    part = await api.get(path, headers={"HX-Request": "true"})
    assert part.status_code == status
    assert "<html" not in part.text


async def test_the_reference_of_the_api_comes_from_this_machine(page: Page) -> None:
    await page.goto("/docs")
    await expect(page.get_by_role("heading", name="Lighthouse Bridge")).to_be_visible()
    await page.get_by_text("/v1/projections/{name}/rows", exact=True).click()
    await expect(page.get_by_role("button", name="Try it out")).to_be_visible()
