"""Every address of the window, and how it becomes a part of the API's application."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from bridge.ui import events, projections, reactors, reference, stream, streams, system
from bridge.ui.faults import Faults
from bridge.ui.render import THEME, THEMES, Renderer
from bridge.ui.static_files import Files

YEAR = 31_536_000
IN_STREAM = "{category}/{id:path}"


def install(app: Starlette) -> None:
    """Adds the pages to an application; its `state.window` is to be set before the first request."""
    app.state.renderer = Renderer()
    app.router.routes.extend(routes())
    app.add_middleware(Faults, renderer=app.state.renderer)


def routes() -> Sequence[BaseRoute]:
    """The pages, then their parts."""
    return [
        Route("/", home),
        Route("/streams", streams.streams),
        Route(f"/streams/{IN_STREAM}", stream.stream),
        Route("/events", events.events),
        Route("/projections", projections.projections),
        Route("/reactors", reactors.reactors),
        Route("/system", system.system),
        Route("/docs", reference.reference),
        Route(f"/ui/step/{IN_STREAM}", stream.step),
        Route(f"/ui/marks/{IN_STREAM}", stream.marks),
        Route(f"/ui/branch/{IN_STREAM}", stream.branch),
        Route(f"/ui/outline/{IN_STREAM}", stream.outline),
        Route(f"/ui/go/{IN_STREAM}", stream.go),
        Route("/ui/course", projections.course),
        Route("/ui/projections/{name}/{action}", projections.decide, methods=["POST"]),
        Route("/ui/reactors/{name}/{action}", reactors.decide, methods=["POST"]),
        Route("/ui/theme", theme, methods=["POST"]),
        Mount("/static", Files()),
    ]


async def home(request: Request) -> Response:
    """The list of streams is where one begins."""
    return RedirectResponse("/streams", 302)


async def theme(request: Request) -> Response:
    """Remembers light or dark in a cookie, so that a page is drawn right at once, and goes back."""
    wanted = request.query_params.get("to", "")
    back = urlsplit(request.headers.get("referer", "/"))
    path = "/" + back.path.lstrip("/")  # two slashes would be another host
    response = RedirectResponse(f"{path}?{back.query}" if back.query else path, 303)
    if wanted in THEMES:
        response.set_cookie(THEME, wanted, max_age=YEAR, samesite="lax", httponly=True)
    return response
