"""The API as a client meets it: a real process, a real processor, a real Kafka behind it."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import msgspec
import pytest
from jsonpatch import apply_patch

from bridge.settings import Settings
from tests.servers import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

Api = httpx.Client
SHA = "0123456789abcdef0123456789abcdef01234567"
SCHEMA_OF_TIMES = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


@pytest.fixture
def stream() -> str:
    """A stream that nobody else has."""
    return f"project/t-{uuid4()}/a"


def commit(message: str = "hello", sha: str = SHA) -> dict[str, Any]:
    return {"type": "CommitRecorded", "data": {"sha": sha, "message": message}}


def append(api: Api, stream: str, expected: int | None, *events: Any, **headers: str) -> httpx.Response:
    body = {"expected_version": expected, "events": list(events) or [commit()]}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return api.post(f"/v1/streams/{stream}/events", json=body, headers=named)


def post(api: Api, stream: str, raw: bytes, content_type: str = "application/json") -> httpx.Response:
    return api.post(f"/v1/streams/{stream}/events", content=raw, headers={"Content-Type": content_type})


def raw(**headers: bytes) -> dict[bytes, bytes]:
    """Headers whose values are no ASCII."""
    return {name.encode(): value for name, value in headers.items()}


def problem(answer: httpx.Response, status: int, name: str) -> dict[str, Any]:
    """The problem details of an answer, which must be of this kind."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = answer.json()
    assert found["type"] == f"/problems/{name}"
    assert found["status"] == status
    assert found["title"]
    assert found["detail"]
    return found


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


# reading


def test_what_is_known_of_a_stream(api: Api, stream: str) -> None:
    append(api, stream, 0)
    found = api.get(f"/v1/streams/{stream}")
    assert found.headers["lighthouse-position"]
    assert found.json()["head"] == 1
    assert found.json()["parked"] is None
    assert found.json()["first_effective_time"] == found.json()["last_effective_time"]
    problem(api.get(f"/v1/streams/{stream}/x"), 404, "not-found")


def test_an_id_that_ends_like_a_call_is_written_with_a_percent(api: Api, stream: str) -> None:
    """`project/t/state` is the state of `project/t`, and `project/t%2Fstate` the stream of that name."""
    category, _, key = stream.partition("/")
    odd = f"{category}/{key.replace('/', '%2F')}%2Fstate"
    assert append(api, odd, 0).json()["stream"] == f"{stream}/state"
    assert api.get(f"/v1/streams/{odd}").json()["stream"] == f"{stream}/state"
    problem(api.get(f"/v1/streams/{stream}/state"), 404, "not-found")
    problem(api.get(f"/v1/streams/{category}/a%252Fb"), 422, "invalid")


def versions(answer: httpx.Response) -> tuple[list[int], int | None]:
    assert answer.status_code == 200, answer.text
    return [event["version"] for event in answer.json()["events"]], answer.json()["next"]


def test_events_come_in_pages_in_both_directions(api: Api, stream: str) -> None:
    append(api, stream, 0, *[commit(str(number)) for number in range(5)])
    url = f"/v1/streams/{stream}/events"
    assert versions(api.get(url)) == ([0, 1, 2, 3, 4], None)
    assert versions(api.get(url, params={"limit": 2})) == ([0, 1], 2)
    assert versions(api.get(url, params={"limit": 2, "from_version": 3})) == ([3, 4], None)
    assert versions(api.get(url, params={"limit": 2, "direction": "backward"})) == ([4, 3], 2)
    assert versions(api.get(url, params={"limit": 3, "direction": "backward", "from_version": 2})) == ([2, 1, 0], None)
    assert versions(api.get(url, params={"from_version": 99})) == ([], None)


