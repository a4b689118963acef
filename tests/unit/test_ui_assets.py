"""What the pages load: there or told to be missing, and installed once."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.errors import LocalError
from bridge.ui import assets
from bridge.ui.assets import FILES, install, missing


def test_everything_is_there_after_setup() -> None:
    assert missing() == [], "run `python -m bridge.ui.assets`"
    assert install() is False


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "VENDOR", tmp_path)
    assert missing() == list(FILES)
    (tmp_path / "htmx.js").touch()
    assert "htmx.js" not in missing()


def test_without_any_npm_the_reason_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "VENDOR", tmp_path / "vendor")
    monkeypatch.setattr(assets, "STAMP", tmp_path / "vendor" / ".stamp")
    monkeypatch.setattr(assets, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LocalError, match="there is no npm"):
        install()
