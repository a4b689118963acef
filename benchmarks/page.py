"""The page of a long stream in a real Chromium: until it shows something useful; from the slider to the state."""

from __future__ import annotations

import random
import shutil
from statistics import median

from playwright.async_api import Browser, Page, async_playwright

from benchmarks.figure import Measured, NotMeasured, percentile
from benchmarks.million import LONG, Million, million
from benchmarks.servers import Servers

RUNS = 9
MOVES = 200
EMPTY = "/streams?q=there-is-no-such-stream"
"""A page of the same frame, styles and scripts with nothing in it."""

PAINTED = "(performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0)"
USEFUL = f"Math.max({PAINTED}, performance.getEntriesByName('timeline')[0]?.startTime ?? Infinity)"
"""Milliseconds from the request until the state is painted and every event is drawn on the time line."""

WATCH = """() => {
    const [lanes, step] = ["lanes", "step"].map(id => document.getElementById(id));
    let began = 0;
    window.measured = [];
    lanes.addEventListener("pointerdown", event => { began = event.timeStamp; }, true);
    new MutationObserver(() => {
        if (step.firstElementChild?.dataset.version !== lanes.getAttribute("aria-valuenow")) return;
        requestAnimationFrame(() => measured.push(performance.now() - began));
    }).observe(step, { childList: true });
}"""
"""Notes the milliseconds from each press on the time line until the frame that shows the state it led to."""


async def page(servers: Servers) -> Measured:
    """Each load has an empty browser cache. The value is the median load, the first one of the API aside."""
    chromium = shutil.which("chromium")
    if chromium is None:
        raise NotMeasured("there is no chromium on the PATH: scripts/debian installs it where it can")
    built = await million(servers)
    async with built.scene.api(), async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        first = await _load(browser, built, f"/streams/{built.long}", USEFUL)
        ours, empty = [], []
        for _ in range(RUNS):
            ours.append(await _load(browser, built, f"/streams/{built.long}?version={random.randrange(LONG)}", USEFUL))
            empty.append(await _load(browser, built, EMPTY, PAINTED))
        moves = await _moves(browser, built)
        await browser.close()
    extra = {"p50_ms": round(median(moves), 1), "p95_ms": round(percentile(moves, 95), 1)}
    return Measured(median(ours), median(empty), {**extra, "first": round(first), "slowest": round(max(ours))})


async def _load(browser: Browser, built: Million, path: str, when: str) -> float:
    """Milliseconds until the page is there, in a context of its own."""
    opened = await _opened(browser, built)
    await opened.goto(path)
    await opened.wait_for_function(f"() => Number.isFinite({when}) && ({when}) > 0")
    found = float(await opened.evaluate(when))
    await opened.context.close()
    return found


async def _opened(browser: Browser, built: Million) -> Page:
    settings = built.scene.settings
    address = f"http://{settings.api_host}:{settings.api_port}"
    context = await browser.new_context(base_url=address, viewport={"width": 1440, "height": 900})
    return await context.new_page()


async def _moves(browser: Browser, built: Million) -> list[float]:
    """Milliseconds of each press on a random place of the time line."""
    opened = await _opened(browser, built)
    await opened.goto(f"/streams/{built.long}")
    await opened.wait_for_selector("#time.ready")
    await opened.evaluate(WATCH)
    box = await opened.locator("#lanes").bounding_box()
    assert box is not None, "the time line has no place on the page"
    for number in range(MOVES):
        share = 0.2 + 0.79 * (number * 0.618 % 1)
        await opened.mouse.click(box["x"] + box["width"] * share, box["y"] + box["height"] / 2)
        await opened.wait_for_function(f"() => measured.length > {number}")
    found: list[float] = await opened.evaluate("measured")
    return found
