"""`lighthouse import-git`, on a platform in memory."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lighthouse import commands
from lighthouse.blobs import open_blobs
from lighthouse.import_git import Target
from lighthouse.project import project
from tests import gitrepos
from tests.memory_commands import SCHEMAS, MemoryCommands

runner = CliRunner()


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MemoryCommands:
    memory = MemoryCommands(project, SCHEMAS / "project")

    @asynccontextmanager
    async def opened() -> AsyncIterator[Target]:
        yield Target(memory, memory, open_blobs("", tmp_path / "blobs"))

    monkeypatch.setattr(commands, "_open", opened)
    return memory


def test_the_project_is_named_by_the_directory_and_json_is_all_that_is_printed(
    platform: MemoryCommands, tmp_path: Path
) -> None:
    path = gitrepos.make(tmp_path / "apollo 13", gitrepos.merges())
    result = runner.invoke(commands.commands, ["import-git", str(path), "--json"])
    answer = json.loads(result.stdout)
    assert (answer["stream"], answer["commits"]) == ("project/apollo-13", 6)
    assert len(platform.appends["project/apollo-13"]) == 6


def test_a_name_can_be_given(platform: MemoryCommands, tmp_path: Path) -> None:
    path = gitrepos.make(tmp_path / "repo", gitrepos.merges())
    result = runner.invoke(commands.commands, ["import-git", str(path), "--name", "apollo"])
    assert result.stdout.startswith("project/apollo: 6 commits")
    assert list(platform.appends) == ["project/apollo"]


@pytest.mark.usefixtures("platform")
def test_an_error_is_a_sentence(tmp_path: Path) -> None:
    result = runner.invoke(commands.commands, ["import-git", str(tmp_path)])
    assert (result.exit_code, result.stderr) == (1, f"error: {tmp_path} is not in a git repository\n")
    path = gitrepos.make(tmp_path / "repo", [])
    result = runner.invoke(commands.commands, ["import-git", str(path), "--name", "a name"])
    assert result.exit_code == 1
    assert "'project/a name' is not category/id" in result.stderr
