from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bridge.errors import SchemaError
from bridge.log.compose import canonical, compose, load
from tests.model import account

DEPOSITED: dict[str, Any] = json.loads((account.SCHEMAS / "account" / "Deposited.avsc").read_text())


def folder(at: Path, **events: Any) -> Path:
    for name, schema in events.items():
        (at / f"{name}.avsc").write_text(schema if isinstance(schema, str) else json.dumps(schema))
    return at


def event(name: str, **changes: Any) -> dict[str, Any]:
    return {**DEPOSITED, "name": name} | changes


def test_white_space_order_of_keys_and_of_files_change_nothing(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    folder(one, A=event("A"), B=event("B"))
    folder(two, B=json.dumps(dict(reversed(event("B").items())), indent=3), A=event("A"))
    assert canonical(load("account", one)) == canonical(load("account", two))


def test_the_serialisation_is_fixed() -> None:
    """Another serialisation would be another schema id: these bytes may never change."""
    schema = {"type": "record", "name": "Ä", "namespace": "lighthouse.x", "fields": [], "doc": "d", "version": 1}
    text = canonical(compose("x", [schema]))
    assert text.startswith('{"doc":"Events of one stream of category x, written all or none.","fields":[{"doc":')
    assert text.endswith(
        '{"doc":"1 to 1,000 events, all or none.","name":"events","type":{"items":[{"doc":"d","fields":[],"name":"Ä",'
        '"namespace":"lighthouse.x","type":"record","version":1}],"type":"array"}}],"name":"Append",'
        '"namespace":"lighthouse.x","type":"record"}'
    )
    assert json.loads(text) == compose("x", [schema])
    assert '"default":""' in text, "defaults are kept"


def test_events_stand_in_the_order_of_their_names(tmp_path: Path) -> None:
    schema = load("account", folder(tmp_path, B=event("B"), A=event("A"), C=event("C")))
    assert [one["name"] for one in schema["fields"][-1]["type"]["items"]] == ["A", "B", "C"]
    assert [field["name"] for field in schema["fields"]] == [
        "actor",
        "time",
        "correlation",
        "causation",
        "metadata",
        "events",
    ]


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ("{", "is not JSON"),
        ([], "must be an Avro record"),
        ({"type": "enum"}, "must be an Avro record"),
        (event("B"), "named 'B', not 'A'"),
        (event("A", namespace="lighthouse.other"), "namespace is 'lighthouse.other'"),
        (event("A", version=0), "version"),
        (event("A", version="1"), "version"),
        ({key: value for key, value in event("A").items() if key != "version"}, "version"),
        (event("A", doc=""), "the record has no doc"),
        (event("A", fields=[{"name": "x", "type": "long"}]), "field 'x' has no doc"),
        (event("A", fields=[{"name": "x", "type": "longer", "doc": "d"}]), "not a valid Avro schema.*longer"),
        (event("A", fields=[{"name": "x", "doc": "d"}]), "not a valid Avro schema"),
        (event("A", fields=["x"]), "field 'x' is not an object"),
        (event("A", namespace="lighthouse.account", fields=[{"name": "x", "type": 5, "doc": "d"}]), "not a valid"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, schema: Any, why: str) -> None:
    with pytest.raises(SchemaError, match=why) as caught:
        load("account", folder(tmp_path, A=schema))
    assert "A.avsc" in str(caught.value) or "account" in str(caught.value)


def test_a_folder_without_event_types(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="no event types"):
        load("account", tmp_path)