def test_events_and_state_as_of_an_event_time(api: Api, stream: str) -> None:
    url = f"/v1/streams/{stream}"
    for version, year in enumerate((2019, 2020, 2021)):
        body = {"expected_version": version, "events": [commit(sha=f"{year:040}")], "time": f"{year}-06-01T00:00:00Z"}
        assert api.post(f"{url}/events", json=body).status_code == 201
    at = {"as_of": "2020-12-31T00:00:00+00:00", "clock": "event"}
    assert versions(api.get(f"{url}/events", params=at)) == ([0, 1], None)
    found = api.get(f"{url}/state", params=at).json()
    assert (found["version"], found["final"], found["as_of"]) == (1, True, "2020-12-31T00:00:00.000000Z")
    assert found["state"]["commit"] == f"{2020:040}"
    problem(api.get(f"{url}/state", params={**at, "as_of": "2018-01-01T00:00:00Z"}), 404, "not-found")


def test_a_state_as_of_now_becomes_final_by_a_tick(api: Api, stream: str) -> None:
    append(api, stream, 0)
    at = {"as_of": datetime.now(UTC).isoformat()}

    def final() -> bool:
        return bool(api.get(f"/v1/streams/{stream}/state", params=at).json()["final"])

    until(final, "the answer is final")
    append(api, stream, 1)
    assert api.get(f"/v1/streams/{stream}/state", params=at).json()["version"] == 0


def test_the_state_at_a_version_and_at_a_bookmark(api: Api, stream: str) -> None:
    append(api, stream, 0, commit(sha="a" * 40), commit(sha="b" * 40))
    url = f"/v1/streams/{stream}/state"
    assert api.get(url).json() == {
        "stream": stream,
        "version": 1,
        "as_of": None,
        "final": False,
        "state": {"files": {}, "protected": [], "commit": "b" * 40},
    }
    assert api.get(url, params={"version": 0}).json()["state"]["commit"] == "a" * 40
    assert api.get(url, params={"bookmark": "commit:aaaa"}).json()["version"] == 0
    problem(api.get(url, params={"bookmark": "commit:cccc"}), 404, "not-found")
    problem(api.get(url, params={"bookmark": "tag:v1"}), 404, "not-found")
    problem(api.get(url, params={"version": 2}), 404, "not-found")


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        ("/state", "version=-1", "version"),
        ("/state", "version=x", "version"),
        ("/state", "version=99999999999999999999", "version"),
        ("/state", "version=0&as_of=2020-01-01T00:00:00Z", "as_of"),
        ("/state", "as_of=yesterday", "as_of"),
        ("/state", "as_of=9999-01-01T00:00:00Z", "as_of"),
        ("/state", "bookmark=commit", "bookmark"),
        ("/state", "bookmark=commit:", "bookmark"),
        ("/state", "clock=sand", "clock"),
        ("/events", "limit=0", "limit"),
        ("/events", "limit=1001", "limit"),
        ("/events", "direction=up", "direction"),
        ("/diff", "", "from"),
        ("/diff", "from=x", "from"),
        ("/diff", "from=0&to=y", "to"),
    ],
)
def test_a_bad_parameter_is_named(api: Api, stream: str, path: str, query: str, field: str) -> None:
    append(api, stream, 0)
    assert problem(api.get(f"/v1/streams/{stream}{path}?{query}"), 422, "invalid")["path"] == field


def test_a_difference_leads_from_one_state_to_the_other(api: Api, stream: str) -> None:
    append(api, stream, 0, *[commit(sha=letter * 40) for letter in "abc"])
    url = f"/v1/streams/{stream}"
    found = api.get(f"{url}/diff", params={"from": 0, "to": 2}).json()
    before = api.get(f"{url}/state", params={"version": 0}).json()["state"]
    assert apply_patch(before, found["patch"])["commit"] == "c" * 40
    assert (found["from"], found["to"]) == (0, 2)
    assert [event["version"] for event in found["events"]] == [1, 2]
    tomorrow = (datetime.now(UTC) + timedelta(seconds=30)).isoformat()
    assert api.get(f"{url}/diff", params={"from": 1, "to": tomorrow}).json()["to"] == 2
    assert api.get(f"{url}/diff", params={"from": 1}).json()["to"] == 2


# commands


def command(api: Api, stream: str, name: str, body: Any, **headers: str) -> httpx.Response:
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    return api.post(f"/v1/commands/{stream}/{name}", json=body, headers=named)


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


# positions


