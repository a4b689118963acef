"""The built-in projections over HTTP, on real Kafka: warm, read-your-writes, rebuilt, steered."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.servers import until

pytestmark = pytest.mark.integration


def append(api: httpx.Client, stream: str, version: int, **headers: str) -> httpx.Response:
    event = {"type": "CommitRecorded", "data": {"sha": "a" * 40, "message": "m"}}
    body = {"expected_version": version, "events": [event]}
    answer = api.post(f"/v1/streams/{stream}/events", json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    return answer


def at_least(answer: httpx.Response) -> dict[str, str]:
    return {"Lighthouse-At-Least": answer.headers["Lighthouse-Position"]}


def build_of(api: httpx.Client, name: str, generation: int) -> dict[str, Any]:
    builds = api.get(f"/v1/projections/{name}").json()["builds"]
    return next((build for build in builds if build["generation"] == generation), {})


def answers(api: httpx.Client, generation: int) -> bool:
    return bool(build_of(api, "streams", generation).get("answering"))


def test_a_row_holds_what_was_just_written(api: httpx.Client, stream: str) -> None:
    for version in range(3):
        written = append(api, stream, version)
        found = api.get(f"/v1/projections/streams/rows/{stream}", headers=at_least(written))
        assert found.status_code == 200, found.text
        assert found.json()["row"]["head"] == version + 1
        assert (found.json()["behind"], found.json()["final"]) == (False, False)
        assert found.headers["Lighthouse-Position"] == written.headers["Lighthouse-Position"]


def test_rows_are_listed_by_prefix_page_by_page(api: httpx.Client, stream: str) -> None:
    names = sorted(f"{stream}-{number}" for number in range(5))
    for name in names:
        written = append(api, name, 0)
    seen: list[str] = []
    after = ""
    while True:
        query: dict[str, str | int] = {"prefix": f"{stream}-", "limit": 2, "after": after}
        page = api.get("/v1/projections/streams/rows", params=query, headers=at_least(written)).json()
        seen += [row["key"] for row in page["rows"]]
        if (after := page["next"]) is None:
            break
    assert seen == names


def test_activity_is_merged_over_partitions(api: httpx.Client, stream: str) -> None:
    def commits() -> int:
        page = api.get("/v1/projections/activity/rows", params={"limit": 1000}).json()
        return sum(row["row"] for row in page["rows"] if row["key"].endswith("/project/CommitRecorded"))

    before = commits()
    for number in range(8):
        append(api, f"{stream}-{number}", 0)
    assert commits() == before + 8


def test_a_rebuild_answers_in_the_end_and_the_old_build_can_be_dropped(api: httpx.Client, stream: str) -> None:
    written = append(api, stream, 0)
    until(lambda: answers(api, 0), "the first build is the decided one")
    asked = api.post("/v1/projections/streams/rebuild", json={}, headers={"Lighthouse-Actor": "ann"})
    assert asked.status_code == 201, asked.text
    event = api.get("/v1/streams/system/streams/events", params={"direction": "backward", "limit": 9}).json()["events"]
    assert any((one["type"], one["actor"]) == ("BuildBegun", "ann") for one in event)
    until(lambda: answers(api, 1), "the second build answers")
    found = api.get(f"/v1/projections/streams/rows/{stream}", headers=at_least(written)).json()
    assert (found["generation"], found["row"]["head"]) == (1, 1)
    refused = api.post("/v1/projections/streams/drop", json={"version": 1, "generation": 1})
    assert (refused.status_code, refused.json()["rule"]) == (409, "D2")
    assert api.post("/v1/projections/streams/drop", json={"version": 1, "generation": 0}).status_code == 201
    until(lambda: not build_of(api, "streams", 0), "the first build is gone")


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/v1/projections/nobody", None, 404),
        ("GET", "/v1/projections/streams/rows/project/nobody", None, 404),
        ("GET", "/v1/projections/streams/rows/no-stream", None, 404),
        ("GET", "/v1/projections/streams/rows?as_of=2026-01-01T00:00:00Z", None, 422),
        ("GET", "/v1/projections/streams/rows?limit=0", None, 422),
        ("POST", "/v1/projections/nobody/rebuild", {}, 404),
        ("POST", "/v1/projections/streams/burn", {}, 404),
        ("POST", "/v1/projections/streams/rebuild", {"version": 7}, 404),
        ("POST", "/v1/projections/streams/rebuild", {"versions": 7}, 422),
        ("POST", "/v1/projections/streams/skip", {"event": "x"}, 404),
        ("POST", "/v1/projections/streams/answer", {"version": 1, "generation": 99}, 404),
        ("POST", "/v1/streams/system/streams/events", {"expected_version": 0, "events": []}, 422),
        ("POST", "/v1/commands/system/streams/Retry", {"version": 1}, 422),
    ],
)
def test_bad_questions_get_clear_answers(api: httpx.Client, method: str, path: str, body: object, status: int) -> None:
    answer = api.request(method, path, json=body)
    assert answer.status_code == status, answer.text
    assert answer.json()["detail"]


def test_the_hottest_partition_comes_first(api: httpx.Client, stream: str) -> None:
    written = [append(api, stream, version).json() for version in range(5)]
    assert written
    found = api.get("/v1/partitions", params={"order": "hottest"}).json()["partitions"]
    rates = [one["last_minute"] for one in found]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] >= 5
    assert {one["category"] for one in found} >= {"project", "system"}
    assert api.get("/v1/partitions", params={"order": "loudest"}).status_code == 422
