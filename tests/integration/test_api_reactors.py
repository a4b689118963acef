"""The reactors over HTTP and by the command line; none runs here, so the publisher is new."""

from __future__ import annotations

import json
import subprocess

import httpx
import pytest

from bridge.settings import Settings
from tests.forks import completed
from tests.servers import environment

pytestmark = pytest.mark.integration


def test_the_publisher_is_listed(api: httpx.Client) -> None:
    (publisher,) = api.get("/v1/reactors").json()["reactors"]
    assert (publisher["name"], publisher["start"], publisher["categories"]) == ("publisher", "beginning", None)
    assert publisher == api.get("/v1/reactors/publisher").json()
    first = publisher["partitions"][0]
    assert (first["state"], first["offset"], first["parked"], first["lost"]) == ("new", None, None, None)
    assert {one["category"] for one in publisher["partitions"]} >= {"project", "system"}


def test_what_is_decided_is_recorded_with_the_actor(api: httpx.Client) -> None:
    answer = api.post("/v1/reactors/publisher/retry", json={}, headers={"Lighthouse-Actor": "ann"})
    assert answer.status_code == 201, answer.text
    found = api.get("/v1/streams/system/reactor~publisher/events", params={"direction": "backward"}).json()["events"]
    assert (found[0]["type"], found[0]["actor"]) == ("ReactorRetried", "ann")


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/v1/reactors/nobody", None, 404),
        ("POST", "/v1/reactors/nobody/retry", {}, 404),
        ("POST", "/v1/reactors/publisher/burn", {}, 404),
        ("POST", "/v1/reactors/publisher/retry", {"version": 1}, 422),
        ("POST", "/v1/reactors/publisher/skip", {"event": "x"}, 404),
        ("POST", "/v1/reactors/publisher/place", {"category": "project", "partition": 0}, 422),
        ("POST", "/v1/reactors/publisher/place", {"category": "project", "partition": 0, "at": "middle"}, 422),
        ("POST", "/v1/reactors/publisher/place", {"category": "project", "partition": 0, "at": "end"}, 422),
        ("POST", "/v1/reactors/publisher/place", {"category": "project", "partition": 99, "at": "end"}, 404),
        ("POST", "/v1/reactors/publisher/place", {"category": "project", "partition": 0, "at": 10**15}, 422),
    ],
)
def test_bad_questions_get_clear_answers(api: httpx.Client, method: str, path: str, body: object, status: int) -> None:
    answer = api.request(method, path, json=body)
    assert answer.status_code == status, answer.text
    assert answer.json()["detail"]


def test_the_command_line_shows_and_refuses_the_same(served: Settings) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return completed("bridge.cli", "reactors", *arguments, environment=environment(served))

    listed = run("list", "--json")
    assert [one["name"] for one in json.loads(listed.stdout)] == ["publisher"], listed.stderr
    assert "knows where to go on" in run("place", "publisher", "project-0", "end").stderr