def test_a_reader_sees_what_a_position_has_seen(api: Api, stream: str) -> None:
    url = f"/v1/streams/{stream}"
    for version in range(20):
        token = append(api, stream, version).headers["lighthouse-position"]
        found = api.get(url, headers={"Lighthouse-At-Least": token})
        assert found.json()["head"] == version + 1


def forged(token: str, topic: str | None = None, partition: int = 0, ahead: int = 0) -> str:
    """A position in the topic of a token, so far ahead of where the token is."""
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    ((known, (offset,)),) = ((name, tuple(places.values())) for name, places in msgspec.msgpack.decode(raw).items())
    forged = msgspec.msgpack.encode({topic or known: {partition: offset + ahead}})
    return base64.urlsafe_b64encode(forged).decode().rstrip("=")


def test_a_position_that_is_not_reached_in_time_tells_the_lag(api: Api, stream: str, served: Settings) -> None:
    token = append(api, stream, 0).headers["lighthouse-position"]
    started = time.monotonic()
    answer = api.get("/v1/streams/project/x", headers={"Lighthouse-At-Least": forged(token, ahead=10**6)})
    assert problem(answer, 504, "not-reached")["lag"] > 1000
    assert served.deadline * 0.9 < time.monotonic() - started < served.deadline * 2


def test_a_foreign_position_is_refused(api: Api, stream: str) -> None:
    token = append(api, stream, 0).headers["lighthouse-position"]
    for wrong in (forged(token, topic="AAAA"), forged(token, partition=99), "garbage", "\u00e9", "gA==x", token + "!"):
        headers = raw(**{"Lighthouse-At-Least": wrong.encode()})
        for answer in (
            api.get(f"/v1/streams/{stream}", headers=headers),
            api.post(f"/v1/streams/{stream}/events", json={}, headers=headers),
            api.post(f"/v1/commands/{stream}/CreateFile", json={}, headers=headers),
        ):
            assert problem(answer, 422, "invalid")["path"] == "Lighthouse-At-Least"


def test_several_positions_are_waited_for(api: Api, stream: str) -> None:
    tokens = [append(api, f"{stream}/{n}", 0).headers["lighthouse-position"] for n in range(3)]
    headers = [("Lighthouse-At-Least", tokens[0]), ("Lighthouse-At-Least", ", ".join(tokens[1:]))]
    assert api.get(f"/v1/streams/{stream}/0", headers=headers).status_code == 200


# the rest


def test_the_categories_tell_what_can_be_written_and_asked(api: Api) -> None:
    found = {each["category"]: each for each in api.get("/v1/categories").json()["categories"]}
    project = found["project"]
    assert project["partitions"] == 4
    assert project["bookmarks"] == ["commit"]
    assert "CommitRecorded" in {each["type"] for each in project["event_types"]}
    create = next(each["schema"] for each in project["commands"] if each["command"] == "CreateFile")
    assert create["$defs"]["CreateFile"]["required"] == ["path"]


def test_health(api: Api) -> None:
    assert api.get("/health/live").json() == {"live": True}
    found = api.get("/health/ready").json()
    assert found["ready"]
    assert {each["reason"] for each in found["partitions"]} == {None}


def test_metrics(api: Api, stream: str) -> None:
    append(api, stream, 0)
    append(api, stream, 0)
    text = api.get("/metrics").text
    route = 'method="POST",route="/v1/streams/{category}/{id:path}/events",status="201"'
    assert f"lighthouse_http_request_seconds_count{{{route}}}" in text
    for sample in ('appends_total{outcome="written"}', 'appends_total{outcome="conflict"}', "http_in_flight 1.0"):
        assert f"lighthouse_{sample}" in text
    assert 'lighthouse_history_lag_records{category="project"}' in text


def test_unknown_routes_and_methods_are_problems(api: Api) -> None:
    problem(api.get("/nothing"), 404, "not-found")
    answer = api.delete("/v1/streams/project/a/events")
    problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"]


def test_docs(api: Api) -> None:
    assert api.get("/docs").status_code == 200
    assert "AppendBody" in api.get("/openapi.json").json()["components"]["schemas"]
