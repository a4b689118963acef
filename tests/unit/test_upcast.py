from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridge.application import Application, Catalog, catalog
from bridge.errors import SchemaError
from bridge.log.schemas import problems
from bridge.upcast import Change, Upcast, by_category, chain
from bridge.wiring import check_schemas, schema_problems
from tests.model import newer_account
from tests.model.newer_account import STEPS, UPCASTS

NEWER = Application("accounts", newer_account.SCHEMAS, (newer_account.account,), upcasts=UPCASTS)
FOLDER = newer_account.SCHEMAS / "account"


def told(text: str) -> Change:
    """A step that tells that it was taken."""
    return lambda data: {"steps": [*data.get("steps", ()), text]}


def test_a_chain_takes_the_steps_in_the_order_of_their_versions() -> None:
    steps = {("A", 3): told("3"), ("B", 2): told("b"), ("A", 1): told("1"), ("A", 2): told("2")}
    assert chain(steps, "A", 1, 4)({}) == {"steps": ["1", "2", "3"]}
    assert chain(steps, "A", 3, 4)({}) == {"steps": ["3"]}


@pytest.mark.parametrize("missing", [1, 2, 3])
def test_a_chain_has_no_gap(missing: int) -> None:
    steps = {("A", version): told("") for version in (1, 2, 3) if version != missing}
    with pytest.raises(SchemaError, match=f"A is at version 4, but no upcast leads from version {missing} to"):
        chain(steps, "A", 1, 4)


def test_every_gap_is_named() -> None:
    assert problems("account", FOLDER, STEPS) == []
    assert problems("account", FOLDER, {}) == [
        "category account: Deposited is at version 3, but no upcast leads from version 1 to 2",
        "category account: Deposited is at version 3, but no upcast leads from version 2 to 3",
    ]


def test_an_upcast_beyond_the_newest_version_is_named() -> None:
    steps = {**STEPS, ("Deposited", 3): told(""), ("Withdrawn", 1): told("")}
    found = problems("account", FOLDER, steps)
    assert [one.partition(":")[2].split(",")[0].strip() for one in found] == [
        "the upcast of Deposited from version 3 leads beyond its newest version",
        "the upcast of Withdrawn from version 1 leads beyond its newest version",
    ]


def test_a_nested_default_of_another_type_is_named(tmp_path: Path) -> None:
    inner = {"type": "record", "name": "In", "fields": [{"name": "raw", "type": "bytes", "doc": "Bytes."}]}
    field = {"name": "in", "type": inner, "default": {"raw": 5}, "doc": "Wrong within."}
    event = {"type": "record", "name": "A", "namespace": "lighthouse.x", "version": 1, "doc": "A.", "fields": [field]}
    (tmp_path / "A.avsc").write_text(json.dumps(event))
    (found,) = problems("x", tmp_path, {})
    assert found.startswith("category x has a default that does not fit its type")


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"version": 1}, "two upcasts lead Deposited from version 1"),
        ({"version": 0}, "from version 0; 1 is first"),
        ({"category": "acount"}, "is of category acount, which no application has"),
        ({"type": "Deposit"}, "an upcast is of Deposit, but there is no Deposit.avsc"),
    ],
)
def test_what_a_catalog_refuses(more: dict[str, Any], why: str) -> None:
    upcast = replace(Upcast("account", "Deposited", 7, told("")), **more)
    with pytest.raises(SchemaError, match=why):
        catalog([replace(NEWER, upcasts=(*UPCASTS, upcast))])


def test_two_upcasts_of_one_step_may_be_of_two_categories() -> None:
    found = by_category([Upcast("a", "T", 1, told("a")), Upcast("b", "T", 1, told("b"))])
    assert found["a"]["T", 1]({}) == {"steps": ["a"]}
    assert found["b"]["T", 1]({}) == {"steps": ["b"]}


def test_nothing_starts_with_a_gap() -> None:
    check_schemas(catalog([NEWER]))
    gap = catalog([replace(NEWER, upcasts=UPCASTS[:1])])
    sentence = "category account: Deposited is at version 3, but no upcast leads from version 2 to 3"
    assert schema_problems(gap) == {"account": [sentence]}
    with pytest.raises(SchemaError) as caught:
        check_schemas(gap)
    assert str(caught.value) == sentence
    check_schemas(Catalog())
