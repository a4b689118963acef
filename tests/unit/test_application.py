from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bridge.application import Application, Bookmark, catalog, registered
from bridge.errors import SchemaError
from tests.model import account

MEMO = Bookmark("account", "memo", "Deposited", "memo")
ACCOUNTS = Application("accounts", account.SCHEMAS, (account.account,), (MEMO,))


def test_categories_are_the_folders_that_hold_an_avsc(tmp_path: Path) -> None:
    for name in ("b/X.avsc", "a/Y.avsc", "c/README.md"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    assert Application("x", tmp_path).categories() == ("a", "b")


def test_a_catalog_is_looked_up_by_category() -> None:
    found = catalog([ACCOUNTS])
    assert found.categories == ("account",)
    assert found.schemas == {"account": account.SCHEMAS / "account"}
    assert found.deciders == {"account": account.account}
    assert found.bookmarks == {("account", "memo"): MEMO}


@pytest.mark.parametrize("name", ["dead-letters", "system"])
def test_the_platforms_own_categories_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "A.avsc").write_text("{}")
    with pytest.raises(SchemaError, match=f"category {name} of application x is the platform's own name"):
        catalog([Application("x", tmp_path)])


def test_two_applications_cannot_have_one_category() -> None:
    with pytest.raises(SchemaError, match="category account of application other is registered twice"):
        catalog([ACCOUNTS, replace(ACCOUNTS, name="other")])


def test_a_decider_needs_schemas(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="the decider of category account has no schemas"):
        catalog([replace(ACCOUNTS, schemas=tmp_path)])


def test_the_lighthouse_is_registered() -> None:
    assert "project" in registered().categories
