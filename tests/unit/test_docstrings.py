"""What STYLE.md counts: docstrings of exported names, descriptions of settings, sizes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from bridge.settings import Settings

ROOT = Path(__file__).parents[2]
FILES = sorted(file for room in ("bridge", "streams", "lighthouse") for file in (ROOT / room).rglob("*.py"))
LINES = 400
FUNCTION_LINES = 45
PARAMETERS = 6
DECLARED = 12
"""Parameters of a route or a command, each of which is a query parameter or an option by FastAPI's or typer's rule."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def functions(file: Path) -> Iterator[Function]:
    return (node for node in ast.walk(tree(file)) if isinstance(node, Function))


def exported(node: ast.Module | ast.ClassDef) -> Iterator[Function | ast.ClassDef]:
    """Public functions and classes, and the public methods of those."""
    for child in node.body:
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and not child.name.startswith("_"):
            yield child
            if isinstance(child, ast.ClassDef):
                yield from exported(child)


def of(file: Path) -> str:
    return str(file.relative_to(ROOT))


@pytest.mark.parametrize("file", FILES, ids=of)
def test_modules_and_exported_names_have_docstrings(file: Path) -> None:
    if tree(file).body:
        assert ast.get_docstring(tree(file)), "the module says nothing of itself"
    assert [node.name for node in exported(tree(file)) if not ast.get_docstring(node)] == []


@pytest.mark.parametrize("file", FILES, ids=of)
def test_a_module_is_read_in_one_sitting(file: Path) -> None:
    assert len(file.read_text(encoding="utf-8").splitlines()) <= LINES


@pytest.mark.parametrize("file", FILES, ids=of)
def test_a_function_fits_a_hand(file: Path) -> None:
    long = {
        node.name: size
        for node in functions(file)
        if (size := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES
    }
    assert long == {}


@pytest.mark.parametrize("file", FILES, ids=of)
def test_a_signature_has_six_parameters(file: Path) -> None:
    edge = of(file).startswith(("bridge/api", "bridge/cli", "lighthouse/commands"))
    wide = {
        node.name: parameters(node)
        for node in functions(file)
        if len(parameters(node)) > (DECLARED if edge and not node.name.startswith("_") else PARAMETERS)
    }
    assert wide == {}


def lines(node: Function) -> int:
    return (node.end_lineno or 0) - node.lineno + 1


def parameters(node: Function) -> list[str]:
    arguments = node.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return [one.arg for one in named if one.arg not in ("self", "cls")]


def test_half_of_all_functions_have_ten_lines_at_most() -> None:
    """STYLE.md wishes for six lines; docstrings are among these."""
    sizes = sorted(lines(node) for file in FILES for node in functions(file))
    assert sizes[len(sizes) // 2] <= 10


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_every_setting_is_described_by_a_sentence(name: str) -> None:
    description = Settings.model_fields[name].description
    assert description is not None
    assert description.endswith(".")


def test_the_check_can_fail() -> None:
    text = ast.parse("def f(a, b): pass\nclass A:\n    def g(self): pass\n    def _h(self): pass\ndef _i(): pass")
    assert [node.name for node in exported(text)] == ["f", "A", "g"]
    assert [parameters(node) for node in ast.walk(text) if isinstance(node, Function)][:2] == [["a", "b"], []]
