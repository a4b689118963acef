"""Applications of the tests, installed as pip would: every process that is given the path finds them."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).parents[1]


def install(site: Path, name: str, application: str) -> None:
    """Makes `module:attribute` the application of this name in the folder; in place of the one before."""
    info = site / f"{name}-1.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[lighthouse.applications]\n{name} = {application}\n")


def python_path(site: Path) -> str:
    """The PYTHONPATH with which a process finds what lies in the folder, and the modules of the tests."""
    return os.pathsep.join((str(site), str(ROOT)))
