"""`benchmarks/run [NAME…]`: measures the named rows, or all of them and writes RESULTS.md; one JSON line a row.

A whole run keeps its lines in build/benchmarks.jsonl: `--resume` takes those of this commit from there, for an hour and
a half is long. A row that fails says why in its line, and the others go on.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

import structlog
import uvloop

from benchmarks.figure import Measured, NotMeasured
from benchmarks.machine import commit, load, pace
from benchmarks.results import Line, write
from benchmarks.rows import ROWS, Row
from benchmarks.servers import Servers

KEPT = Path("build/benchmarks.jsonl")


def main(arguments: Sequence[str]) -> int:
    """The exit code is 0 also where a target is missed; 1 where a row has failed, 2 for a name that is not known."""
    parser = argparse.ArgumentParser(prog="benchmarks/run", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[[], *ROWS], help="rows; none for all of them")
    parser.add_argument("--list", action="store_true", help="name the rows")
    parser.add_argument("--resume", action="store_true", help="do not measure again what this commit has measured")
    asked = parser.parse_args(arguments)
    if asked.list:
        print("\n".join(f"{name:20} {row.what}: {row.target}" for name, row in ROWS.items()))
        return 0
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    whole = not asked.names
    if whole and not asked.resume:
        KEPT.unlink(missing_ok=True)
    lines = uvloop.run(measure(asked.names or list(ROWS), _kept() if whole else {}, whole))
    if whole:
        write(lines)
    return int(any(line.get("failed") for line in lines))


def _kept() -> dict[str, Line]:
    """The rows that this commit has measured before, by their names."""
    if not KEPT.is_file():
        return {}
    lines: list[Line] = [json.loads(line) for line in KEPT.read_text(encoding="utf-8").splitlines()]
    return {line["name"]: line for line in lines if line["commit"] == commit() and not line.get("failed")}


def _keep(line: Line) -> None:
    KEPT.parent.mkdir(exist_ok=True)
    with KEPT.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line | {"commit": commit()}) + "\n")


async def measure(names: Sequence[str], kept: Mapping[str, Line], keep: bool) -> list[Line]:
    """Measures the rows one after the other, but for those that are kept, on servers that are stopped at the end."""
    lines = []
    with tempfile.TemporaryDirectory(prefix="lighthouse-bench-") as directory:
        servers = Servers(Path(directory))
        try:
            for name in names:
                line = kept.get(name) or await _line(name, ROWS[name], servers)
                if keep and name not in kept:
                    _keep(line)
                lines.append(line)
        finally:
            await asyncio.to_thread(servers.close)
    return lines


async def _line(name: str, row: Row, servers: Servers) -> Line:
    before, speed = load(), pace()
    try:
        line = _found(name, row, await row.measure(servers))
    except NotMeasured as error:
        line = {**_empty(name, row), "reason": str(error)}
    except Exception as error:
        traceback.print_exc()
        line = {**_empty(name, row), "reason": f"failed: {error!r}", "failed": True}
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
