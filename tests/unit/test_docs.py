"""The pages that are made from the code, and the words that no file may hold."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from bridge.cli.settings import page

ROOT = Path(__file__).parents[2]
LOCKS = ("requirements.lock", "scripts/bootstrap.lock", "bridge/local/jars.lock")


def test_the_settings_page_is_what_the_code_says() -> None:
    expected = "\n".join(page()) + "\n"
    hint = "run `lighthouse settings --markdown > docs/settings.md`"
    assert (ROOT / "docs/settings.md").read_text() == expected, hint


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_hold_hashes_and_no_addresses(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "sha256" in text
    assert "://" not in text


def test_the_lock_of_the_pages_files_holds_hashes_and_no_registry() -> None:
    packages = json.loads((ROOT / "bridge/ui/package-lock.json").read_text())["packages"]
    named = {name: package for name, package in packages.items() if name}
    assert named
    assert all(package["integrity"].startswith("sha512-") for package in named.values())
    assert not [name for name, package in named.items() if "resolved" in package]


def test_every_page_of_the_docs_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text()
    pages = [path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")]
    assert [name for name in pages if name not in navigation] == []


def test_the_scripts_are_executable() -> None:
    listed = subprocess.run(["git", "ls-files", "-s", "scripts", ".ci"], cwd=ROOT, capture_output=True, check=True)
    modes = {line.split()[3].decode(): line.split()[0].decode() for line in listed.stdout.splitlines()}
    assert {name for name, mode in modes.items() if mode == "100755"} == {
        ".ci/run",
        "scripts/debian",
        "scripts/faults",
        "scripts/setup",
        "scripts/soak",
        "scripts/test",
        "scripts/up",
    }
