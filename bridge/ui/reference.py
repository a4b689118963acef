"""`/docs`: every route of the API, to be read and tried, by Swagger UI from files of this machine."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from bridge.ui.render import Renderer


async def reference(request: Request) -> Response:
    """The page; it reads `/openapi.json`."""
    renderer: Renderer = request.app.state.renderer
    return renderer.whole(request, "reference.html")
