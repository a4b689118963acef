"""`python -m tests.simulation SEED…` plays seeds again and tells what happened; `--from A --to B` plays many."""

from __future__ import annotations

import argparse
import sys

import structlog

from tests.simulation.mutations import MUTATIONS
from tests.simulation.seed import SEEDS, Violation, first, kind_of, simulate

MOST = 160
"""Characters of what a planted bug was found by."""


def main() -> int:
    """The exit code is 1 where an invariant did not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("seeds", nargs="*", type=int, metavar="SEED")
    parser.add_argument("--from", dest="first", type=int, default=0)
    parser.add_argument("--to", dest="stop", type=int, default=0)
    parser.add_argument("--planted", action="store_true", help="tell which seed is the first to find each planted bug")
    asked = parser.parse_args()
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    if asked.planted:
        return planted()
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


def planted() -> int:
    """Tells of each planted bug which seed is the first to find it, and by what; 1 where one is not found."""
    missed = 0
    for mutation in MUTATIONS:
        with mutation.planted():
            found = first(SEEDS)
        missed += found is None
        why = "not found" if found is None else f"{found}".partition("\n")[0]
        sys.stdout.write(f"{mutation.what}\n  {why[:MOST]}\n")
    return min(missed, 1)


if __name__ == "__main__":
    sys.exit(main())
