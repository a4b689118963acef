"""States as bytes: msgpack through msgspec, typed by the decider's state class, in one deterministic order.

Beside what msgspec knows (dataclasses, Structs, enums, datetimes, bytes, containers) a state may hold an
`immutables.Map`: a persistent mapping, of which a changed copy costs O(log n) and not O(n).
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache
from typing import Any, cast, get_args

import msgspec
from immutables import Map

_encoder = msgspec.msgpack.Encoder(enc_hook=lambda value: encode_other(value), order="deterministic")


def encode(state: Any) -> bytes:
    """The state's bytes; equal states give equal bytes.

    Raises TypeError for what msgspec does not know, and for a mapping whose keys are not text.
    """
    return _encoder.encode(state)


def decode(raw: bytes, type_: type[Any]) -> Any:
    """The state from its bytes. Raises msgspec.ValidationError when they are not of this type."""
    return _decoder(cast(Hashable, type_)).decode(raw)


def plain(state: Any) -> Any:
    """The state as JSON-like values: dicts, lists, numbers, strings; bytes become base64, times RFC 3339."""
    return msgspec.to_builtins(state, enc_hook=encode_other, order="deterministic", str_keys=True)


@lru_cache(maxsize=256)
def _decoder(type_: Hashable) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(cast(Any, type_), dec_hook=decode_other)


def encode_other(value: Any) -> Any:
    """msgspec's hook for what it does not know: a Map as a dict."""
    if isinstance(value, Map):
        return dict(value)
    raise TypeError(f"a state cannot hold a {type(value).__name__}: use dataclasses, containers or immutables.Map")


def decode_other(type_: Any, value: Any) -> Any:
    """msgspec's hook for what it does not know: a dict as a Map."""
    if getattr(type_, "__origin__", type_) is Map:
        arguments = get_args(type_)
        mapping: Any = dict
        return Map(msgspec.convert(value, mapping[arguments] if arguments else mapping, dec_hook=decode_other))
    raise TypeError(f"a state cannot hold a {type_!r}: use dataclasses, containers or immutables.Map")
