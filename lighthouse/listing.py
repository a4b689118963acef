"""A project's tree as `git ls-tree -r` lists it, byte for byte."""

from __future__ import annotations

from collections.abc import Iterator

from lighthouse.project.content import SUBMODULE
from lighthouse.project.paths import escape, unescape
from lighthouse.project.state import File, Project


def entries(project: Project) -> Iterator[tuple[bytes, File]]:
    """The files with their paths as git has them, sorted by the paths' bytes."""
    yield from sorted(((unescape(path), file) for path, file in project.files.items()), key=lambda entry: entry[0])


def listing(project: Project) -> bytes:
    """Equals the output of `git ls-tree -r -z --full-tree COMMIT`."""
    return b"".join(b"%s\t%s\0" % (_object(file).encode(), path) for path, file in entries(project))


def lines(project: Project) -> Iterator[str]:
    """The same as text, a file a line, with the paths as events write them: a byte outside UTF-8 is `\\xff`."""
    for path, file in entries(project):
        yield f"{_object(file)}\t{escape(path)}"


def _object(file: File) -> str:
    kind = "commit" if file.mode == SUBMODULE else "blob"
    return f"{file.mode} {kind} {file.hash}"
