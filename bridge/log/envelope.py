"""The envelope as Avro bytes, by hand: five fields that never change (DESIGN 4), and each append has them.

The bytes are exactly those of `compose.ENVELOPE`, which a test holds against fastavro.
"""

from __future__ import annotations

from collections.abc import Mapping

from bridge.errors import Undecodable
from bridge.events import Envelope

_LONGEST = 10
"""Bytes of an Avro long of 64 bits."""

_NOTHING_MORE = b"\0\0\0"
"""No correlation, no causation, no metadata."""


def write(envelope: Envelope) -> bytes:
    """The envelope's bytes. Raises AttributeError, TypeError, ValueError for a field of another type."""
    fields = (
        _text(envelope.actor),
        zigzag(envelope.time),
        _text(envelope.correlation),
        _text(envelope.causation),
        _notes(envelope.metadata),
    )
    return b"".join(fields)


def read(value: bytes, place: int) -> tuple[Envelope, int]:
    """(the envelope that begins at the place, the place behind it). Raises Undecodable, IndexError, ValueError."""
    actor, place = _read_text(value, place)
    time, place = read_long(value, place)
    if value[place : place + 3] == _NOTHING_MORE:
        return Envelope(actor, time), place + 3
    correlation, place = _read_text(value, place)
    causation, place = _read_text(value, place)
    metadata, place = _read_notes(value, place)
    return Envelope(actor, time, correlation, causation, metadata), place


def zigzag(number: int) -> bytes:
    """An Avro long. Raises ValueError for one of more than 64 bits."""
    coded = number << 1 if number >= 0 else ~(number << 1)
    if coded >> 64:
        raise ValueError(f"{number} has more than 64 bits")
    out = bytearray()
    while coded > 0x7F:
        out.append(coded & 0x7F | 0x80)
        coded >>= 7
    out.append(coded)
    return bytes(out)


def read_long(value: bytes, place: int) -> tuple[int, int]:
    """(an Avro long, the place behind it). Raises Undecodable for one that is cut or has more than 64 bits."""
    if (byte := value[place]) < 0x80:
        return (byte >> 1) ^ -(byte & 1), place + 1
    number = shift = 0
    for byte in value[place : place + _LONGEST]:
        place += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    else:
        raise Undecodable(f"the number that ends at byte {place} is cut or has more than ten bytes")
    if number >> 64:
        raise Undecodable(f"the number that ends at byte {place} has more than 64 bits")
    return (number >> 1) ^ -(number & 1), place


def _text(text: str) -> bytes:
    raw = text.encode()
    return zigzag(len(raw)) + raw if raw else b"\0"


def _notes(notes: Mapping[str, str]) -> bytes:
    """A map: one block of pairs, if there are any, and an empty one."""
    if not notes:
        return b"\0"
    return zigzag(len(notes)) + b"".join(_text(name) + _text(text) for name, text in notes.items()) + b"\0"


def _read_text(value: bytes, place: int) -> tuple[str, int]:
    size = value[place]
    if size < 0x80:  # one byte, as nearly always
        size, place = (size >> 1) ^ -(size & 1), place + 1
    else:
        size, place = read_long(value, place)
    end = place + size
    if size < 0 or end > len(value):
        raise Undecodable(f"a text of {size} bytes at byte {place} reaches beyond the value")
    return value[place:end].decode(), end


def _read_notes(value: bytes, place: int) -> tuple[dict[str, str], int]:
    notes: dict[str, str] = {}
    count, place = read_long(value, place)
    while count:
        if count < 0:
            _, place = read_long(value, place)  # a negative count is followed by the block's size in bytes
        for _ in range(abs(count)):
            name, place = _read_text(value, place)
            notes[name], place = _read_text(value, place)
        count, place = read_long(value, place)
    return notes, place
