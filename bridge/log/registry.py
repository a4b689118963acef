"""The schema registry's Confluent-compatible API, as much of it as is used.

Thin on purpose: what matters here is the difference between *the registry does not know this* (a fact, answered
404) and *the registry did not answer* (nothing is known, so the batch is held), which client libraries blur.
"""

from __future__ import annotations

import json
from typing import Any

import httpx

from bridge.errors import LighthouseError, SchemaError
from bridge.log.compose import Schema, canonical
from bridge.urls import without_secret

COMPATIBILITY = "BACKWARD_TRANSITIVE"


class RegistryAway(LighthouseError):
    """The registry did not answer, or answered with an error of its own. Nothing is known; try again."""


class Registry:
    """A client for one registry. Every call is one request with a time-out; none is repeated here."""

    def __init__(self, url: str, timeout: float) -> None:
        self.url = url.rstrip("/")
        self._http = httpx.AsyncClient(base_url=self.url, timeout=timeout, trust_env=False)

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def by_id(self, schema_id: int) -> Schema | None:
        """The schema of an id, or None when the registry does not know it. Raises RegistryAway, SchemaError."""
        answer = await self._call("GET", f"/schemas/ids/{schema_id}")
        if answer is None:
            return None
        if answer.get("schemaType", "AVRO") != "AVRO":
            raise SchemaError(f"schema {schema_id} is of type {answer['schemaType']}, not AVRO")
        return _parsed(answer["schema"], f"schema {schema_id}")

    async def subjects(self) -> list[str]:
        """Every subject's name, sorted."""
        return sorted(await self._call("GET", "/subjects") or [])

    async def versions(self, subject: str) -> list[int]:
        """The subject's versions, oldest first; empty for an unknown subject."""
        return list(await self._call("GET", f"/subjects/{subject}/versions") or [])

    async def version(self, subject: str, number: int) -> Schema:
        """A version of a subject, as `versions` names it. Raises RegistryAway, SchemaError."""
        answer = await self._call("GET", f"/subjects/{subject}/versions/{number}")
        if answer is None:
            raise SchemaError(f"{subject} has no version {number}")
        return _parsed(answer["schema"], f"version {number} of {subject}")

    async def find(self, subject: str, schema: Schema) -> int | None:
        """The id under which exactly this schema is registered in the subject, or None."""
        answer = await self._call("POST", f"/subjects/{subject}", {"schema": canonical(schema)})
        return None if answer is None else int(answer["id"])

    async def push(self, subject: str, schema: Schema) -> int:
        """Registers the schema, once; answers its id. Raises SchemaError when it is not compatible."""
        await self._call("PUT", f"/config/{subject}", {"compatibility": COMPATIBILITY})
        return await self.register(subject, schema)

    async def register(self, subject: str, schema: Schema) -> int:
        """The same under whatever compatibility the subject has."""
        answer = await self._call("POST", f"/subjects/{subject}/versions", {"schema": canonical(schema)})
        if answer is None:
            raise SchemaError(f"the registry refused to register {subject}")
        return int(answer["id"])

    async def check(self, subject: str, schema: Schema) -> list[str]:
        """Why the schema is not compatible with the subject's versions; empty when it is, or the subject is new."""
        path = f"/compatibility/subjects/{subject}/versions?verbose=true"
        answer = await self._call("POST", path, {"schema": canonical(schema)})
        if answer is None or answer.get("is_compatible"):
            return []
        return [str(message) for message in answer.get("messages") or ["not compatible with an earlier version"]]

    async def _call(self, method: str, path: str, body: Any = None) -> Any:
        try:
            response = await self._http.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise RegistryAway(
                f"the schema registry at {without_secret(self.url)} did not answer: {error!r}"
            ) from error
        if response.status_code == 404:
            return None
        if response.status_code in (409, 422):
            raise SchemaError(f"the registry refused {path}: {_message(response)}")
        if response.is_error:
            raise RegistryAway(f"the registry answered {path} with {response.status_code}: {_message(response)}")
        return response.json()


def _message(response: httpx.Response) -> str:
    try:
        return str(response.json().get("message", response.text))[:2000]
    except ValueError:
        return response.text[:2000]


def _parsed(text: str, what: str) -> Schema:
    try:
        schema = json.loads(text)
    except ValueError as error:
        raise SchemaError(f"{what} is not JSON: {error}") from error
    if not isinstance(schema, dict):
        raise SchemaError(f"{what} is not an Append: {text[:80]}")
    return schema
