"""Reading git: one `git log` for the history, one `git cat-file` for the contents, both in bounded memory.

Every option that a configuration could bend is pinned on the command line. The configuration itself is still read,
for that is where a person says which foreign repositories to trust (safe.directory).
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, TypeAlias

from bridge.errors import LighthouseError

_CHUNK = 64 * 1024
_ASKED_AT_ONCE = 64
"""Object ids written before their contents are read: well below what a pipe holds, so that writing never blocks."""

_LOG = (
    "log",
    *("--first-parent", "--diff-merges=first-parent", "--reverse", "--root"),
    *("--raw", "-z", "-M", "-l1000", "--no-abbrev", "--no-ext-diff", "--no-relative", "-O/dev/null"),
    *("--ignore-submodules=none", "--submodule=short"),
    *("--encoding=UTF-8", "--no-color", "--no-show-signature", "--no-notes", "--no-mailmap"),
    "--format=%x01%H%x00%P%x00%ct%x00%an%x00%ae%x00%B",
)

_SENTENCES = {
    "not a git repository": "{path} is not in a git repository",
    "dubious ownership": "git does not trust {path}, which belongs to another user; if you do, run "
    "`git config --global --add safe.directory {path}` and import again",
    "unrecognized argument": "git is too old to read this history: 2.31 or newer is needed",
}


Large: TypeAlias = Callable[[str, int, Iterable[bytes]], None]
"""Takes a content over the limit: its id, its size, its bytes in chunks."""


class GitError(LighthouseError):
    """git cannot be run, or the repository cannot be read."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One changed path of a commit. `status` is A, D, M, R or T; hash and mode are those after the change.

    `source` and `source_hash` are what a renamed file was before.
    """

    status: str
    path: bytes
    mode: str
    hash: str
    source: bytes = b""
    source_hash: str = ""


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit and how it differs from its first parent. `time` is the committer's date in seconds since 1970.

    Bytes of names and message that are no valid UTF-8 are written `\\xff`.
    """

    sha: str
    parents: tuple[str, ...]
    time: int
    author: str
    mail: str
    message: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Blob:
    """A content; None when it was larger than asked for."""

    size: int
    content: bytes | None


@dataclass(frozen=True)
class Repository:
    """A repository as it was found. `head` is the commit of HEAD, "" when there is none yet."""

    path: Path
    name: str
    head: str
    shallow: bool

    def count(self, after: str) -> int:
        """Commits on HEAD's first-parent history behind `after`; all of them when that is ""."""
        return int(_output(self.path, "rev-list", "--first-parent", "--count", self._range(after)))

    def has_commit(self, sha: str) -> bool:
        """Whether the commit is in the repository, on whatever branch."""
        return _run(self.path, "cat-file", "-e", f"{sha}^{{commit}}").returncode == 0

    def commits(self, after: str) -> Iterator[Commit]:
        """HEAD's first-parent history behind `after`, oldest first."""
        with tempfile.TemporaryFile() as errors, _start(self.path, (*_LOG, self._range(after)), errors) as log:
            yield from parse_log(_tokens(_pipe(log.stdout)))
            if log.wait() != 0:
                errors.seek(0)
                raise GitError(_sentence(self.path, errors.read()))

    @contextmanager
    def contents(self) -> Iterator[Contents]:
        """A reader of contents, for one thread at a time."""
        with _start(self.path, ("cat-file", "--batch"), subprocess.DEVNULL) as process:
            yield Contents(_pipe(process.stdin), _pipe(process.stdout))

    def _range(self, after: str) -> str:
        return f"{after}..{self.head}" if after else self.head


class Contents:
    """Contents by object id, through one `git cat-file --batch`."""

    def __init__(self, asked: IO[bytes], answers: IO[bytes]) -> None:
        self._asked = asked
        self._answers = answers

    def read(self, hashes: Sequence[str], limit: int, large: Large) -> list[Blob]:
        """The contents in the order asked for; one over `limit` bytes goes to `large`."""
        blobs: list[Blob] = []
        for start in range(0, len(hashes), _ASKED_AT_ONCE):
            some = hashes[start : start + _ASKED_AT_ONCE]
            self._asked.write("".join(f"{hash}\n" for hash in some).encode())
            self._asked.flush()
            blobs.extend(self._answer(hash, limit, large) for hash in some)
        return blobs

    def _answer(self, hash: str, limit: int, large: Large) -> Blob:
        size = self._size(hash)
        if size <= limit:
            content = self._answers.read(size + 1)[:-1]
            return Blob(size, content)
        chunks = self._chunks(size)
        large(hash, size, chunks)
        for _ in chunks:
            pass  # the answers come one behind the other: what was not taken would be read as the next one
        self._answers.read(1)
        return Blob(size, None)

    def _size(self, hash: str) -> int:
        _, kind, *size = self._answers.readline().decode().split() or ("", "missing")
        if kind != "blob":
            raise GitError(f"the repository has no content {hash}: it is a partial clone, or damaged (see `git fsck`)")
        return int(size[0])

    def _chunks(self, size: int) -> Iterator[bytes]:
        while size:
            chunk = self._answers.read(min(size, _CHUNK))
            if not chunk:
                raise GitError("git stopped in the middle of a content")
            size -= len(chunk)
            yield chunk


