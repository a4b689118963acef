"""Reading many streams through the API: pages, and replays by server-sent events."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.client import Api, append, commit, problem
from tests.readers import Sent, events_of, sent

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

Params = dict[str, Any]


def several(api: Api, stream: str, count: int = 3) -> list[str]:
    """Streams below one name, so that partitions are mixed, each with two appends of two events."""
    streams = [f"{stream}/{number}" for number in range(count)]
    for version in (0, 2):
        for one in streams:
            append(api, one, version, commit(), commit(), Lighthouse_Actor=f"actor-of-{one}")
    return streams


def named(events: list[dict[str, Any]]) -> list[tuple[str, int]]:
    return [(event["stream"], event["version"]) for event in events]


def merged(events: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Each event's place in the merged order, as far as JSON tells it."""
    return [
        (one["effective_time"], one["stream"].partition("/")[0], one["partition"], one["offset"], one["id"][-1])
        for one in events
    ]


def get(api: Api, **params: Any) -> dict[str, Any]:
    answer = api.get("/v1/events", params=params)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def now() -> str:
    return datetime.now(UTC).isoformat()


def replay(api: Api, headers: dict[str, str] | None = None, **params: Any) -> list[Sent]:
    """A replay to its end."""
    with api.stream("GET", "/v1/replay", params=params, headers=headers) as response:
        assert response.status_code == 200, response.read()
        return list(sent(response))


# pages


def test_events_of_many_streams_come_in_the_merged_order(api: Api, stream: str) -> None:
    streams = several(api, stream)
    found = get(api, stream=streams)
    assert sorted(named(found["events"])) == sorted((one, version) for one in streams for version in range(4))
    assert merged(found["events"]) == sorted(merged(found["events"]))
    assert (found["next"], found["final"]) == (None, False)
    one = get(api, stream=streams[0])["events"]
    detail = api.get(f"/v1/streams/{streams[0]}/events").json()["events"]
    assert [{name: event[name] for name in event if name != "stream"} for event in one] == detail


def test_pages_of_events_lead_from_one_to_the_next(api: Api, stream: str) -> None:
    streams = several(api, stream)
    until = now()
    whole = get(api, stream=streams, to=until)["events"]
    found, cursor = list[dict[str, Any]](), None
    while True:
        page = get(api, stream=streams, to=until, limit=5, **({"cursor": cursor} if cursor else {}))
        found, cursor = found + page["events"], page["next"]
        if cursor is None:
            break
        assert len(page["events"]) == 5
    assert found == whole
    assert len(whole) == 12


def test_filters(api: Api, stream: str) -> None:
    streams = several(api, stream)
    append(api, streams[0], 4, commit(), Lighthouse_Correlation_Id=f"about-{stream}")
    until = now()
    assert len(get(api, to=until, actor=f"actor-of-{streams[1]}")["events"]) == 4
    assert len(get(api, to=until, actor=[f"actor-of-{one}" for one in streams[1:]])["events"]) == 8
    assert named(get(api, to=until, correlation_id=f"about-{stream}")["events"]) == [(streams[0], 4)]
    assert len(get(api, to=until, stream=streams[0], type="CommitRecorded")["events"]) == 5
    assert get(api, to=until, stream=streams[0], type="FileCreated")["events"] == []
    assert get(api, to=until, stream=streams[0], category="account")["events"] == []
    problem(api.get("/v1/events?category=nothing"), 404, "not-found")


def test_from_and_to_are_times_of_the_log(api: Api, stream: str) -> None:
    several(api, stream, 1)
    one = f"{stream}/0"
    events = get(api, stream=one)["events"]
    middle = events[2]["effective_time"]
    assert named(get(api, stream=one, to=middle)["events"]) == [(one, 0), (one, 1)]
    assert named(get(api, stream=one, **{"from": middle})["events"]) == [(one, 2), (one, 3)]
    assert get(api, stream=one, **{"from": now()})["events"] == []


def test_an_answer_becomes_final_within_two_seconds(api: Api, stream: str) -> None:
    append(api, stream, 0)
    until, began = now(), time.monotonic()
    while not (found := get(api, to=until, stream=stream))["final"]:
        assert time.monotonic() - began < 2.0
    assert found["up_to"] == datetime.fromisoformat(until).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    append(api, stream, 1)
    assert get(api, to=until, stream=stream) == found
    everything = get(api, to=until, limit=1000)
    assert everything["final"] or everything["next"]


