"""Writing through the API as a client does: a real process, a real processor, a real Kafka behind it."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import pytest

from tests.client import SHA, Api, append, command, commit, post, problem, raw

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

SCHEMA_OF_TIMES = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


# appending


def test_an_append_answers_its_versions_and_its_position(api: Api, stream: str) -> None:
    first = append(api, stream, 0, commit("a"), commit("b"))
    assert first.status_code == 201
    found = first.json()
    assert found.pop("position") == first.headers["lighthouse-position"]
    assert found == {"stream": stream, "first_version": 0, "last_version": 1, "duplicate": False}
    assert append(api, stream, 2).json()["first_version"] == 2


def test_a_repetition_under_one_key_answers_the_original_versions(api: Api, stream: str) -> None:
    first = append(api, stream, None, idempotency_key="k")
    again = append(api, stream, None, idempotency_key="k")
    assert "idempotency-key" not in first.headers
    assert again.status_code == 201
    assert again.json() == {**first.json(), "duplicate": True}
    assert append(api, stream, None, idempotency_key="k", lighthouse_actor="another").json()["first_version"] == 1


def test_a_drawn_key_is_returned_and_makes_the_call_repeatable(api: Api, stream: str) -> None:
    first = append(api, stream, 0)
    again = append(api, stream, 0, idempotency_key=first.headers["idempotency-key"])
    assert again.json() == {**first.json(), "duplicate": True}
    assert problem(append(api, stream, 0), 409, "conflict")
    assert append(api, stream, 0).headers["idempotency-key"]


def test_one_key_with_two_bodies_is_refused(api: Api, stream: str) -> None:
    append(api, stream, None, commit("a"), idempotency_key="k")
    problem(append(api, stream, None, commit("b"), idempotency_key="k"), 422, "key-reused")
    problem(append(api, stream, 0, commit("a"), idempotency_key="k"), 422, "key-reused")
    assert api.get(f"/v1/streams/{stream}").json()["head"] == 1


def test_the_order_of_members_is_no_difference(api: Api, stream: str) -> None:
    body = '{"expected_version":null,"events":[{"type":"CommitRecorded","data":{%s}}]}'
    headers = {"Idempotency-Key": "k", "Content-Type": "application/json"}
    for data in (f'"sha":"{SHA}","message":"m"', f'"message": "m", "sha": "{SHA}"'):
        answer = api.post(f"/v1/streams/{stream}/events", content=body % data, headers=headers)
        assert answer.status_code == 201


def test_a_wrong_version_is_a_conflict_that_names_the_head(api: Api, stream: str) -> None:
    append(api, stream, 0)
    for expected in (0, 7):
        found = problem(append(api, stream, expected), 409, "conflict")
        assert (found["stream"], found["expected_version"], found["actual_version"]) == (stream, expected, 1)


def test_a_refusal_names_the_position_that_it_was_read_at(api: Api, stream: str) -> None:
    """Whoever reads again from that position sees what the refusal was about."""
    written = append(api, stream, 0, idempotency_key="k")
    refused = [
        append(api, stream, 0),
        append(api, stream, 7),
        append(api, stream, None, commit("b"), idempotency_key="k"),
        command(api, stream, "DeleteFile", {"path": "a"}),
        api.get(f"/v1/streams/{stream}/state?version=9"),
        api.get(f"/v1/streams/{stream}x"),
    ]
    assert [answer.status_code for answer in refused] == [409, 409, 422, 409, 404, 404]
    for answer in refused[:-1]:
        assert offset_of(answer) >= offset_of(written)
        headers = {"Lighthouse-At-Least": answer.headers["lighthouse-position"]}
        assert api.get(f"/v1/streams/{stream}", headers=headers).json()["head"] == 1
    assert offset_of(refused[-1]) >= 0


def offset_of(answer: httpx.Response) -> int:
    """The one offset in an answer's position."""
    token = answer.headers["lighthouse-position"]
    told: dict[str, dict[int, int]] = msgspec.msgpack.decode(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    ((offset,),) = (positions.values() for positions in told.values())
    return offset


def test_any_version_needs_a_key(api: Api, stream: str) -> None:
    assert problem(append(api, stream, None), 422, "invalid")["path"] == "Idempotency-Key"


def test_the_envelope_holds_what_the_headers_say(api: Api, stream: str) -> None:
    body = {
        "expected_version": 0,
        "events": [commit("\u0000h\u00e9")],
        "time": "2020-02-03T04:05:06.789+01:00",
        "metadata": {"tool": "pytest"},
    }
    headers = {
        b"Lighthouse-Actor": "Zo\u00eb".encode(),
        b"Lighthouse-Correlation-Id": b"c1",
        b"Lighthouse-Causation-Id": b"c2",
        b"traceparent": b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    }
    assert api.post(f"/v1/streams/{stream}/events", json=body, headers=headers).status_code == 201
    (event,) = api.get(f"/v1/streams/{stream}/events").json()["events"]
    assert event["event_time"] == event["event_clock"] == "2020-02-03T03:05:06.789000Z"
    assert SCHEMA_OF_TIMES.fullmatch(event["effective_time"])
    assert (event["actor"], event["correlation_id"], event["causation_id"]) == ("Zo\u00eb", "c1", "c2")
    assert event["metadata"] == {"tool": "pytest"}
    assert event["data"] == {"sha": SHA, "message": "\u0000h\u00e9"}
    assert (event["version"], event["type"]) == (0, "CommitRecorded")
    assert re.fullmatch("[0-9a-f]{32}:0", event["id"])
    assert event["offset"] >= 0


def test_without_headers_nobody_in_particular_acts(api: Api, stream: str) -> None:
    append(api, stream, 0, traceparent="garbage")
    assert api.get(f"/v1/streams/{stream}/events").json()["events"][0]["actor"] == "anonymous"


def test_bytes_are_base64_both_ways(api: Api, stream: str) -> None:
    content = base64.b64encode(b"\0\xff").decode()
    file = {"path": "a", "hash": "0" * 40, "size": 2, "mode": "100644", "content": content}
    assert append(api, stream, 0, {"type": "FileCreated", "data": file}).status_code == 201
    assert api.get(f"/v1/streams/{stream}/events").json()["events"][0]["data"] == file


def data(**changes: Any) -> Any:
    return {"expected_version": 0, "events": [commit(), {"type": "CommitRecorded", "data": changes}]}


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ([], ""),
        ({}, "expected_version"),
        ({"expected_version": 0}, "events"),
        ({"expected_version": -1, "events": [commit()]}, "expected_version"),
        ({"expected_version": True, "events": [commit()]}, "expected_version"),
        ({"expected_version": 10**18, "events": [commit()]}, "expected_version"),
        ({"expected_version": 10**30, "events": [commit()]}, "expected_version"),
        ({"expected_version": 0, "events": []}, "events"),
        ({"expected_version": 0, "events": [{"type": "CommitRecorded"}]}, "events.0.data"),
        ({"expected_version": 0, "events": [{"type": "CommitRecorded", "data": []}]}, "events.0.data"),
        ({"expected_version": 0, "events": [{"type": "Nothing", "data": {}}]}, "events.0.type"),
        ({"expected_version": 0, "events": [commit()], "colour": "red"}, "colour"),
        ({"expected_version": 0, "events": [commit()], "time": "yesterday"}, "time"),
        ({"expected_version": 0, "events": [commit()], "time": "2020-01-01T00:00:00"}, "time"),
        ({"expected_version": 0, "events": [commit()], "time": "9999-12-31T23:59:59Z"}, "time"),
        ({"expected_version": 0, "events": [commit()], "metadata": {"a": 1}}, "metadata"),
        ({"expected_version": 0, "events": [commit()], "metadata": {"a": "x" * 70_000}}, "metadata"),
        (data(sha=SHA), "events.1.data.message"),
        (data(sha=SHA, message=1), "events.1.data.message"),
        (data(sha=SHA, message="", more=1), "events.1.data.more"),
    ],
)
def test_a_bad_field_is_named(api: Api, stream: str, body: Any, path: str) -> None:
    found = problem(api.post(f"/v1/streams/{stream}/events", json=body), 422, "invalid")
    assert found["path"] == path
    assert api.get(f"/v1/streams/{stream}").status_code == 404


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"{",
        b"\xff",
        b"\xef\xbb\xbf{}",
        b"[" * 100_000,
        b'{"a":' * 900 + b"1" + b"}" * 900,
        b'{"expected_version":NaN}',
        b'{"expected_version":Infinity}',
        b'{"expected_version":1e999}',
        b'{"expected_version":' + b"9" * 5000 + b"}",
        b'{"expected_version":0,"events":[{"type":"CommitRecorded","data":{"sha":"\\ud800","message":""}}]}',
        b'{"expected_version":0,"events":[{"type":"CommitRecorded","data":{"sha":"\\udc00x","message":""}}]}',
    ],
    ids=lambda sent: repr(sent[:24]),
)
def test_what_is_no_json_is_refused(api: Api, stream: str, sent: bytes) -> None:
    problem(post(api, stream, sent), 422, "invalid")


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_another_media_type_is_refused(api: Api, stream: str, content_type: str) -> None:
    problem(post(api, stream, b"{}", content_type), 415, "unsupported-media-type")


