"""The page *Stream*: a time line with every event, the state at one of them, the difference between two marks."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from bridge import times
from bridge.errors import BadInput, Invalid, NotFound
from bridge.events import StreamId
from bridge.history.reader import NOW, At, Located
from bridge.history.times import ClockName
from bridge.ui.asked import asked, stream_of
from bridge.ui.outlines import compact
from bridge.ui.render import address
from bridge.ui.step import Step, Steps
from bridge.ui.window import Window, window


class StreamQuery(msgspec.Struct):
    """What an address of the page holds.

    `version`, or a time `at` on a `clock`; the marks `a` and `b`; a `file` of the state; the time line's `axis`.
    """

    version: int | None = None
    at: str = ""
    clock: ClockName = ClockName.EFFECTIVE
    a: int | None = None
    b: int | None = None
    file: str = ""
    axis: str = "version"

    @property
    def marks(self) -> tuple[int, int] | None:
        """Both marks, the lower one first; None unless there are two."""
        if self.a is None or self.b is None or self.a == self.b:
            return None
        return min(self.a, self.b), max(self.a, self.b)


class BranchQuery(msgspec.Struct):
    """A part of a state, or an event, that was not sent with it: the branch at a `pointer`, from entry `skip` on."""

    version: int
    before: int
    of: Literal["state", "event"] = "state"
    pointer: str = ""
    skip: int = 0


class OutlineQuery(msgspec.Struct):
    """The part of a stream around `version`; only what comes after `start`, if that is given."""

    version: int = 0
    start: int = 0


class GoQuery(StreamQuery):
    """Where somebody wants to go: a version, a time on the axis' clock, or a bookmark `name:value`; and from where."""

    to: str = ""


async def stream(request: Request) -> Response:
    """The whole page, with the state in it: it says something before any script has run."""
    return await _whole(request, window(request), asked(request, StreamQuery))


async def _whole(request: Request, here: Window, query: StreamQuery, refused: BadInput | None = None) -> Response:
    """The page; with what was wrong with where somebody wanted to go from here, if that was so."""
    name = stream_of(request)
    found = await here.platform.history.locate(name, _point(query))
    lanes = (await here.outlines.of(name, found.info.head.next, found.version)).names
    steps = Steps(here, name)
    step = await steps.at(found.version, query.file)
    between = await steps.between(*query.marks, query.file) if query.marks else None
    known = _known(name, found, query, step) | {"between": between, "lanes": lanes, "refused": refused}
    status = 200 if refused is None else 404 if isinstance(refused, NotFound) else 422
    return here.page(request, "stream", status=status, **known)


def _known(name: str, found: Located, query: StreamQuery, step: Step) -> dict[str, Any]:
    parsed = StreamId.parse(name)
    return {
        "stream": name,
        "category": parsed.category,
        "id": parsed.id,
        "head": found.info.head,
        "parked": found.info.parked,
        "as_of": query.at,
        "final": found.final,
        "query": query,
        "step": step,
    }


def _point(query: StreamQuery) -> At:
    if query.version is not None:
        return At(query.version)
    return At(time=times.parse(query.at, "at"), clock=query.clock) if query.at else NOW


async def step(request: Request) -> Response:
    """The state and the event of one version: what is shown as the slider moves."""
    here, name, query = window(request), stream_of(request), asked(request, StreamQuery)
    if query.version is None:
        raise Invalid("version", "which version is to be shown?")
    shown = await Steps(here, name).at(query.version, query.file)
    return here.renderer.whole(request, "_step.html", stream=name, step=shown)


async def marks(request: Request) -> Response:
    """What is different between the two marks."""
    here, name, query = window(request), stream_of(request), asked(request, StreamQuery)
    found = await Steps(here, name).between(*query.marks, query.file) if query.marks else None
    return here.renderer.whole(request, "_marks.html", stream=name, between=found)


async def branch(request: Request) -> Response:
    """A branch of a state that is opened by hand."""
    here, name, query = window(request), stream_of(request), asked(request, BranchQuery)
    steps = Steps(here, name)
    if query.of == "event":
        found = await steps.fields(query.version, query.pointer, query.skip)
    else:
        found = await steps.branch(query.before, query.version, query.pointer, query.skip)
    return here.renderer.whole(request, "_branch.html", stream=name, branch=found, query=query)


async def outline(request: Request) -> Response:
    """The times and types of the events, for the time line."""
    here, name, query = window(request), stream_of(request), asked(request, OutlineQuery)
    head = (await here.platform.history.info(name)).head
    found = await here.outlines.of(name, head.next, min(max(query.version, 0), head.next - 1))
    return JSONResponse({"head": head.next, **compact(found, query.start)}, headers={"Cache-Control": "no-store"})


async def go(request: Request) -> Response:
    """From what somebody typed to the address that stands for it, or back to the page, with what is wrong with it."""
    here, name, query = window(request), stream_of(request), asked(request, GoQuery)
    try:
        target = await _target(here, name, query)
        await here.platform.history.locate(name, _point(msgspec.convert(target, StreamQuery)))
    except BadInput as refused:
        return await _whole(request, here, query, refused)
    kept = {"axis": "" if query.axis == "version" else query.axis, "a": query.a, "b": query.b, "file": query.file}
    return RedirectResponse(address(f"/streams/{name}", **target, **kept), 303)


async def _target(here: Window, name: str, query: GoQuery) -> dict[str, Any]:
    text = query.to.strip()
    mark, colon, value = text.partition(":")
    if text.isascii() and text.isdecimal():
        return {"version": int(text)}
    if colon and (found := here.platform.base.catalog.bookmarks.get((StreamId.parse(name).category, mark))):
        return {"version": await here.platform.history.find(name, found.type, found.field, value.strip())}
    if not text:
        raise NotFound("go where? A version, a time such as 2026-11-24 06:11, or a bookmark")
    times.parse(text, "to")
    return {"at": text} | ({"clock": ClockName.EVENT.value} if query.axis == "event" else {})
