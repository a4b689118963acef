"""A repository's history into a project's stream: first parents only, oldest first, one append a commit.

Each append is keyed by its commit, so an import that was killed is simply run again: it goes on behind the last commit
that the stream holds in full, and what it sends twice is answered as a duplicate.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import stamina

from bridge.errors import Refused, Unavailable, Unknown
from bridge.events import Appended
from bridge.handle import Commands, Context
from lighthouse.ahead import read_ahead
from lighthouse.blobs import Blobs
from lighthouse.commits import MAX_BYTES, Part, parts
from lighthouse.git import Contents, GitError, Repository
from lighthouse.project.commands import RecordCommit
from lighthouse.project.content import MAX_FILE_BYTES, MAX_INLINE_BYTES
from lighthouse.project.state import Project

Progress = Callable[[int, int], None]
"""Called after each commit with the number of commits done and the number of all that were to do."""

_PATIENCE = 60.0
"""Seconds in which a commit that could not be written, or whose outcome is not known, is sent again."""


class HistoryRewritten(GitError):
    """What was imported last is not on HEAD's first-parent history; going on would mix two histories."""


class States(Protocol):
    """The read side as the import needs it."""

    async def state(self, stream: str) -> Project | None:
        """The stream's state after every append that was answered before; None for a stream without events."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where an import goes."""

    commands: Commands
    states: States
    blobs: Blobs


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did. `commits` and `events` are new ones, `clamped` the commits dated in the future."""

    stream: str
    head: str
    commits: int
    events: int
    clamped: int
    shallow: bool
    seconds: float


def now_in_microseconds() -> int:
    """The time, as events tell it."""
    return time.time_ns() // 1_000


async def import_git(
    repository: Repository,
    stream: str,
    target: Target,
    progress: Progress = lambda done, total: None,
    now: Callable[[], int] = now_in_microseconds,
) -> Imported:
    """Imports what is new on HEAD.

    Raises HistoryRewritten before anything is written, GitError when git fails, and what Commands.execute raises;
    Unavailable and Unknown only after a minute in which the same append was sent again and again.
    """
    started = time.perf_counter()
    project = await target.states.state(stream)
    after = project.commit if project else ""
    total = await asyncio.to_thread(_behind, repository, after)
    tally = _Tally()
    with repository.contents() as contents:
        async with aclosing(_read(repository, after, contents, target.blobs)) as history:
            async for part in history:
                context = Context(actor=part.actor, key=part.key, time=min(part.time, now()))
                tally.count(part, context, await _execute(target.commands, stream, part.command, context))
                progress(tally.commits, total)
    seconds = time.perf_counter() - started
    return Imported(stream, repository.head, tally.commits, tally.events, tally.clamped, repository.shallow, seconds)


@dataclass
class _Tally:
    commits: int = 0
    events: int = 0
    clamped: int = 0

    def count(self, part: Part, context: Context, answer: Appended) -> None:
        self.commits += part.command.last
        self.clamped += part.command.last and part.time != context.time
        self.events += 0 if answer.duplicate else answer.last_version - answer.first_version + 1


def _behind(repository: Repository, after: str) -> int:
    """How many commits there are to import behind `after`."""
    if after and not (repository.head and repository.has_commit(after)):
        raise _rewritten(repository, after)
    total = repository.count(after) if repository.head else 0
    if total == 0 and after != repository.head:
        raise _rewritten(repository, after)
    return total


def _rewritten(repository: Repository, after: str) -> HistoryRewritten:
    return HistoryRewritten(
        f"commit {after}, the last one imported, is not on the first-parent history of HEAD in {repository.path}: "
        "the history was rewritten, or another branch is checked out. Import it under another --name"
    )


def _read(repository: Repository, after: str, contents: Contents, blobs: Blobs) -> AsyncGenerator[Part, None]:
    return read_ahead(_parts(repository, after, contents, blobs), lambda part: part.weight, MAX_BYTES)


def _parts(repository: Repository, after: str, contents: Contents, blobs: Blobs) -> Generator[Part, None, None]:
    """Runs in a thread. A large content is in the blob store before the event that names it is sent."""
    read = partial(contents.read, limit=MAX_INLINE_BYTES, large=partial(_keep, blobs))
    parent = after
    for commit in repository.commits(after) if repository.head else ():
        if parent and commit.parents[:1] != (parent,):
            raise _rewritten(repository, after)
        yield from parts(commit, read)
        parent = commit.sha


def _keep(blobs: Blobs, hash: str, size: int, chunks: Iterable[bytes]) -> None:
    """What is too large for a project is not even stored; rule P2 then refuses its commit."""
    if size <= MAX_FILE_BYTES:
        blobs.put(hash, size, chunks)


async def _execute(commands: Commands, stream: str, command: RecordCommit, context: Context) -> Appended:
    try:
        return await _patiently(partial(commands.execute, stream, command, context))
    except Refused as refused:
        raise Refused(refused.rule, f"commit {command.sha} cannot be recorded: {refused}") from refused


@stamina.retry(on=(Unavailable, Unknown), attempts=None, timeout=_PATIENCE)
async def _patiently(send: Callable[[], Awaitable[Appended]]) -> Appended:
    return await send()