@pytest.mark.parametrize("name", ["Idempotency-Key", "Lighthouse-Actor", "Lighthouse-Correlation-Id"])
@pytest.mark.parametrize("value", [b"x" * 256, b"\xff"])
def test_a_header_beyond_its_limits_is_refused(api: Api, stream: str, name: str, value: bytes) -> None:
    body = {"expected_version": 0, "events": [commit()]}
    answer = api.post(f"/v1/streams/{stream}/events", json=body, headers=raw(**{name: value}))
    assert problem(answer, 422, "invalid")["path"] == name


def test_a_body_that_announces_too_much_is_not_read(api: Api, stream: str) -> None:
    problem(post(api, stream, b" " * (8 * 1024 * 1024 + 1)), 413, "too-large")


def test_a_body_that_goes_on_and_on_is_not_read_to_its_end(api: Api, stream: str) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(9):
            yield b" " * 1024 * 1024

    headers = {"Content-Type": "application/json"}
    answer = api.post(f"/v1/streams/{stream}/events", content=endless(), headers=headers)
    problem(answer, 413, "too-large")


def test_the_limits_of_an_append(api: Api, stream: str) -> None:
    problem(append(api, stream, 0, *[commit()] * 1001), 413, "too-large")
    problem(append(api, stream, 0, commit("x" * 4 * 1024 * 1024)), 413, "too-large")
    assert append(api, stream, 0, *[commit()] * 1000).json()["last_version"] == 999


