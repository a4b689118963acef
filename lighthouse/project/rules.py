"""The rules of a project.

P1  a path lies in the project and is written in the one way that `paths` allows; `.git` is no part of it
P2  a file has at most 100 MB
P3  a new path is free: no file lies there, above it or below it
P4  what is modified, moved or deleted exists
P5  nothing at or below a protected path changes
P6  content, hash, size and mode agree, and content up to 64 KiB is inline
P7  a commit follows the one that was recorded last
P8  a commit names what becomes of a path once
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from immutables import Map

from bridge.decider import Refused
from lighthouse.project.commands import (
    Command,
    CreateFile,
    DeleteFile,
    ModifyFile,
    Move,
    MoveFile,
    Protect,
    RecordCommit,
    Write,
)
from lighthouse.project.content import MODES, check_content, is_object_id, object_id
from lighthouse.project.events import (
    CommitRecorded,
    Event,
    FileCreated,
    FileDeleted,
    FileModified,
    FileMoved,
    ProtectionChanged,
)
from lighthouse.project.paths import ancestors, directories, is_canonical, is_inside
from lighthouse.project.state import File, Project


def decide(command: Command, project: Project) -> Sequence[Event]:
    """Refuses by P1-P8, as the head of this module has them."""
    match command:
        case RecordCommit():
            return _record(command, project)
        case CreateFile():
            return [_create(_write(command), project)]
        case ModifyFile():
            return [_modify(_write(command), project)]
        case MoveFile():
            return [_move(command, project)]
        case DeleteFile(path):
            _touch(project, path)
            _exists(project, path)
            return [FileDeleted(path)]
        case Protect(prefixes):
            return _protect(prefixes, project)


# one file


def _write(command: CreateFile | ModifyFile) -> Write:
    if command.content is None or command.hash:
        return Write(command.path, command.hash, command.size, command.mode, command.content)
    return Write(command.path, object_id(command.content), len(command.content), command.mode, command.content)


def _create(write: Write, project: Project) -> FileCreated:
    _touch(project, write.path)
    check_content(write)
    _free(project.files, (write.path,))
    return FileCreated(write.path, write.hash, write.size, write.mode, write.content)


def _modify(write: Write, project: Project) -> FileModified:
    _touch(project, write.path)
    _exists(project, write.path)
    check_content(write)
    return FileModified(write.path, write.hash, write.size, write.mode, write.content)


def _move(command: MoveFile, project: Project) -> FileMoved:
    _touch(project, command.source, command.path)
    _exists(project, command.source)
    _free(project.files.delete(command.source), (command.path,))
    file = project.files[command.source]
    return FileMoved(command.source, command.path, file.hash, file.size, file.mode, None)


def _protect(prefixes: Iterable[str], project: Project) -> list[Event]:
    wanted = tuple(sorted({prefix.removesuffix("/") for prefix in prefixes}))
    _inside(*wanted)
    return [] if wanted == project.protected else [ProtectionChanged(wanted)]


# a commit


def _record(commit: RecordCommit, project: Project) -> list[Event]:
    _follows(commit, project)
    _named_once(commit)
    sources = [move.source for move in commit.moved]
    _touch(project, *commit.deleted, *sources, *_targets(commit))
    _exists(project, *commit.deleted, *sources)
    left = _leave(project.files, (*commit.deleted, *sources))
    _free(left, _new(commit, left))
    events = list(_changes(commit, project, left))
    return [*events, CommitRecorded(commit.sha, commit.message)] if commit.last else events


def _targets(commit: RecordCommit) -> Iterator[str]:
    yield from (move.path for move in commit.moved)
    yield from (write.path for write in commit.written)


def _new(commit: RecordCommit, left: Map[str, File]) -> Iterator[str]:
    yield from (move.path for move in commit.moved)
    yield from (write.path for write in commit.written if write.path not in left)


def _leave(files: Map[str, File], gone: Iterable[str]) -> Map[str, File]:
    with files.mutate() as left:
        for path in gone:
            del left[path]
    return left.finish()


def _changes(commit: RecordCommit, project: Project, left: Map[str, File]) -> Iterator[Event]:
    """In an order in which each event can be folded by itself: away, then moves, then what arrives.

    A move to a place that another move leaves (two files that swap their names) becomes a deletion and a creation.
    """
    deleted = set(commit.deleted)
    tangled = [move for move in commit.moved if move.path in project.files and move.path not in deleted]
    clear = [move for move in commit.moved if move not in tangled]
    yield from (FileDeleted(path) for path in commit.deleted)
    yield from (FileDeleted(move.source) for move in tangled)
    yield from (_moved(move, project) for move in clear)
    yield from (_arrive(Write(m.path, m.hash, m.size, m.mode, m.content), left) for m in tangled)
    yield from (_arrive(write, left) for write in commit.written)


def _moved(move: Move, project: Project) -> FileMoved:
    before = project.files[move.source]
    unchanged = (move.hash, move.size) == (before.hash, before.size) and move.mode in MODES
    if move.content is not None or not unchanged:
        check_content(Write(move.path, move.hash, move.size, move.mode, move.content))
    return FileMoved(move.source, move.path, move.hash, move.size, move.mode, move.content)


def _arrive(write: Write, left: Map[str, File]) -> FileCreated | FileModified:
    check_content(write)
    kind = FileModified if write.path in left else FileCreated
    return kind(write.path, write.hash, write.size, write.mode, write.content)


# the rules


def _touch(project: Project, *paths: str) -> None:
    _inside(*paths)
    for prefix in project.protected:
        for path in paths:
            if path == prefix or path.startswith(f"{prefix}/"):
                raise Refused("P5", f"{path!r} is protected: nothing at or below {prefix!r} may change")


def _inside(*paths: str) -> None:
    for path in paths:
        if not is_inside(path):
            raise Refused("P1", f"{path!r} is no path in a project: relative, without '.', '..', '.git' or empty parts")
        if not is_canonical(path):
            raise Refused("P1", rf"{path!r} is not written as paths are: \\ for a backslash, \xff for a byte not UTF-8")


def _exists(project: Project, *paths: str) -> None:
    for path in paths:
        if path not in project.files:
            raise Refused("P4", f"there is no file {path!r}")


def _free(files: Map[str, File], paths: Iterable[str]) -> None:
    """`files` are those that stay, `paths` those that come; reads all that stay, about 0.05 µs a file."""
    for problem in _collisions(files, set(paths)):
        raise Refused("P3", problem)


def _collisions(files: Map[str, File], coming: set[str]) -> Iterator[str]:
    yield from (f"{path!r} exists already" for path in coming if path in files)
    for path in coming:
        for above in ancestors(path):
            if above in files or above in coming:
                yield f"{path!r} cannot lie below {above!r}, which is a file"
    if coming:
        yield from (f"{path!r} exists already, as a directory" for path in directories(coming, files))


def _follows(commit: RecordCommit, project: Project) -> None:
    if not is_object_id(commit.sha):
        raise Refused("P7", f"{commit.sha!r} is no commit's id: 40 or 64 hexadecimal digits")
    if commit.parent != project.commit:
        last, parent = project.commit or "nothing", commit.parent or "nothing"
        raise Refused("P7", f"commit {commit.sha} follows {parent}, but {last} was recorded last")


def _named_once(commit: RecordCommit) -> None:
    becomes = Counter([*commit.deleted, *_targets(commit)])
    leaves = Counter([*commit.deleted, *(move.source for move in commit.moved)])
    for path, times in (becomes | leaves).items():
        if times > 1:
            raise Refused("P8", f"commit {commit.sha} names {path!r} {times} times")
