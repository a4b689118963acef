"""Invariants I1-I7 in thousands of runs, each drawn from one seed; and that the harness finds planted bugs."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import structlog

from tests.model.answers import Crash
from tests.simulation.cluster_play import ClusterPlay
from tests.simulation.mutations import MUTATIONS, Mutation
from tests.simulation.seed import SEEDS, Violation, first, kind_of, played, simulate

CHUNKS = 20
ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.timeout(7200)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Parked streams are what runs are made of."""
    before = structlog.get_config()
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    yield
    structlog.configure(**before)


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_every_invariant_holds(chunk: int, request: pytest.FixtureRequest) -> None:
    each = request.config.getoption("--seeds") // CHUNKS
    for seed in range(chunk * each, (chunk + 1) * each):
        simulate(seed)


@pytest.mark.parametrize("seed", [6, 7, 8, 9])
def test_a_seed_is_the_same_run_each_time(seed: int) -> None:
    assert simulate(seed) == simulate(seed)
    assert simulate(seed) != simulate(seed + 2)


def test_a_seed_is_the_same_run_in_every_process() -> None:
    """Whatever Python draws when it starts, such as how strings are hashed."""
    command = [sys.executable, "-m", "tests.simulation", *map(str, range(10, 30))]
    run = partial(subprocess.run, command, capture_output=True, text=True, check=True, timeout=120)
    first, second = (run(env=os.environ | {"PYTHONHASHSEED": hashes}).stdout for hashes in ("1", "2"))
    assert "seed 10 (appends)" in first
    assert "seed 11 (rebalances)" in first
    assert first == second


def test_a_failing_seed_tells_its_kind_and_plays_again() -> None:
    (mutation,) = (one for one in MUTATIONS if one.what == "commit after revoke")
    with mutation.planted():
        found = first(SEEDS)
        assert found is not None
        assert str(found).startswith(f"seed {found.seed} ({kind_of(found.seed).name}): ")
        with pytest.raises(Violation) as again:
            simulate(found.seed)
    assert str(again.value) == str(found)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda one: one.what)
def test_a_planted_bug_is_found(mutation: Mutation) -> None:
    """By what must hold, not by a crash."""
    with mutation.planted():
        found = first(SEEDS)
    assert found is not None, f"no seed of {SEEDS} found it"
    assert not isinstance(found.__cause__, Crash), found
    simulate(found.seed)


def test_many_answers_of_projections_are_judged() -> None:
    """Rows that were there, and rows that were not: most of what is asked for has been in the log."""
    judged = sum((play.checks.judged for play in map(clustered, range(1, 121, 2))), Counter[str]())
    assert judged["row"] > 60
    assert judged["no row"] > 60
    assert judged["row"] + judged["no row"] > 3 * (judged["behind"] + judged["nowhere"])


def clustered(seed: int) -> ClusterPlay:
    """The play of a seed of the second kind."""
    _, play = played(seed)
    assert isinstance(play, ClusterPlay)
    return play


OWN = {"admit", "apply", "judge", "parse", "evolve", "decide"}
JUDGES = {"tests.model.reference", "tests.model.account"}
"""What is judged against, and the application that is played; all else is production's."""


def test_the_simulation_has_no_admission_and_no_fold_of_its_own() -> None:
    """It plays the production modules; neither it nor what it has from other tests may repeat them."""
    seen = imported({f"tests.simulation.{file.stem}" for file in Path(__file__).parent.glob("*.py")})
    assert JUDGES | {"tests.simlog", "tests.model.play"} <= seen
    for name in seen - JUDGES:
        assert not OWN & defined(tree_of(name)), name


def imported(names: set[str]) -> set[str]:
    """These modules of the tests, and all that they import from there."""
    seen: set[str] = set()
    while names:
        seen |= names
        names = {one for name in names for one in imports(tree_of(name))} - seen
    return seen


def imports(tree: ast.Module) -> Iterator[str]:
    """The modules of the tests that a module imports, also within functions."""
    for node in ast.walk(tree):
        found: list[str] = []
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            found = [node.module, *(f"{node.module}.{name.name}" for name in node.names)]
        elif isinstance(node, ast.Import):
            found = [name.name for name in node.names]
        yield from (name for name in found if name.startswith("tests.") and path_of(name).exists())


def defined(tree: ast.Module) -> set[str]:
    """The names of its functions and methods."""
    kinds = ast.FunctionDef, ast.AsyncFunctionDef
    return {node.name for node in ast.walk(tree) if isinstance(node, kinds)}


def tree_of(name: str) -> ast.Module:
    """A module of the tests as it is written."""
    return ast.parse(path_of(name).read_text())


def path_of(name: str) -> Path:
    """Where it lies."""
    return ROOT.joinpath(*name.split(".")).with_suffix(".py")


def test_the_guard_sees_async_functions_too() -> None:
    assert defined(ast.parse("class A:\n    async def judge(self): ...")) == {"judge"}