@pytest.mark.parametrize(
    "name", ["project/" + "x" * 260, "project/%00", "project/a%20b", "project/%FF", "pro%20ject/a"]
)
def test_a_name_that_is_no_streams_is_refused(api: Api, name: str) -> None:
    assert problem(append(api, name, 0), 422, "invalid")["path"] == "stream"
    assert problem(api.get(f"/v1/streams/{name}/state"), 422, "invalid")["path"] == "stream"


def test_an_unknown_category_is_not_found(api: Api) -> None:
    assert "project" in problem(append(api, "nothing/a", 0), 404, "not-found")["detail"]
    problem(api.get("/v1/streams/nothing/a"), 404, "not-found")
    problem(api.post("/v1/commands/nothing/a/Do", json={}), 404, "not-found")


# CloudEvents


def cloud(**changes: Any) -> dict[str, Any]:
    event = {"specversion": "1.0", "id": "1", "source": "/tests", "type": "lighthouse.project.CommitRecorded"}
    return {**event, "time": "2021-01-01T00:00:00Z", "data": commit()["data"], **changes}


def clouds(api: Api, stream: str, body: Any, kind: str = "-batch", **headers: str) -> httpx.Response:
    content_type = {"Content-Type": f"application/cloudevents{kind}+json; charset=utf-8"}
    return api.post(f"/v1/streams/{stream}/events", content=json.dumps(body), headers={**headers, **content_type})


