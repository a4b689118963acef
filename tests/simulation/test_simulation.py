"""Invariants I1-I7 in thousands of runs, each drawn from one seed; and that the harness finds planted bugs."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tests.simulation.mutations import MUTATIONS, Mutation
from tests.simulation.seed import Violation, simulate

SEEDS = 2_000
CHUNKS = 20

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


def test_a_seed_is_the_same_run_each_time() -> None:
    assert simulate(7) == simulate(7)
    assert simulate(7) != simulate(8)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda one: one.what)
def test_a_planted_bug_is_found(mutation: Mutation) -> None:
    with mutation.planted():
        found = first()
    assert found is not None, f"no seed of {SEEDS} found it"
    simulate(found)


def first() -> int | None:
    """The first seed that finds what is planted."""
    for seed in range(SEEDS):
        try:
            simulate(seed)
        except Violation as violation:
            return violation.seed
    return None


def test_the_simulation_has_no_admission_and_no_fold_of_its_own() -> None:
    """It plays the production modules; what is judged against is tests/model/reference.py alone."""
    for file in Path(__file__).parent.glob("*.py"):
        names = {node.name for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.FunctionDef)}
        assert not names & {"admit", "apply", "judge", "parse", "evolve", "decide"}, file
