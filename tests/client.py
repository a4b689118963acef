"""A client of the API, as the tests speak to it."""

from __future__ import annotations

from typing import Any

import httpx

Api = httpx.Client
SHA = "0123456789abcdef0123456789abcdef01234567"


def commit(message: str = "hello", sha: str = SHA) -> dict[str, Any]:
    return {"type": "CommitRecorded", "data": {"sha": sha, "message": message}}


def append(api: Api, stream: str, expected: int | None, *events: Any, **headers: str) -> httpx.Response:
    body = {"expected_version": expected, "events": list(events) or [commit()]}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return api.post(f"/v1/streams/{stream}/events", json=body, headers=named)


def post(api: Api, stream: str, raw: bytes, content_type: str = "application/json") -> httpx.Response:
    return api.post(f"/v1/streams/{stream}/events", content=raw, headers={"Content-Type": content_type})


def raw(**headers: bytes) -> dict[bytes, bytes]:
    """Headers whose values are no ASCII."""
    return {name.encode(): value for name, value in headers.items()}


def problem(answer: httpx.Response, status: int, name: str) -> dict[str, Any]:
    """The problem details of an answer, which must be of this kind."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = answer.json()
    assert found["type"] == f"/problems/{name}"
    assert found["status"] == status
    assert found["title"]
    assert found["detail"]
    return found


def command(api: Api, stream: str, name: str, body: Any, **headers: str) -> httpx.Response:
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    return api.post(f"/v1/commands/{stream}/{name}", json=body, headers=named)
