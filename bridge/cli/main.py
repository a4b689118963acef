"""`lighthouse`: the command line, a function a verb. An error of ours is a sentence and exit code 1."""

from __future__ import annotations

import logging
import sys

import structlog
import typer
from rich.markup import escape

from bridge.application import registered
from bridge.cli import admin, doctor, local, produce, projections, reactors, read, replay, settings, store, streams, up
from bridge.cli.console import err
from bridge.errors import LighthouseError

EPILOG = "Every setting is an environment variable LIGHTHOUSE_…: see docs/settings.md."

VERBS = (
    up.up,
    local.down,
    local.status,
    doctor.doctor,
    produce.produce,
    read.events,
    read.state,
    read.diff,
    replay.replay,
    settings.settings,
)


def build() -> typer.Typer:
    """The command line with the commands of every registered application."""
    app = typer.Typer(
        name="lighthouse",
        help="Event sourcing on Apache Kafka: append, travel in time, replay, scale.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        epilog=EPILOG,
    )
    for verb in VERBS:
        app.command()(verb)
    app.add_typer(admin.topics, name="topics")
    app.add_typer(admin.schemas, name="schemas")
    app.add_typer(streams.app, name="streams")
    app.add_typer(store.app, name="store")
    app.add_typer(projections.app, name="projections")
    app.add_typer(reactors.app, name="reactors")
    for commands in registered().commands:
        app.registered_commands += commands().registered_commands
    return app


def main() -> None:
    """The entry point of the console script."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    try:
        build()()
    except LighthouseError as error:
        err.print(f"[red]{escape(str(error))}[/red]")
        sys.exit(1)
