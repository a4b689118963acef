"""The course of a soak as one picture: memory, open files, lag and latency over time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pygal
from pygal.style import CleanStyle

if TYPE_CHECKING:
    from tests.campaign.soak import Sample

WIDTH, HEIGHT = 900, 260


def draw(samples: Sequence[Sample], file: Path) -> None:
    """Writes an SVG with four charts below each other."""
    names = sorted(samples[-1].memory) if samples else []
    charts = [
        _chart("Memory, MiB", {name: _line(samples, lambda one, n=name: one.memory.get(n)) for name in names}),
        _chart("Open files", {name: _line(samples, lambda one, n=name: one.handles.get(n)) for name in names}),
        _chart("Lag, records", {"all partitions": _line(samples, lambda one: one.lag)}),
        _chart(
            "Latency of appends, ms",
            {name: _line(samples, lambda one, n=name: getattr(one, n)) for name in ("p50", "p99")},
        ),
    ]
    parts = [
        f'<svg x="0" y="{number * HEIGHT}" width="{WIDTH}" height="{HEIGHT}">{chart}</svg>'
        for number, chart in enumerate(charts)
    ]
    size = f'width="{WIDTH}" height="{HEIGHT * len(charts)}"'
    file.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{"".join(parts)}</svg>\n')


def _line(samples: Sequence[Sample], value: Any) -> list[tuple[float, float | None]]:
    return [(one.seconds / 60, value(one)) for one in samples]


def _chart(title: str, lines: dict[str, list[tuple[float, float | None]]]) -> str:
    chart = pygal.XY(
        width=WIDTH,
        height=HEIGHT,
        title=title,
        x_title="minutes",
        style=CleanStyle(background="white", plot_background="white"),
        show_dots=False,
        js=[],
        include_x_axis=False,
        disable_xml_declaration=True,
    )
    for name, points in lines.items():
        chart.add(name, points)
    told: str = chart.render(is_unicode=True)
    return told
