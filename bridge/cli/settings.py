"""`settings`: every setting with its value here, passwords apart, its default and what it does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from bridge.cli.console import JsonFlag, write_json, write_table
from bridge.settings import Settings
from bridge.urls import without_secret

PREFIX = "LIGHTHOUSE_"


def settings(
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the page docs/settings.md.")] = False,
    json: JsonFlag = False,
) -> None:
    """List every setting, an environment variable each, with its value here."""
    if markdown:
        typer.echo("\n".join(page()))
        return
    here = Settings()
    values = {name: without_secret(str(getattr(here, field))) for field, name, _, _ in _fields()}
    rows = [{"name": name, "value": values[name], "meaning": text} for _, name, _, text in _fields()]
    if json:
        write_json(rows)
    else:
        write_table(("name", "value", "meaning"), (tuple(row.values()) for row in rows), wrap=True)


def page() -> Iterator[str]:
    """The lines of docs/settings.md."""
    yield "# Settings"
    yield ""
    yield "Each is an environment variable; `lighthouse settings` shows the values in force, without passwords."
    yield "Times are in seconds."
    yield ""
    yield "| variable | default | meaning |"
    yield "|---|---|---|"
    for _, name, default, text in _fields():
        yield f"| `{name}` | `{default}` | {text} |" if default not in ("", None) else f"| `{name}` | | {text} |"


def _fields() -> Iterator[tuple[str, str, Any, str]]:
    for field, info in Settings.model_fields.items():
        yield field, PREFIX + field.upper(), info.default, info.description or ""
