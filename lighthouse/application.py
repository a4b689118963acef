"""What the Lighthouse registers with the platform (entry point `lighthouse.applications`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bridge.application import Application, Bookmark
from lighthouse.listing import lines
from lighthouse.project import project
from lighthouse.view import views


def _commands() -> Any:
    from lighthouse.commands import commands

    return commands


application = Application(
    name="lighthouse",
    schemas=Path(__file__).parent.parent / "schemas",
    deciders=(project,),
    bookmarks=(Bookmark("project", "commit", "CommitRecorded", "sha"),),
    listings={"project": lines},
    views=views,
    commands=_commands,
)
