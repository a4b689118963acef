"""Opaque tokens: a value of ours as text that fits into a URL and a header, and is not meant to be read."""

from __future__ import annotations

import base64
import binascii
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")
_encode = msgspec.msgpack.Encoder().encode


def opaque(value: Any) -> str:
    """The token of a value that msgspec can encode."""
    return base64.urlsafe_b64encode(_encode(value)).rstrip(b"=").decode()


def value_of(token: str, decoder: msgspec.msgpack.Decoder[T]) -> T:
    """The value of a token. Raises ValueError for any other text."""
    try:
        return decoder.decode(base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, msgspec.DecodeError):
        raise ValueError(f"{token[:40]!r} is no token of this kind") from None
