"""The page of a stream: the slider shows the states that the API answers, and what changed in them."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx
import pytest
from playwright.async_api import Locator, Page, expect

from tests.pages.conftest import ACCOUNT, DEPOSITS, PROJECT, TICKET, Seen
from tests.pages.tickets import UGLY

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(240)]

LAST = DEPOSITS
DEPOSIT: dict[str, Any] = {"type": "MoneyDeposited", "data": {"amount": 1}}


async def opened(page: Page, address: str = f"/streams/{ACCOUNT}") -> Locator:
    """The page with its time line drawn; answers the slider."""
    await page.goto(address)
    await expect(page.locator("#time.ready")).to_be_visible()
    return page.get_by_role("slider")


async def shown(page: Page, version: int) -> dict[str, str]:
    """The leaves of the state that the page shows, once it shows this version."""
    step = page.locator(f'#step article[data-version="{version}"]')
    await expect(step).to_be_visible()
    leaves = step.locator(".state .leaf")
    pairs = [
        (await leaf.locator(".key").inner_text(), await leaf.locator("span.value").inner_text())
        for leaf in await leaves.all()
    ]
    return dict(pairs)


async def state(api: httpx.AsyncClient, stream: str, version: int) -> dict[str, Any]:
    answer: dict[str, Any] = (await api.get(f"/v1/streams/{stream}/state", params={"version": version})).json()["state"]
    return answer


async def event_at(api: httpx.AsyncClient, version: int) -> dict[str, Any]:
    answer = await api.get(f"/v1/streams/{ACCOUNT}/events", params={"from_version": version, "limit": 1})
    event: dict[str, Any] = answer.json()["events"][0]
    return event


async def agrees(page: Page, api: httpx.AsyncClient, version: int) -> None:
    """The page shows what the API answers for the version."""
    expected = await state(api, ACCOUNT, version)
    assert await shown(page, version) == {
        "status": f'"{expected["status"]}"',
        "owner": f'"{expected["owner"]}"',
        "balance": str(expected["balance"]),
    }


async def test_the_arrow_keys_move_through_the_versions(page: Page, api: httpx.AsyncClient) -> None:
    slider = await opened(page)
    await agrees(page, api, LAST)
    await slider.focus()
    for key, version in (("Home", 0), ("ArrowRight", 1), ("Shift+ArrowRight", 11), ("ArrowLeft", 10), ("End", LAST)):
        await page.keyboard.press(key)
        await expect(slider).to_have_attribute("aria-valuenow", str(version))
        await agrees(page, api, version)


async def test_the_slider_is_dragged(page: Page, api: httpx.AsyncClient) -> None:
    slider = await opened(page)
    box = await slider.bounding_box()
    assert box is not None
    await page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + 40)
    await page.mouse.down()
    for share in (0.8, 0.6, 0.35):
        await page.mouse.move(box["x"] + box["width"] * share, box["y"] + 40, steps=8)
    version = int(await slider.get_attribute("aria-valuenow") or "")
    assert 0 < version < LAST / 2
    await agrees(page, api, version)
    await page.mouse.up()
    await expect(page).to_have_url(f"/streams/{ACCOUNT}?version={version}")


async def test_what_changed_at_a_step_is_marked(page: Page) -> None:
    await opened(page, f"/streams/{ACCOUNT}?version=57")
    changed = page.locator("#step .state li.changed")
    await expect(changed).to_have_count(1)
    await expect(changed.locator(".key")).to_have_text("balance")
    before = await changed.locator("del").inner_text()
    await page.keyboard.press("ArrowLeft")
    assert (await shown(page, 56))["balance"] == before


async def test_the_event_stands_beside_its_state(page: Page, api: httpx.AsyncClient) -> None:
    await opened(page, f"/streams/{ACCOUNT}?version=57")
    event = (await api.get(f"/v1/streams/{ACCOUNT}/events", params={"from_version": 57, "limit": 1})).json()["events"][
        0
    ]
    beside = page.locator("#step .event")
    await expect(beside.locator(".leaf .value")).to_have_text(str(event["data"]["amount"]))
    for text in (event["id"], event["actor"], event["correlation_id"]):
        await expect(beside.locator(".facts")).to_contain_text(text)
    await expect(page.locator("#step h2 .type")).to_have_text(event["type"])


async def test_an_address_shows_what_it_showed_before(page: Page, api: httpx.AsyncClient) -> None:
    slider = await opened(page)
    await slider.focus()
    await page.keyboard.press("Home")
    await page.get_by_role("button", name="Event time").click()
    await page.keyboard.press("PageUp")
    await expect(slider).to_have_attribute("aria-valuenow", "15")
    await page.keyboard.press("[")
    await expect(page).to_have_url(f"/streams/{ACCOUNT}?axis=event&a=15&version=15")
    await opened(page, page.url)
    await agrees(page, api, 15)
    await expect(page.get_by_role("button", name="Event time")).to_have_attribute("aria-pressed", "true")
    await expect(page.get_by_role("button", name="A 15")).to_be_visible()


async def test_on_an_axis_of_time_a_step_leads_to_the_next_moment(page: Page, api: httpx.AsyncClient) -> None:
    """An append of 23 events is one moment."""
    slider = await opened(page, f"/streams/{ACCOUNT}?version=0&axis=effective")
    await slider.focus()
    events = (await api.get(f"/v1/streams/{ACCOUNT}/events", params={"limit": 60})).json()["events"]
    times = [event["effective_time"] for event in events]
    first = next(version for version, time in enumerate(times) if time > times[0])
    second = next(version for version, time in enumerate(times) if time > times[first])
    for version in (first, second):
        await page.keyboard.press("ArrowRight")
        await expect(slider).to_have_attribute("aria-valuenow", str(version))
    await agrees(page, api, second)


async def test_a_version_or_a_time_is_typed(page: Page, api: httpx.AsyncClient) -> None:
    await opened(page)
    field = page.get_by_label("Go to")
    await field.fill("120")
    await field.press("Enter")
    await agrees(page, api, 120)
    event = (await api.get(f"/v1/streams/{ACCOUNT}/events", params={"from_version": 40, "limit": 1})).json()["events"][
        0
    ]
    as_of = (await api.get(f"/v1/streams/{ACCOUNT}/state", params={"as_of": event["effective_time"]})).json()
    await field.fill(event["effective_time"])
    await field.press("Enter")
    await agrees(page, api, as_of["version"])
    await expect(page.locator(".about")).to_contain_text("final")


async def test_a_time_that_is_typed_is_one_of_the_axis(page: Page, api: httpx.AsyncClient) -> None:
    """What an import wrote happened long before the log heard of it."""
    stream = f"account/{uuid4().hex[:8]}"
    for version, event in enumerate(({"type": "AccountOpened", "data": {"owner": "Eve"}}, DEPOSIT, DEPOSIT)):
        body = {"expected_version": version, "events": [event], "time": f"202{version}-05-01T00:00:00Z"}
        assert (await api.post(f"/v1/streams/{stream}/events", json=body)).status_code == 201
    slider = await opened(page, f"/streams/{stream}")
    await page.get_by_role("button", name="Mark A").click()
    await page.get_by_role("button", name="Event time").click()
    await page.get_by_placeholder("event time").fill("2021-06-01")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(f"/streams/{stream}?at=2021-06-01&clock=event&axis=event&a=2")
    await expect(slider).to_have_attribute("aria-valuenow", "1")
    await expect(page.locator("#time.ready")).to_be_visible()
    await page.get_by_role("button", name="Log time").click()
    await expect(page.get_by_placeholder("log time")).to_be_visible()


@pytest.mark.parametrize(
    ("text", "status", "why"),
    [
        ("99999", 404, "has no version 99999"),
        ("1999-01-01", 404, "did not exist yet"),
        ("rubbish", 422, "'rubbish' is not a date or time"),
        ("commit:1", 422, "'commit:1' is not a date or time"),
    ],
)
async def test_what_cannot_be_gone_to_is_told_where_one_stands(
    page: Page, api: httpx.AsyncClient, seen: Seen, text: str, status: int, why: str
) -> None:
    seen.allowed.append(f"status of {status}")
    slider = await opened(page, f"/streams/{ACCOUNT}?version=57&a=3")
    await page.get_by_label("Go to").fill(text)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_contain_text(why)
    await expect(page.get_by_label("Go to")).to_have_value(text)
    await agrees(page, api, 57)
    await expect(page).to_have_url(f"/streams/{ACCOUNT}?a=3&version=57")
    await slider.focus()
    await page.keyboard.press("ArrowLeft")
    await agrees(page, api, 56)


async def test_marks_are_forgotten_wherever_the_focus_is(page: Page) -> None:
    await opened(page, f"/streams/{ACCOUNT}?a=3&b=5")
    await expect(page.locator("#marks article")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.locator("#marks article")).to_have_count(0)
    await expect(page).to_have_url(f"/streams/{ACCOUNT}")


async def test_two_marks_show_what_is_different(page: Page, api: httpx.AsyncClient) -> None:
    await opened(page, f"/streams/{ACCOUNT}?version=200")
    await page.keyboard.press("]")
    slider = page.get_by_role("slider")
    await slider.focus()
    await page.keyboard.press("Home")
    await page.keyboard.press("[")
    between = page.locator("#marks article")
    await expect(between.locator("h2")).to_contain_text("0 → 200")
    patch = (await api.get(f"/v1/streams/{ACCOUNT}/diff", params={"from": 0, "to": 200})).json()["patch"]
    changed = await between.locator(".state li:not(.same) > .leaf > .key").all_inner_texts()
    assert [f"/{key}" for key in changed] == [step["path"] for step in patch]
    await expect(between.locator(".brief li")).to_have_count(200)
    await between.get_by_role("link", name="7 MoneyDeposited", exact=True).click()
    await agrees(page, api, 7)
    await slider.focus()
    await page.keyboard.press("Escape")
    await expect(between).to_have_count(0)


async def test_it_plays_to_the_end(page: Page, api: httpx.AsyncClient) -> None:
    slider = await opened(page, f"/streams/{ACCOUNT}?version=100")
    await page.get_by_label("Speed").select_option("500")
    await page.get_by_role("button", name="Play").click()
    await expect(slider).to_have_attribute("aria-valuenow", str(LAST))
    await agrees(page, api, LAST)
    await expect(page.get_by_role("button", name="Play")).to_have_attribute("aria-pressed", "false")


async def test_a_new_event_moves_a_slider_that_stands_at_the_end(page: Page, api: httpx.AsyncClient) -> None:
    stream = "account/grows"
    opening = {"expected_version": 0, "events": [{"type": "AccountOpened", "data": {"owner": "Eve"}}]}
    assert (await api.post(f"/v1/streams/{stream}/events", json=opening)).status_code == 201
    slider = await opened(page, f"/streams/{stream}")
    deposit = {"expected_version": 1, "events": [{"type": "MoneyDeposited", "data": {"amount": 5}}]}
    assert (await api.post(f"/v1/streams/{stream}/events", json=deposit)).status_code == 201
    await expect(slider).to_have_attribute("aria-valuenow", "1")
    assert (await shown(page, 1))["balance"] == "5"
    await expect(page.locator("#count")).to_have_text("2 events")


# a project, which has a view of its own


async def test_a_project_shows_its_files_and_what_an_event_changed_in_one(page: Page) -> None:
    await opened(page, f"/streams/{PROJECT}?version=2")
    await expect(page.locator("#step .files li.changed > .leaf .key")).to_have_text("README.md")
    lines = page.locator("#step .code tr")
    assert await lines.locator("td:last-child").all_inner_texts() == [
        "# Apollo",
        "",
        "one",
        "two",
        "2",
        "three",
        "four",
    ]
    assert [await row.get_attribute("class") for row in await lines.all()] == [
        None,
        None,
        None,
        "removed",
        "added",
        None,
        "added",
    ]
    await expect(page.locator("#step .sums")).to_have_text("+2−1")


async def test_a_file_that_was_chosen_stays_while_the_slider_moves(page: Page) -> None:
    await opened(page, f"/streams/{PROJECT}?version=1")
    await page.locator("#step .files").get_by_role("link", name="README.md").click()
    await expect(page.locator("#step .content h3")).to_contain_text("README.md")
    await page.keyboard.press("ArrowLeft")
    await expect(page.locator('#step article[data-version="0"] .content .added')).to_have_count(5)
    await expect(page).to_have_url(f"/streams/{PROJECT}?file=README.md&version=0")


async def test_a_moved_file_tells_where_it_was(page: Page) -> None:
    await opened(page, f"/streams/{PROJECT}?version=3")
    moved = page.locator("#step .files li.added > .leaf")
    await expect(moved).to_contain_text("ignite.py")
    await expect(moved).to_contain_text("from src/engine/burn.py")
    await expect(page.locator("#step .code tr.added")).to_have_count(0)
    await expect(page.locator("#step .code")).to_contain_text("def burn() -> None:")


async def test_a_deleted_file_is_shown_for_the_last_time(page: Page) -> None:
    await opened(page, f"/streams/{PROJECT}?version=4")
    await expect(page.locator("#step .files li.removed > .leaf .key")).to_have_text("README.md")
    await expect(page.locator("#step .code tr.removed")).to_have_count(6)


async def test_marks_on_a_project_list_the_files_that_changed(page: Page) -> None:
    await opened(page, f"/streams/{PROJECT}?a=0&b=3")
    marked = page.locator("#marks .files li:not(.same) > .leaf .key")
    assert sorted(await marked.all_inner_texts()) == ["README.md", "ignite.py"]
    await page.locator("#marks .files").get_by_role("link", name="README.md").click()
    await expect(page.locator("#marks .code tr.added")).to_have_count(2)


# other applications' views


async def test_a_view_may_draw_a_table(page: Page) -> None:
    await opened(page, f"/streams/{TICKET}?version=1")
    rows = page.locator("#step .shape tbody tr")
    assert [await row.get_attribute("class") for row in await rows.all()] == ["same", "changed"]
    await expect(rows.last).to_contain_text("1.50 h")


async def test_a_view_that_fails_leaves_the_plain_state(page: Page, api: httpx.AsyncClient) -> None:
    answer = await api.post("/v1/commands/ticket/odd/Open", json={"title": UGLY})
    assert answer.status_code == 201, answer.text
    await opened(page, "/streams/ticket/odd")
    await expect(page.locator("#step .state .notice")).to_contain_text("nobody draws that")
    assert (await shown(page, 0))["title"] == f'"{UGLY}"'
