"""What a page can use: the open platform, the applications' views, and what is kept between requests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from bridge.log.cluster import Cluster
from bridge.ui.course import Course
from bridge.ui.listing import Listing, Projected
from bridge.ui.outlines import Outlines
from bridge.ui.render import Renderer
from bridge.views import View
from bridge.wiring import Platform


@dataclass(frozen=True)
class Window:
    """From the start of the process to its end."""

    platform: Platform
    renderer: Renderer
    views: Mapping[str, View]
    listing: Listing
    outlines: Outlines
    cluster: Cluster
    course: Course

    def page(self, request: Request, name: str, **known: Any) -> Response:
        """A page by its name, or its part."""
        return self.renderer.page(request, name, **known)


@asynccontextmanager
async def open_window(platform: Platform, renderer: Renderer) -> AsyncIterator[Window]:
    """The window on an open platform."""
    settings = platform.base.settings
    views = {category: view for make in platform.base.catalog.views for category, view in make(settings).items()}
    listing, outlines = Projected(platform.projections, platform.spaces), Outlines(platform.history)
    course = Course(platform)
    try:
        yield Window(platform, renderer, views, listing, outlines, Cluster(settings), course)
    finally:
        await course.close()


def window(request: Request) -> Window:
    """The window of the application that a request came to."""
    found: Window = request.app.state.window
    return found