def test_cloudevents_go_in_and_come_out(api: Api, stream: str) -> None:
    batch = [cloud(), cloud(id="2", type="CommitRecorded", time="2022-01-01T00:00:00Z", subject=stream)]
    answer = clouds(api, stream, batch, **{"Lighthouse-Expected-Version": "0"})
    assert answer.status_code == 201
    found = api.get(f"/v1/streams/{stream}/events", headers={"Accept": "application/cloudevents-batch+json"})
    assert found.headers["content-type"] == "application/cloudevents-batch+json"
    first, second = found.json()
    assert first["specversion"] == "1.0"
    assert (first["type"], first["subject"], first["streamversion"]) == (batch[0]["type"], stream, 0)
    assert first["data"] == batch[0]["data"]
    assert first["time"] == second["time"] == "2022-01-01T00:00:00.000000Z"


def test_a_cloudevent_is_its_own_key(api: Api, stream: str) -> None:
    first = clouds(api, stream, cloud(), "")
    again = clouds(api, stream, cloud(), "")
    assert again.json() == {**first.json(), "duplicate": True}
    problem(clouds(api, stream, cloud(time="2021-01-01T00:00:01Z"), ""), 422, "key-reused")


@pytest.mark.parametrize(
    ("body", "kind", "path"),
    [
        (cloud(specversion="0.3"), "", "specversion"),
        (cloud(subject="project/other"), "", "subject"),
        (cloud(data={"sha": 1, "message": ""}), "", "data.sha"),
        ([cloud(), cloud(data={"sha": 1, "message": ""})], "-batch", "1.data.sha"),
        ([cloud(type="x")], "-batch", "0.type"),
        ([cloud(time="x")], "-batch", "0.time"),
        ([], "-batch", ""),
    ],
)
def test_a_bad_attribute_is_named(api: Api, stream: str, body: Any, kind: str, path: str) -> None:
    assert problem(clouds(api, stream, body, kind), 422, "invalid")["path"] == path


@pytest.mark.parametrize("expected", ["-1", "x", "1" * 19, ""])
def test_a_bad_expected_version_is_named(api: Api, stream: str, expected: str) -> None:
    answer = clouds(api, stream, [cloud()], **{"Lighthouse-Expected-Version": expected})
    assert problem(answer, 422, "invalid")["path"] == "Lighthouse-Expected-Version"


# commands


def test_a_command_is_decided_on_the_state(api: Api, stream: str) -> None:
    content = base64.b64encode(b"hi").decode()
    assert command(api, stream, "CreateFile", {"path": "a/b", "content": content}).status_code == 201
    files = api.get(f"/v1/streams/{stream}/state").json()["state"]["files"]
    assert files["a/b"]["size"] == 2


def test_a_refused_command_names_the_rule(api: Api, stream: str) -> None:
    answer = command(api, stream, "DeleteFile", {"path": "a"})
    assert problem(answer, 409, "refused")["rule"] == "P4"
    assert answer.headers["idempotency-key"]


def test_a_command_is_executed_once_under_its_key(api: Api, stream: str) -> None:
    file = {"path": "a", "content": ""}
    first = command(api, stream, "CreateFile", file, idempotency_key="k")
    again = command(api, stream, "CreateFile", file, idempotency_key="k")
    assert again.json() == {**first.json(), "duplicate": True}
    problem(command(api, stream, "CreateFile", {**file, "path": "b"}, idempotency_key="k"), 422, "key-reused")
    problem(command(api, stream, "ModifyFile", file, idempotency_key="k"), 422, "key-reused")


@pytest.mark.parametrize(
    ("name", "body", "path"),
    [
        ("CreateFile", {"path": 1}, "path"),
        ("CreateFile", [], ""),
        ("CreateFile", {"path": "a", "content": "!"}, "content"),
        ("CreateFile", {"path": "a", "size": True}, "size"),
        ("RecordCommit", {"sha": SHA, "parent": "", "deleted": [1]}, "deleted.0"),
    ],
)
def test_a_bad_field_of_a_command_is_named(api: Api, stream: str, name: str, body: Any, path: str) -> None:
    assert problem(command(api, stream, name, body), 422, "invalid")["path"] == path


def test_an_unknown_command_is_not_found(api: Api, stream: str) -> None:
    assert "CreateFile" in problem(command(api, stream, "Explode", {}), 404, "not-found")["detail"]
