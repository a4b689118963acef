"""Reading through the API as a client does: streams, positions, and what the API says of itself."""

from __future__ import annotations

import base64
import time
from datetime import UTC, datetime, timedelta

import httpx
import msgspec
import pytest
from jsonpatch import apply_patch

from bridge.settings import Settings
from tests.client import Api, append, commit, problem, raw
from tests.servers import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]


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
