"""The FastAPI application, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from bridge.api import (
    appending,
    categories,
    commands,
    events,
    health,
    live,
    metrics,
    openapi,
    problems,
    projections,
    reactors,
    replay,
    streams,
)
from bridge.api.answers import ProblemAnswer
from bridge.api.edge import Edge
from bridge.api.front import Front
from bridge.api.metrics import Metrics
from bridge.api.tokens import Tokens
from bridge.errors import LighthouseError
from bridge.settings import Settings
from bridge.ui import routes as pages
from bridge.ui.window import open_window
from bridge.wiring import open_platform

log = structlog.get_logger()

DESCRIPTION = """Event sourcing on Apache Kafka: guarded appends, commands, and streams at any version or time.

Errors are problem details (RFC 9457). Every answer that was read from a stream names what it has seen in the header
`Lighthouse-Position`; sent back as `Lighthouse-At-Least`, another call sees at least as much.
"""


def create_app(settings: Settings) -> FastAPI:
    """The application; it opens the platform when its server starts, and closes it when the server stops."""
    app = FastAPI(
        title="Lighthouse Bridge",
        version=version("lighthouse-bridge"),
        description=DESCRIPTION,
        lifespan=_lifespan,
        docs_url=None,  # the window has it, from files of its own
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # asked for anew each time: 30 µs a request
    )
    app.state.settings = settings
    app.state.failure = None
    app.state.metrics = Metrics()
    for router in (
        appending.router,
        commands.router,
        streams.router,
        projections.plain,
        projections.router,
        reactors.router,
        reactors.plain,
        events.router,
        replay.router,
        live.router,
        categories.router,
        health.router,
        health.partitions,
        metrics.router,
    ):
        # Taken over as they are: each router that is included instead costs 90 µs a request.
        app.router.routes.extend(router.routes)
    app.add_exception_handler(LighthouseError, problems.on_error)
    app.add_exception_handler(RecursionError, problems.on_recursion)
    app.add_exception_handler(HTTPException, problems.on_http_error)
    app.add_exception_handler(RequestValidationError, problems.on_wrong_parameter)
    app.add_middleware(Edge, metrics=app.state.metrics)
    pages.install(app)
    openapi.install(app, ProblemAnswer)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Opens the platform; why that failed is left in `app.state.failure`, for servers only tell that it did."""
    async with AsyncExitStack() as stack:
        try:
            platform = await stack.enter_async_context(open_platform(app.state.settings))
            app.state.front = Front(platform, Tokens(platform.facts, platform.spaces), app.state.metrics)
            if platform.hot is not None:
                app.state.metrics.tell_hot(platform.hot)
            app.state.categories = categories.describe(platform)
            platform.projections.follow()
            app.state.window = await stack.enter_async_context(open_window(platform, app.state.renderer))
        except LighthouseError as error:
            app.state.failure = error
            raise
        log.info("API ready", categories=list(platform.base.catalog.categories))
        yield
