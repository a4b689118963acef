"""A project's file tree, and the fold that leads to it."""

from __future__ import annotations

from dataclasses import dataclass, field

from immutables import Map

from lighthouse.project.events import (
    CommitRecorded,
    Event,
    FileCreated,
    FileDeleted,
    FileModified,
    FileMoved,
    ProtectionChanged,
)


@dataclass(frozen=True, slots=True)
class File:
    """What lies at a path: git object id, size in bytes (0 for a submodule) and mode in git's octal notation."""

    hash: str
    size: int
    mode: str


@dataclass(frozen=True, slots=True)
class Project:
    """The tree as of a version. `commit` is the last one recorded in full, "" before the first."""

    files: Map[str, File] = field(default_factory=Map)
    protected: tuple[str, ...] = ()
    commit: str = ""


def evolve(project: Project, event: Event) -> Project:
    """Total: events that were appended past the rules are folded to the tree that they most plainly mean."""
    match event:
        case FileCreated() | FileModified():
            return _with(project, project.files, event)
        case FileMoved():
            return _with(project, _without(project.files, event.source), event)
        case FileDeleted():
            return Project(_without(project.files, event.path), project.protected, project.commit)
        case CommitRecorded():
            return Project(project.files, project.protected, event.sha)
        case ProtectionChanged():
            return Project(project.files, tuple(event.prefixes), project.commit)


def _with(project: Project, files: Map[str, File], event: FileCreated | FileModified | FileMoved) -> Project:
    file = File(event.hash, event.size, event.mode)
    return Project(files.set(event.path, file), project.protected, project.commit)


def _without(files: Map[str, File], path: str) -> Map[str, File]:
    return files.delete(path) if path in files else files
