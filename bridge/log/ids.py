"""Append ids and request hashes (DESIGN 4): hashes of length-prefixed parts, so that no two requests run together."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import msgspec

from bridge.log.record import APPEND_BYTES, REQUEST_BYTES, version_text

NO_REQUEST = bytes(REQUEST_BYTES)
"""The request hash of an append without a key, which nobody can repeat."""

_pool: list[bytes] = []
os.register_at_fork(after_in_child=_pool.clear)

_canonical = msgspec.json.Encoder(order="deterministic")


def append_id(stream: str, actor: str, key: str) -> bytes:
    """The 16 bytes of `lh_append`: the same for every attempt under one Idempotency-Key of one actor."""
    return _hash(APPEND_BYTES, stream.encode(), actor.encode(), key.encode())


def anonymous() -> bytes:
    """The append id of an append without a key: nobody can ask for it again."""
    if not _pool:
        raw = os.urandom(256 * APPEND_BYTES)  # asking the kernel once for each would cost more than encoding an event
        _pool.extend(raw[place : place + APPEND_BYTES] for place in range(0, len(raw), APPEND_BYTES))
    return _pool.pop()


def request_hash(method: str, route: str, expected: int | None, body: Any) -> bytes:
    """The 16 bytes of `lh_request`: the request as sent, by its canonical JSON (sorted keys), never what it led to."""
    return _hash(
        REQUEST_BYTES, method.encode(), route.encode(), version_text(expected), _canonical.encode(_plain(body))
    )


def _plain(body: Any) -> Any:
    """JSON's values: keys of any kind become strings, mappings of any kind (immutables.Map) objects."""
    return msgspec.to_builtins(body, str_keys=True, enc_hook=_mapping)


def _mapping(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a request cannot hold a {type(value).__name__}")


def _hash(size: int, *parts: bytes) -> bytes:
    digest = blake2b(digest_size=size)
    for part in parts:
        digest.update(len(part).to_bytes(4, "big"))
        digest.update(part)
    return digest.digest()


def draw() -> str:
    """A UUIDv7 as text: sorts by the millisecond it was drawn in, its other 74 bits are random (RFC 9562, 5.7)."""
    milliseconds = (time.time_ns() // 1_000_000).to_bytes(6, "big")
    raw = bytearray(milliseconds + os.urandom(10))
    raw[6] = raw[6] & 0x0F | 0x70
    raw[8] = raw[8] & 0x3F | 0x80
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