def open_repository(path: Path) -> Repository:
    """The repository that the directory lies in; a bare one, a worktree and a shallow clone are fine.

    Raises GitError when there is none, git is missing, or git does not trust it.
    """
    if not path.is_dir():
        raise GitError(f"{path} is not a directory")
    asked = ("rev-parse", "--is-inside-work-tree", "--is-shallow-repository", "--absolute-git-dir")
    inside, shallow, git_dir = _output(path, *asked).split("\n", 2)
    top = _output(path, "rev-parse", "--show-toplevel") if inside == "true" else git_dir.removesuffix("/.git")
    head = _run(path, "rev-parse", "--verify", "--quiet", "HEAD^{commit}").stdout.decode().strip()
    return Repository(path, Path(top).name.removesuffix(".git"), head, shallow == "true")


def parse_log(tokens: Iterator[bytes]) -> Iterator[Commit]:
    """Reads the output of `_LOG`, cut at its zero bytes.

    A commit is \\1 and its id, five more fields, then its entries; the first entry follows a line feed.
    """
    token = next(tokens, None)
    while token is not None:
        parents, time, author, mail, message = islice(tokens, 5)
        entries: list[Entry] = []
        sha, token = token[1:], next(tokens, None)
        while token is not None and not token.startswith(b"\1"):
            entries.append(_entry(token.removeprefix(b"\n"), tokens))
            token = next(tokens, None)
        yield Commit(
            sha=sha.decode(),
            parents=tuple(parents.decode().split()),
            time=int(time or 0),
            author=_text(author),
            mail=_text(mail),
            message=_text(message),
            entries=tuple(entries),
        )


def _entry(raw: bytes, tokens: Iterator[bytes]) -> Entry:
    """Reads `:100644 100755 <hash> <hash> M`, the path behind it, and the second path of a rename."""
    _, mode, source_hash, hash, status = raw.decode().split(" ")
    path = next(tokens)
    if status[0] == "R":
        return Entry("R", next(tokens), mode, hash, path, source_hash)
    return Entry(status[0], path, mode, hash)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")


def _tokens(stream: IO[bytes]) -> Iterator[bytes]:
    rest = b""
    while chunk := stream.read(_CHUNK):
        *whole, rest = (rest + chunk).split(b"\0")
        yield from whole


def _output(path: Path, *arguments: str) -> str:
    done = _run(path, *arguments)
    if done.returncode != 0:
        raise GitError(_sentence(path, done.stderr))
    return os.fsdecode(done.stdout).removesuffix("\n")


def _run(path: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    with _git_found():
        return subprocess.run(_command(path, arguments), env=_environment(), capture_output=True, check=False)


@contextmanager
def _start(path: Path, arguments: Sequence[str], errors: IO[bytes] | int) -> Iterator[subprocess.Popen[bytes]]:
    """A git process that ends with the block, however that is left."""
    pipe = subprocess.PIPE
    with _git_found():
        process = subprocess.Popen(
            _command(path, arguments), env=_environment(), stdin=pipe, stdout=pipe, stderr=errors, bufsize=_CHUNK
        )
    with process:
        try:
            yield process
        finally:
            process.kill()


def _command(path: Path, arguments: Sequence[str]) -> list[str]:
    return ["git", "-C", str(path), *arguments]


@contextmanager
def _git_found() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise GitError("git is not installed, or not on the PATH") from error


def _environment() -> dict[str, str]:
    """The caller's, without what would point git at another repository (a hook sets GIT_DIR) or change its answers."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") or "CONFIG_" in name}
    pinned = {"LC_ALL": "C", "GIT_NO_REPLACE_OBJECTS": "1", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
    return kept | pinned


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None, "the process was started with pipes"
    return stream


def _sentence(path: Path, errors: bytes) -> str:
    said = _text(errors).strip()
    for sign, sentence in _SENTENCES.items():
        if sign in said:
            return sentence.format(path=path)
    return f"git cannot read {path}: {said.removeprefix('fatal: ')}"
