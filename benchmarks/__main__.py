"""`benchmarks/run [NAME…]`: measures the named rows, or all of them and writes RESULTS.md; one JSON line a row."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import structlog
import uvloop

from benchmarks.figure import Measured, NotMeasured
from benchmarks.machine import load, pace
from benchmarks.results import Line, write
from benchmarks.rows import ROWS, Row
from benchmarks.servers import Servers


def main(arguments: Sequence[str]) -> int:
    """The exit code is 0 also where a target is missed; 2 for a name that is not known."""
    parser = argparse.ArgumentParser(prog="benchmarks/run", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[[], *ROWS], help="rows; none for all of them")
    parser.add_argument("--list", action="store_true", help="name the rows")
    asked = parser.parse_args(arguments)
    if asked.list:
        print("\n".join(f"{name:20} {row.what}: {row.target}" for name, row in ROWS.items()))
        return 0
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    lines = uvloop.run(measure(asked.names or list(ROWS)))
    if not asked.names:
        write(lines)
    return 0


async def measure(names: Sequence[str]) -> list[Line]:
    """Measures the rows one after the other, on servers that are stopped at the end."""
    with tempfile.TemporaryDirectory(prefix="lighthouse-bench-") as directory:
        servers = Servers(Path(directory))
        try:
            return [await _line(name, ROWS[name], servers) for name in names]
        finally:
            await asyncio.to_thread(servers.close)


async def _line(name: str, row: Row, servers: Servers) -> Line:
    before, speed = load(), pace()
    try:
        line = _found(name, row, await row.measure(servers))
    except NotMeasured as error:
        line = {**_empty(name, row), "reason": str(error)}
    line |= {"load": before, "pace_ms": speed}
    print(json.dumps(line), flush=True)
    return line


def _found(name: str, row: Row, found: Measured) -> Line:
    known = {target.number: found.number(target.number) for target in row.targets}
    holds = all((value := known[each.number]) is not None and each.holds(value) for each in row.targets)
    return {
        **_empty(name, row),
        "value": round(found.value, 3),
        "holds": holds,
        "baseline": None if found.baseline is None else round(found.baseline, 3),
        "ratio": None if found.ratio is None else round(found.ratio, 3),
        "extra": found.extra,
    }


def _empty(name: str, row: Row) -> Line:
    texts = {"unit": row.unit, "what": row.what, "target": row.target, "baseline_what": row.baseline}
    return {"name": name, "value": None, "holds": False, "baseline": None, "ratio": None, "extra": {}, **texts}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
