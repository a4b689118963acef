"""`python -m tests.simulation SEED…` plays seeds again and tells what happened; `--from A --to B` plays many."""

from __future__ import annotations

import argparse
import sys

import structlog

from tests.simulation.seed import Violation, kind_of, simulate


def main() -> int:
    """The exit code is 1 where an invariant did not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("seeds", nargs="*", type=int, metavar="SEED")
    parser.add_argument("--from", dest="first", type=int, default=0)
    parser.add_argument("--to", dest="stop", type=int, default=0)
    asked = parser.parse_args()
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    for seed in [*asked.seeds, *range(asked.first, asked.stop)]:
        try:
            moves = simulate(seed)
        except Violation as found:
            sys.stdout.write(f"{found}\n")
            return 1
        if asked.seeds:
            sys.stdout.write(f"seed {seed} ({kind_of(seed).name})\n")
            sys.stdout.write("".join(f"{name}{arguments}\n" for name, arguments in moves))
    sys.stdout.write("every invariant held\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
