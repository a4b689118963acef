"""What is shown of a URL: never a password, however the URL was written."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from bridge.cli.main import build
from bridge.errors import LighthouseError
from bridge.settings import Settings
from bridge.store.factory import migrate_stores, open_stores
from bridge.urls import without_secret

SHOWN = {
    "": "",
    "lmdb": "lmdb",
    "lmdb:///var/lib/lighthouse": "lmdb:///var/lib/lighthouse",
    "a:9092,b:9092": "a:9092,b:9092",
    "postgresql://host/database?search_path=x": "postgresql://host/database?search_path=x",
    "postgresql://user:SECRET@host/database": "postgresql://***@host/database",
    "postgresql+asyncpg://u:SECRET@h/db": "postgresql+asyncpg://***@h/db",
    "redis+cluster://:SECRET@a:1,b:2": "redis+cluster://***@a:1,b:2",
    "postgresql://u:SEC/RET@h/db": "postgresql://***@h/db",
    "postgresql://u:SEC#RET@h/db": "postgresql://***@h/db",
    "postgresql://u:SEC@RET@h/db": "postgresql://***@h/db",
    "postgresql:u:SECRET@h/db": "postgresql:***@h/db",
    "u:SECRET@h/db": "u:***@h/db",
    "SECRET@h/db": "***@h/db",
    "redis://h?db=1&password=SEC@RET&ssl_password=SEC#RET&x=1": "redis://h?db=1&password=***&ssl_password=***&x=1",
    "s3://bucket?key=SECRET&secret=SECRET": "s3://bucket?key=***&secret=***",
}


@pytest.mark.parametrize("url", SHOWN)
def test_a_url_is_shown_without_its_secret(url: str) -> None:
    assert without_secret(url) == SHOWN[url]


WRONG = [
    "postgresql+asyncpg://u:SECRET@h/db",
    "redis-cluster://:SECRET@a:1",
    "memory://u:SECRET@h",
    "lmdb://u:SECRET@h/p",
    "postgresql:u:SECRET@h/db",
    "postgresql://u:SECRET/SECRET@h/db",
    "postgresql://u:SECRET#SECRET@h/db",
    "postgresql://u:SECRET?SECRET@h/db",
    "postgresql://u:SECRET[SECRET@h/db",
    "postgresql://u:SECRET\u2100SECRET@h/db",
    "redis:u:SECRET@h",
    "redis://u:SECRET/SECRET@h",
    "redis://u:SECRET#SECRET@h",
    "redis://u:SECRET?SECRET@h",
    "redis://u:SECRET[SECRET@h",
    "redis://u:SECRET\u2100SECRET@h",
    "redis://h?password=SECRET&no_such_word=1",
    "redis+cluster://u:SECRET@a,b/1",
]


@pytest.mark.parametrize("url", WRONG)
async def test_a_url_that_names_nothing_is_refused_without_its_secret(url: str) -> None:
    with pytest.raises(LighthouseError, match="names no") as refused:
        await open_stores(url, Settings()).open("lighthouse.bank-0").own()
    assert "SECRET" not in str(refused.value)


@pytest.mark.parametrize("url", [url for url in WRONG if url.startswith("postgresql://")])
async def test_tables_are_not_made_at_such_a_url(url: str) -> None:
    with pytest.raises(LighthouseError, match="names no PostgreSQL") as refused:
        await migrate_stores(url, Settings())
    assert "SECRET" not in str(refused.value)


def test_the_settings_are_listed_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIGHTHOUSE_HISTORY_STORE", "postgresql://user:SECRET@host/database")
    monkeypatch.setenv("LIGHTHOUSE_HOT_STORE", "redis://host?password=SECRET")
    listed = CliRunner().invoke(build(), ["settings", "--json"])
    values = {one["name"]: one["value"] for one in json.loads(listed.stdout)}
    assert values["LIGHTHOUSE_HISTORY_STORE"] == "postgresql://***@host/database"
    assert "SECRET" not in listed.stdout + CliRunner().invoke(build(), ["settings"]).stdout
