"""Imports point one way (DESIGN 3), and nothing pure reaches for Kafka, a store, FastAPI or a clock."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = ("bridge", "streams", "lighthouse")

LEVELS: list[set[str]] = [
    {"bridge.errors", "bridge.collector", "bridge.opaque", "bridge.urls"},
    {"bridge.events", "bridge.decider", "bridge.upcast", "bridge.settings", "bridge.times"},
    {"bridge.reactions", "bridge.timings", "bridge.states"},
    {"bridge.projection", "bridge.decisions", "bridge.views", "bridge.commands"},
    {"bridge.builtin", "bridge.reactor", "bridge.timer"},
    {"bridge.cache", "bridge.application"},
    {"bridge.typed"},
    {"bridge.log", "bridge.store"},
    {"bridge.hot"},
    {"bridge.spaces", "bridge.system", "bridge.ticks"},
    {"bridge.history", "bridge.query", "bridge.survey"},
    {"bridge.feed", "bridge.workload"},
    {"bridge.handle", "bridge.present", "bridge.present_reactors", "bridge.local"},
    {"bridge.steering"},
    {"bridge.wiring"},
    {"bridge.repartition"},
    {"bridge.api", "bridge.ui", "bridge.cli", "streams"},
]
"""Lowest first: a room imports itself and what lies below, never its neighbours."""

NEIGHBOURS = {("bridge.cli", "streams"), ("bridge.api", "bridge.ui")}
"""`lighthouse streams` starts the processors; the API's application serves the pages, which know nothing of it."""

LOCAL_KNOWS = {"bridge.errors", "bridge.settings"}

IMPURE = {
    "aiokafka",
    "asyncio",
    "confluent_kafka",
    "fastapi",
    "httpx",
    "lmdb",
    "os",
    "alembic",
    "asyncpg",
    "sqlalchemy",
    "random",
    "redis",
    "secrets",
    "socket",
    "starlette",
    "subprocess",
    "threading",
    "time",
    "bridge.store.factory",
    "bridge.store.lmdb_store",
    "bridge.store.memory",
    "bridge.store.postgres",
    "bridge.store.redis",
    "bridge.wiring",
}
PARTITIONER = "aiokafka.partitioner"
"""One pure function of Kafka's: murmur2."""

PURE = {
    "bridge.errors",
    "bridge.events",
    "bridge.decider",
    "bridge.builtin",
    "bridge.times",
    "bridge.commands",
    "bridge.decisions",
    "bridge.projection",
    "bridge.reactions",
    "bridge.reactor",
    "bridge.timer",
    "bridge.timings",
    "bridge.upcast",
    "bridge.states",
    "bridge.typed",
    "bridge.cache",
    "bridge.feed.filters",
    "bridge.log.record",
    "bridge.log.admission",
    "bridge.log.avro",
    "bridge.log.envelope",
    "bridge.log.compose",
    "bridge.log.defaults",
    "bridge.log.newest",
    "bridge.store.contract",
    "bridge.store.keys",
    "bridge.store.ranges",
    "bridge.store.rows",
}
"""Pure with everything that they import."""

FOLDS = {
    "bridge.workload",
    "bridge.feed.cursor",
    "bridge.feed.order",
    "bridge.feed.pace",
    "bridge.history.events",
    "bridge.history.outline",
    "bridge.history.state",
    "bridge.history.times",
    "streams.apply",
    "streams.hot",
    "streams.project",
    "streams.unpark",
}
"""Functions of a view and of schemas that they are given; these themselves import nothing impure."""

DECIDERS = ROOT / "lighthouse" / "project"
DECIDERS_KNOW = {"bridge.events", "bridge.decider", "bridge.projection"}
PUBLIC = {
    "bridge.application",
    "bridge.decider",
    "bridge.errors",
    "bridge.events",
    "bridge.handle",
    "bridge.history",
    "bridge.projection",
    "bridge.reactor",
    "bridge.settings",
    "bridge.timer",
    "bridge.upcast",
    "bridge.views",
    "bridge.wiring",
}
"""What an application is written with."""


@cache
def modules() -> dict[str, Path]:
    """Every module of ours by its name."""
    files = [file for room in OURS for file in sorted((ROOT / room).rglob("*.py"))]
    return {name_of(file): file for file in files}


