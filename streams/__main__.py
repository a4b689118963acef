"""`python -m streams [--instances N]`: processors and reactors, a process each, until a signal ends them.

`--role processor` or `--role reactors` runs just one of them in this process.
"""

from __future__ import annotations

import argparse
import sys

import uvloop

from bridge.errors import LighthouseError
from bridge.settings import Settings
from streams import supervisor
from streams.main import ROLES, main


def run(arguments: list[str]) -> int:
    """Runs what the arguments ask for; answers the exit code."""
    parser = argparse.ArgumentParser(prog="python -m streams", description=__doc__)
    parser.add_argument("--instances", type=int, default=1, help="number of processors, each a process")
    parser.add_argument("--role", choices=sorted(ROLES), help="run only this, in this process")
    asked = parser.parse_args(arguments)
    try:
        if asked.role is None:
            return supervisor.run(asked.instances, lambda line: sys.stderr.write(f"{line}\n"))
        uvloop.run(main(Settings(), asked.role))
    except LighthouseError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
