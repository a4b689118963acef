"""What the commands share by which a person decides something of a projection or a reactor."""

from __future__ import annotations

import getpass
from collections.abc import Awaitable, Callable

from bridge.cli.console import out, with_platform, write_json
from bridge.events import Appended
from bridge.handle import Context
from bridge.log.ids import draw
from bridge.wiring import Platform


def decided(decide: Callable[[Platform, Context], Awaitable[Appended]], json: bool) -> None:
    """Decides, as the user of this machine, and says what came of it."""
    appended = with_platform(lambda platform: decide(platform, decider()))
    known = appended.last_version < appended.first_version
    if json:
        write_json({"stream": appended.stream, "version": appended.last_version, "known": known})
        return
    out.print("that was decided before" if known else f"decided: {appended.stream} {appended.last_version}")


def decider() -> Context:
    """Who decides by the command line: the user of this machine."""
    return Context(getpass.getuser(), key=draw())
