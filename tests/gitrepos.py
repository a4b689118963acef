"""Difficult git repositories, made with `git fast-import`: thousands of commits a second, names of any bytes."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

FILE, SCRIPT, LINK, SUBMODULE = "100644", "100755", "120000", "160000"

EPOCH = 1_700_000_000
A_COMMIT = "1234567890123456789012345678901234567890"
ODD_NAMES = (
    b"new\nline",
    b"tab\there",
    b'"quoted"',
    b"back\\slash",
    b"\\x41",
    b"not-utf8-\xff\xfe",
    b"half-\xc3",
    b"surrogate-\xed\xa0\x80",
    "grüße/日本語/🎉".encode(),
    "e\u0301 and é".encode(),
    b" leading and trailing ",
    b"-dash",
    b"\x01control\x7f",
    b"a*b?[c]",
    b"CON",
    b"a/.gitignore",
    b".github/x",
    b"a.b",
    b"a-b",
    b"a0",
)


@dataclass(frozen=True)
class Edit:
    """What a commit does to a path: writes content (a submodule's commit), or deletes where that is None."""

    path: bytes
    content: bytes | None = None
    mode: str = FILE


@dataclass(frozen=True)
class Made:
    """A commit to be made. `marks` of other commits, 1 for the first, are its further parents."""

    edits: Sequence[Edit] = ()
    message: bytes = b"a message"
    time: int = EPOCH
    author: bytes = b"A U Thor <author@example.org>"
    branch: str = "main"
    parents: Sequence[int] = field(default_factory=tuple)


def make(path: Path, commits: Iterable[Made], *options: str) -> Path:
    """A repository at `path` whose HEAD is branch main; a branch's first commit names all its parents."""
    git(path.parent, "init", "-q", "-b", "main", *options, str(path))
    stream = b"".join(_stream(commits))
    subprocess.run(["git", "-C", str(path), "fast-import", "--quiet", "--force"], input=stream, check=True)
    return path


def git(path: Path, *arguments: str) -> bytes:
    """Runs git and returns what it prints."""
    return subprocess.run(["git", "-C", str(path), *arguments], check=True, capture_output=True).stdout


def first_parents(path: Path) -> list[str]:
    """The commits of HEAD's first-parent history, oldest first."""
    return git(path, "rev-list", "--first-parent", "--reverse", "HEAD").decode().split()


def ls_tree(path: Path, sha: str) -> bytes:
    """What the project's listing has to equal."""
    return git(path, "ls-tree", "-r", "-z", "--full-tree", sha)


def _stream(commits: Iterable[Made]) -> Iterator[bytes]:
    started: set[str] = set()
    for mark, commit in enumerate(commits, 1):
        person = b"%s %d +0000\n" % (commit.author, commit.time)
        yield b"commit refs/heads/%s\nmark :%d\n" % (commit.branch.encode(), mark)
        yield b"author " + person + b"committer " + person + _data(commit.message)
        for place, parent in enumerate(commit.parents):
            yield b"%s :%d\n" % (b"merge" if place or commit.branch in started else b"from", parent)
        started.add(commit.branch)
        for edit in commit.edits:
            yield _edit(edit)
    yield b"done\n"


def _edit(edit: Edit) -> bytes:
    if edit.content is None:
        return b"D %s\n" % _quoted(edit.path)
    if edit.mode == SUBMODULE:
        return b"M 160000 %s %s\n" % (edit.content, _quoted(edit.path))
    return b"M %s inline %s\n" % (edit.mode.encode(), _quoted(edit.path)) + _data(edit.content)


def _quoted(path: bytes) -> bytes:
    return b'"' + b"".join(b"\\%03o" % byte for byte in path) + b'"'


def _data(content: bytes) -> bytes:
    return b"data %d\n%s\n" % (len(content), content)


def write(path: str | bytes, content: str | bytes = b"content\n", mode: str = FILE) -> Edit:
    """An edit that leaves this content at the path."""
    raw = content.encode() if isinstance(content, str) else content
    return Edit(path.encode() if isinstance(path, str) else path, raw, mode)


def delete(path: str | bytes) -> Edit:
    """An edit that deletes a file, or a directory with all that is in it."""
    return Edit(path.encode() if isinstance(path, str) else path)


def long_text(name: str) -> str:
    """Fifty lines that rename detection finds again."""
    return "".join(f"{name} line {number}\n" for number in range(50))


# the difficult ones


def ordinary() -> list[Made]:
    """Content, modes, links, submodules, binary, empty commits, dates out of order."""
    return [
        Made([write("README", "hello\n"), write("src/a.py", "a = 1\n"), write("run", "#!/bin/sh\n", SCRIPT)]),
        Made(message=b""),
        Made([write("src/a.py", "a = 2\n"), write("data.bin", bytes(range(256)) * 7)], time=EPOCH - 86_400),
        Made([write("run", "#!/bin/sh\n")], b"mode only"),
        Made([write("link", "src/a.py", LINK), write("lib", A_COMMIT, SUBMODULE), write("empty", b"")]),
        Made([write("lib", A_COMMIT[::-1], SUBMODULE), write("link", "../outside", LINK)], time=EPOCH + 86_400),
        Made([write("link", "now a file\n"), write("README", "src/a.py", LINK)], b"types change"),
        Made([delete("lib"), delete("data.bin"), delete("src")], b"gone \xff\xfe not utf-8\n\nbody\n", EPOCH + 5),
        Made(message=b"empty again"),
    ]


def odd_names() -> list[Made]:
    """Names of any bytes, created, moved and deleted."""
    names = [name + b".txt" for name in ODD_NAMES]
    texts = [long_text(str(number)) for number, _ in enumerate(names)]
    created = [write(name, text) for name, text in zip(names, texts, strict=True)]
    moved = [write(b"moved/" + name, text) for name, text in zip(names, texts, strict=True)]
    return [
        Made(created, author="Ünïcode 🎉 \u202e <ü@example.org>".encode()),
        Made([*map(delete, names), *moved], author=b"\xff\xfe <>"),
        Made([delete(b"moved/" + names[0]), delete(b"moved/" + names[5])], author=b"x" * 2000 + b" <y>"),
    ]


def renames() -> list[Made]:
    """Renames, swaps, chains, files that become directories and back."""
    a, b, c = map(long_text, "abc")
    return [
        Made([write("a", a), write("b", b), write("c", c), write("d/e", "in d\n")]),
        Made([write("a", b), write("b", a)], b"swap"),
        Made([delete("a"), write("a/b", b)], b"a file becomes a directory, moved into itself"),
        Made([delete("a/b"), write("a", b + "more\n")], b"and back, changed"),
        Made([delete("d"), write("d", "a file\n"), delete("c"), write("x/y/z", c + "end\n", SCRIPT)], b"move + mode"),
        Made([delete("x"), write("x", c), delete("b"), write("y", a), write("b", "new at the old path\n")], b"move on"),
        Made([write("a", c), write("x", a), write("y", b)], b"three in a ring"),
        Made([delete("a"), delete("x"), write("x/a", c), write("a/x", a)], b"each into the other's name"),
    ]


def merges() -> list[Made]:
    """Merges: plain, octopus, and one that holds a change of its own; the other branches are not first parents."""
    return [
        Made([write("base", "base\n"), write("mine", "1\n")]),
        Made([write("one", "1\n")], branch="one", parents=(1,)),
        Made([write("two", "2\n"), write("base", "two's\n")], branch="two", parents=(1,)),
        Made([write("mine", "2\n")]),
        Made([write("one", "1\n")], b"merge", parents=(2,)),
        Made([write("three", "3\n")], branch="three", parents=(1,)),
        Made([write("two", "2\n"), write("three", "3\n"), write("base", "two's\n")], b"octopus", parents=(3, 6)),
        Made([write("one", "more\n")], branch="one"),
        Made([delete("mine"), write("evil", "in no parent\n")], b"evil merge", parents=(8,)),
        Made((), b"ours: a merge that changes nothing", parents=(6,)),
    ]


def large() -> list[Made]:
    """Beyond an append: 2,500 files, 6 MB in one commit, contents over 64 KiB, and a directory renamed."""
    many = [write(f"many/{number // 100}/{number}", f"number {number}\n" * 5) for number in range(2500)]
    heavy = [write(f"heavy/{number}", bytes([number]) * 60_000) for number in range(100)]
    moved = [Edit(edit.path.replace(b"many", b"moved", 1), edit.content) for edit in many]
    return [
        Made(many, b"root"),
        Made([*heavy, write("limit", b"x" * 65_536), write("over", b"x" * 65_537), write("big", b"y" * 1_000_000)]),
        Made([delete("many"), *moved, write("big", b"z" * 1_000_001)], b"m" * 100_000),
        Made([delete("moved"), delete("heavy")]),
    ]


def long(commits: int) -> Iterator[Made]:
    """An ordinary history: a file or three a commit, among up to 2,000; a rename and a deletion now and then."""
    for number in range(commits):
        edits = [write(f"src/{n % 40}/{n}.py", f"{long_text(str(n))}# {number}\n") for n in _touched(number)]
        if number % 20 == 19:
            edits.append(delete(edits[0].path))
        yield Made(edits, b"commit %d" % number, EPOCH + number)


def _touched(number: int) -> Sequence[int]:
    return sorted({number * 7 % 2000, number * 13 % 2000, number % 50})[: 1 + number % 3]
