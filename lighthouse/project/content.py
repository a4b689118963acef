"""What lies at a path: content under its git object id, and the rules about it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

from bridge.decider import Refused
from lighthouse.project.commands import Write

MAX_FILE_BYTES = 100_000_000
MAX_INLINE_BYTES = 64 * 1024
SUBMODULE = "160000"
MODES = ("100644", "100755", "120000", SUBMODULE)

_OBJECT_ID = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")


def is_object_id(text: str) -> bool:
    """Whether it is an id of git, in a SHA-1 or a SHA-256 repository."""
    return _OBJECT_ID.fullmatch(text) is not None


def object_id(content: bytes, digits: int = 40) -> str:
    """git's id of a blob: SHA-1 in 40 hexadecimal digits, or SHA-256 in 64."""
    digest = hashlib.sha1 if digits == 40 else hashlib.sha256
    return digest(b"blob %d\0" % len(content) + content).hexdigest()


def check_content(write: Write) -> None:
    """Raises Refused by P2 or P6."""
    if write.size > MAX_FILE_BYTES:
        raise Refused("P2", f"{write.path!r} has {write.size:,} bytes; a file has at most {MAX_FILE_BYTES:,}")
    for problem in _disagreements(write):
        raise Refused("P6", f"{write.path!r}: {problem}")


def _disagreements(write: Write) -> Iterator[str]:
    if write.mode not in MODES:
        yield f"{write.mode!r} is no mode of git: it is one of {', '.join(MODES)}"
    if not is_object_id(write.hash):
        yield f"{write.hash!r} is no object id of git: 40 or 64 hexadecimal digits"
    if write.mode == SUBMODULE:
        yield from _of_submodule(write)
    elif write.content is None:
        yield from _of_large(write)
    else:
        yield from _of_inline(write, write.content)


def _of_submodule(write: Write) -> Iterator[str]:
    if write.content is not None or write.size:
        yield "a submodule has no content, and size 0"


def _of_large(write: Write) -> Iterator[str]:
    if write.size <= MAX_INLINE_BYTES:
        yield f"content of {write.size:,} bytes must be inline"


def _of_inline(write: Write, content: bytes) -> Iterator[str]:
    if len(content) > MAX_INLINE_BYTES:
        yield f"{len(content):,} bytes are too many to be inline; put them into the blob store and give their hash"
    elif len(content) != write.size:
        yield f"the content has {len(content):,} bytes, not {write.size:,}"
    elif (found := object_id(content, len(write.hash))) != write.hash:
        yield f"the content's hash is {found}, not {write.hash}"