def name_of(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def imports(module: str) -> frozenset[str]:
    """The modules that a module imports, wherever in its text; `from package import module` is that module."""
    return frozenset(_imports(ast.parse(modules()[module].read_text(encoding="utf-8"))))


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for name in node.names:
                whole = f"{node.module}.{name.name}"
                yield whole if whole in modules() else str(node.module)


def room(module: str) -> str:
    """The room that a module belongs to."""
    parts = module.split(".")
    return parts[0] if parts[0] != "bridge" or len(parts) == 1 else ".".join(parts[:2])


def level(name: str) -> int:
    """How high a room lies."""
    return next(number for number, rooms in enumerate(LEVELS) if name in rooms)


def of(*rooms: str) -> list[str]:
    """The modules of some top folders, packages without a text of their own left out."""
    return [module for module in modules() if module.split(".")[0] in rooms and module not in ("bridge", "lighthouse")]


@pytest.mark.parametrize("module", of("bridge", "streams"))
def test_imports_point_down(module: str) -> None:
    for imported in imports(module):
        if imported.split(".")[0] not in OURS or room(imported) in (room(module), "bridge"):
            continue
        assert imported.split(".")[0] != "lighthouse", f"{module} knows the application {imported}"
        if (room(module), room(imported)) not in NEIGHBOURS:
            assert level(room(imported)) < level(room(module)), f"{module} imports {imported}, which is no lower"


def test_every_room_has_a_level() -> None:
    assert {room(module) for module in of("bridge", "streams")} <= set.union(*LEVELS)


@pytest.mark.parametrize("module", sorted(module for module in of("bridge") if room(module) == "bridge.local"))
def test_local_knows_only_errors_and_settings(module: str) -> None:
    known = {room(imported) for imported in imports(module) if imported.split(".")[0] in OURS}
    assert known <= LOCAL_KNOWS | {"bridge.local", "bridge"}


@pytest.mark.parametrize("module", sorted(PURE))
def test_what_is_pure_imports_only_what_is_pure(module: str) -> None:
    for imported in imports(module):
        assert imported == PARTITIONER or not impure(imported), f"{module} imports {imported}"
        assert imported.split(".")[0] not in OURS or imported in PURE, f"{module} imports {imported}, which is not pure"


@pytest.mark.parametrize("module", sorted(FOLDS))
def test_folds_import_nothing_impure(module: str) -> None:
    assert not [imported for imported in imports(module) if impure(imported)]


@pytest.mark.parametrize("module", ["streams.processor", "streams.source", "streams.owner", "streams.builds"])
def test_a_processor_knows_no_client_of_kafka(module: str) -> None:
    """So that it runs on a simulated log and group as well."""
    clients = {"aiokafka", "confluent_kafka", "threading", "streams.consumer"}
    assert not clients & {imported if imported in clients else imported.split(".")[0] for imported in imports(module)}


@pytest.mark.parametrize("file", sorted(DECIDERS.glob("*.py")), ids=lambda file: str(file.stem))
def test_deciders_know_only_the_nouns(file: Path) -> None:
    for imported in imports(name_of(file)):
        assert not impure(imported), f"{file} imports {imported}"
        if imported.split(".")[0] in ("bridge", "streams"):
            assert imported in DECIDERS_KNOW, f"{file} imports {imported}"
        if imported.split(".")[0] == "lighthouse":
            assert imported.startswith("lighthouse.project"), f"{file} imports {imported}"


@pytest.mark.parametrize("module", of("lighthouse"))
def test_the_application_uses_the_public_api_only(module: str) -> None:
    for imported in imports(module):
        if imported.split(".")[0] in ("bridge", "streams"):
            assert room(imported) in PUBLIC, f"{module} imports {imported}, which is the platform's inside"


def impure(imported: str) -> bool:
    return any(imported == name or imported.startswith(name + ".") for name in IMPURE)


def test_the_check_can_fail() -> None:
    """What it must find in a text that does everything wrong."""
    found = set(
        _imports(ast.parse("import time\ndef f():\n    from bridge.store import memory\n    import aiokafka.client"))
    )
    assert found == {"time", "bridge.store.memory", "aiokafka.client"}
    assert all(map(impure, found))
    assert level("bridge.log") < level("bridge.history") < level("bridge.handle") < level("bridge.api")