def test_a_page_sees_what_was_written_before_it(api: Api, stream: str) -> None:
    for version in range(3):
        token = append(api, stream, version).headers["lighthouse-position"]
        answer = api.get("/v1/events", params={"stream": stream}, headers={"Lighthouse-At-Least": token})
        assert [event["version"] for event in answer.json()["events"]] == list(range(version + 1))
        again = api.get(f"/v1/streams/{stream}", headers={"Lighthouse-At-Least": answer.headers["lighthouse-position"]})
        assert again.status_code == 200


def test_events_as_cloudevents(api: Api, stream: str) -> None:
    streams = several(api, stream)
    batch = "application/cloudevents-batch+json"
    answer = api.get("/v1/events", params={"stream": streams, "limit": 5}, headers={"Accept": batch})
    assert answer.headers["content-type"] == batch
    plain = get(api, stream=streams)["events"]
    assert [(one["subject"], one["streamversion"]) for one in answer.json()] == named(plain[:5])
    assert len(get(api, stream=streams, cursor=answer.headers["lighthouse-next"])["events"]) == 7
    replayed = replay(api, stream=streams, format="cloudevents")
    assert [one.json for one in events_of(iter(replayed))][:5] == answer.json()


@pytest.mark.parametrize("path", ["/v1/events", "/v1/replay"])
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("from=yesterday", "from"),
        ("from=2020-01-01T00:00:00", "from"),
        ("to=9999-01-01T00:00:00Z", "to"),
        ("to=2020-01-01T00:00:00Z&to=2021-01-01T00:00:00Z", "to"),
        ("stream=nonsense", "stream"),
        ("cursor=garbage", "cursor"),
        ("cursor=", "cursor"),
        ("catgory=project", "catgory"),
    ],
)
def test_a_bad_parameter_is_named(api: Api, path: str, query: str, field: str) -> None:
    assert problem(api.get(f"{path}?{query}"), 422, "invalid")["path"] == field


@pytest.mark.parametrize(
    ("call", "field"),
    [
        ("/v1/events?limit=0", "limit"),
        ("/v1/events?limit=1001", "limit"),
        ("/v1/events?limit=x", "limit"),
        ("/v1/events?speed=1", "speed"),
        ("/v1/replay?speed=-1", "speed"),
        ("/v1/replay?speed=nan", "speed"),
        ("/v1/replay?speed=1e9", "speed"),
        ("/v1/replay?gap=0", "gap"),
        ("/v1/replay?follow=maybe", "follow"),
        ("/v1/replay?format=xml", "format"),
        ("/v1/replay?follow=true&to=2020-01-01T00:00:00Z", "follow"),
        ("/v1/replay?limit=3", "limit"),
    ],
)
def test_a_bad_parameter_of_one_call_is_named(api: Api, call: str, field: str) -> None:
    assert problem(api.get(call), 422, "invalid")["path"] == field


# replays


def test_a_replay_gives_what_the_pages_give_and_ends(api: Api, stream: str) -> None:
    streams = several(api, stream)
    plain = get(api, stream=streams)["events"]
    first, *blocks = replay(api, stream=streams)
    assert first == Sent()
    assert [one.json for one in blocks[:-1]] == plain
    assert {one.event for one in blocks[:-1]} == {"event"}
    assert (blocks[-1].event, blocks[-1].data) == ("end", "{}")
    append(api, streams[0], 4)
    later = replay(api, stream=streams, cursor=blocks[-1].id)
    assert named([one.json for one in events_of(iter(later))]) == [(streams[0], 4)]


def test_a_replay_twice_gives_the_same_bytes(api: Api, stream: str) -> None:
    streams = several(api, stream)
    until = now()
    one, two = (api.get("/v1/replay", params={"stream": streams, "to": until}) for _ in range(2))
    assert one.content == two.content
    assert one.text.count("event: event") == 12


def test_a_replay_that_is_cut_at_any_event_goes_on_behind_it(api: Api, stream: str) -> None:
    streams = several(api, stream)
    until = now()
    whole = [one.data for one in events_of(iter(replay(api, stream=streams, to=until)))]
    for cut in range(1, len(whole) + 1):
        with api.stream("GET", "/v1/replay", params={"stream": streams, "to": until}) as response:
            blocks = events_of(sent(response))
            before = [next(blocks) for _ in range(cut)]
        # As a browser does it: the same address again, and the last id in a header.
        rest = replay(api, {"Last-Event-ID": before[-1].id}, stream=streams, to=until)
        assert [one.data for one in [*before, *events_of(iter(rest))]] == whole


