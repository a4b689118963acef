"""Commands: asked of a stream, decided by its category's decider."""

from __future__ import annotations

from urllib.parse import unquote

from fastapi import APIRouter, Request
from starlette.responses import Response

from bridge.api.answers import AppendAnswer
from bridge.api.appending import write
from bridge.api.bodies import JSON, media_type, parse, read_body
from bridge.api.front import front, written_stream
from bridge.api.openapi import PlainRoute, documents, in_path
from bridge.api.tokens import AT_LEAST
from bridge.api.writing import ERRORS, HEADERS, STREAM, Told, caller_of, context, draw_key
from bridge.log.ids import request_hash

ROUTE = "/v1/commands/{category}/{id}/"
"""Followed by the command's name, part of each request hash, which is kept for ever: it must never change."""

router = APIRouter(prefix="/v1/commands", tags=["commands"], route_class=PlainRoute)
COMMAND = in_path("command", "The command's name, as GET /v1/categories lists it.", pattern="^[A-Za-z_][A-Za-z0-9_]*$")
BODY = {JSON: {"type": "object", "description": "The command's fields."}}


@router.post(
    "/{category}/{id:path}/{command}",
    **documents(AppendAnswer, *ERRORS, status=201, body=BODY, parameters=(*STREAM, COMMAND, *HEADERS)),
)
async def execute(request: Request) -> Response:
    """Decides a command on the stream's state and appends what was decided; 409 names the rule that refused.

    The last segment of the path is the command. A command that decides nothing writes nothing.
    """
    here = front(request)
    stream = written_stream(request)
    name = unquote(request.path_params["command"])
    await here.at_least(request.headers.getlist(AT_LEAST))
    caller = caller_of(request)
    key = caller.key or draw_key(request)
    media_type(request, JSON)
    sent = parse(await read_body(request))
    command = here.platform.handler.decider(stream).command(name, sent)
    asked = context(caller, key, Told(), request_hash("POST", ROUTE + name, None, sent))
    return await write(request, here, here.platform.handler.execute(stream, command, asked))
