"""RESULTS.md: the table of one run of everything, and what explains each miss."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.machine import commit, machine

HERE = Path(__file__).parent
COLUMNS = ("name", "what", "target", "measured", "holds", "baseline", "ratio", "load", "pace")

Line = dict[str, Any]
"""One row as it is printed, ready for JSON."""


def write(lines: Sequence[Line]) -> None:
    """Writes the page; explanations of misses come from `misses.toml`."""
    (HERE / "RESULTS.md").write_text(render(lines), encoding="utf-8")


def render(lines: Sequence[Line]) -> str:
    """The page."""
    head = [
        "# Results",
        "",
        "Made by `benchmarks/run`; do not edit.",
        "Values are medians of several runs; each baseline was taken between them; load is the machine's one-minute "
        "average before the row. Pace is a fixed piece of Python, timed before the row: on a shared host it says how "
        "fast the processor was at that moment (see `benchmarks/machine.py`).",
        "",
        f"Machine: {machine()}. Date: {datetime.now(UTC):%Y-%m-%d %H:%M} UTC. Commit: {commit()}.",
        "",
        f"| {' | '.join(COLUMNS)} |",
        f"|{'---|' * len(COLUMNS)}",
    ]
    return "\n".join([*head, *map(_row, lines), "", *_numbers(lines), *_misses(lines)])


def _row(line: Line) -> str:
    unit = line["unit"]
    cells = (
        line["name"],
        line["what"],
        line["target"],
        line.get("reason") or f"{_text(line['value'])} {unit}",
        "yes" if line["holds"] else "**no**",
        f"{_text(line['baseline'])} {unit}: {line['baseline_what']}",
        _text(line["ratio"]),
        _text(line["load"]),
        f"{_text(line['pace_ms'])} ms",
    )
    return f"| {' | '.join(cells)} |"


def _text(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _numbers(lines: Sequence[Line]) -> list[str]:
    """The other numbers of each row."""
    listed = (f"- {line['name']}: {', '.join(f'{k} {v}' for k, v in line['extra'].items())}" for line in lines)
    return ["## Beside them", "", *listed, ""]


def _misses(lines: Sequence[Line]) -> list[str]:
    known = tomllib.loads((HERE / "misses.toml").read_text(encoding="utf-8"))
    missed = [line for line in lines if not line["holds"]]
    if not missed:
        return []
    listed = (f"- {line['name']}: {known.get(line['name'], 'not explained yet')}" for line in missed)
    return ["## Misses, and what the profiles say", "", *listed, ""]