def test_a_replay_at_a_pace(api: Api, stream: str) -> None:
    for version in range(3):
        append(api, stream, version)
        time.sleep(0.3)  # what is measured: 0.3 s between two events
    params: Params = {"stream": stream, "speed": 2, "to": now()}
    with api.stream("GET", "/v1/replay", params=params) as response:
        found = [time.monotonic() for _ in events_of(sent(response))]
    assert [found[1] - found[0], found[2] - found[1]] == pytest.approx([0.15, 0.15], abs=0.1)


def write(api: Api, stream: str, count: int) -> None:
    for version in range(count):
        assert append(api, stream, version).status_code == 201


def test_no_event_is_missed_or_doubled_where_a_replay_becomes_live(api: Api, stream: str) -> None:
    """Under writes: at the seam, and wherever the connection is cut, with one cursor or the other."""
    streams = [f"{stream}/{number}" for number in range(6)]
    each, cuts, last = 120, 7, None
    seen: list[tuple[str, int]] = []
    with ThreadPoolExecutor(len(streams)) as pool:
        writing = [pool.submit(write, api, one, each) for one in streams]
        while len(seen) < each * len(streams):
            headers = {"Last-Event-ID": last} if last else None
            params: Params = {"stream": streams, "follow": "true"}
            with api.stream("GET", "/v1/replay", params=params, headers=headers) as response:
                for number, one in enumerate(events_of(sent(response))):
                    seen.append((one.json["stream"], one.json["version"]))
                    last = one.id
                    if len(seen) == each * len(streams) or (cuts and number == each * 6 // 8):
                        break
            cuts -= 1
        for written in writing:
            written.result()
    for name in streams:
        assert [version for found, version in seen if found == name] == list(range(each))


def test_a_cursor_of_live_events_is_refused_where_there_are_none(api: Api, stream: str) -> None:
    append(api, stream, 0)
    with api.stream("GET", "/v1/replay", params={"stream": stream, "follow": "true"}) as response:
        blocks = events_of(sent(response))
        next(blocks)
        append(api, stream, 1)
        append(api, stream, 2)
        last = [next(blocks).id for _ in range(2)][-1]
    for call in ("/v1/events", "/v1/replay"):
        answer = api.get(call, params={"stream": stream, "cursor": last})
        assert "live events" in problem(answer, 422, "invalid")["detail"]
    other = api.get("/v1/replay", params={"follow": "true", "cursor": last})
    assert "does not say where" in problem(other, 422, "invalid")["detail"]


def test_a_replay_far_ahead_waits_for_its_time(api: Api, stream: str) -> None:
    append(api, stream, 0)
    until = (datetime.now(UTC) + timedelta(seconds=1.5)).isoformat()
    with api.stream("GET", "/v1/replay", params={"stream": stream, "to": until}) as response:
        blocks = sent(response)
        next(events_of(blocks))
        append(api, stream, 1)
        rest = list(blocks)
    assert [one.event for one in rest] == ["event", "end"]
    assert json.loads(rest[0].data)["version"] == 1


def test_a_stream_that_begins_is_counted_by_then(api: Api, stream: str) -> None:
    append(api, stream, 0)
    with api.stream("GET", "/v1/replay", params={"stream": stream, "follow": "true"}) as response:
        blocks = events_of(sent(response))
        next(blocks)
        text = api.get("/metrics").text
        assert 'lighthouse_readers{call="replay"} 1.0' in text
        assert "lighthouse_http_in_flight 1.0" in text
        assert 'route="/v1/replay",status="200"' in text
    deadline = time.monotonic() + 5
    while 'lighthouse_readers{call="replay"} 0.0' not in api.get("/metrics").text:
        assert time.monotonic() < deadline, "a reader that has left is still read for"


def test_a_position_is_waited_for_before_a_replay_begins(api: Api, stream: str) -> None:
    token = append(api, stream, 0).headers["lighthouse-position"]
    headers = {"Lighthouse-At-Least": token}
    found = replay(api, headers, stream=stream)
    assert len(list(events_of(iter(found)))) == 1
    with api.stream("GET", "/v1/replay", params={"stream": stream}) as response:
        assert response.headers["lighthouse-position"]
        assert response.headers["cache-control"] == "no-store"
    answer = api.get("/v1/replay", headers={"Lighthouse-At-Least": "garbage"})
    assert problem(answer, 422, "invalid")["path"] == "Lighthouse-At-Least"


def test_a_reader_may_only_get(api: Api) -> None:
    problem(api.post("/v1/replay"), 405, "method-not-allowed")
    assert isinstance(api.get("/v1/live"), httpx.Response)
    problem(api.get("/v1/live"), 404, "not-found")
