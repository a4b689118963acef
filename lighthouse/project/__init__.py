"""Projects: a stream `project/<name>` is the history of one file tree.

Read in this order: `events`, `state` (the fold), `commands`, `rules` (P1-P8), `paths` (bytes as text).
"""

from __future__ import annotations

from bridge.decider import Decider
from lighthouse.project.commands import COMMANDS, Command
from lighthouse.project.events import EVENTS, Event
from lighthouse.project.rules import decide
from lighthouse.project.state import Project, evolve

__all__ = ["project"]

project: Decider[Command, Project, Event] = Decider(
    category="project",
    version=1,
    initial=Project(),
    state=Project,
    decide=decide,
    evolve=evolve,
    commands=COMMANDS,
    events=EVENTS,
)
