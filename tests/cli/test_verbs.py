"""Each verb as a user types it, against a `lighthouse up` of the tests' own."""

from __future__ import annotations

import copy
import json
import os
import re
import signal
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka
from cloudevents.core.formats.json import JSONFormat
from confluent_kafka import Consumer, Message

from bridge.errors import SchemaError
from bridge.history.reader import At
from bridge.wiring import open_base, open_platform
from lighthouse.listing import listing
from tests.cli.conftest import LIGHTHOUSE, Cli, Up
from tests.gitrepos import Made, first_parents, large, ls_tree, make, merges, odd_names, ordinary, renames

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("up"), pytest.mark.timeout(300)]

JSON = JSONFormat()


def lines(*appends: dict[str, Any]) -> str:
    return "".join(json.dumps(one) + "\n" for one in appends)


def opened(stream: str, **more: Any) -> dict[str, Any]:
    return {"stream": stream, "type": "AccountOpened", "data": {"owner": "Ada"}, **more}


def deposited(stream: str, amount: int, **more: Any) -> dict[str, Any]:
    return {"stream": stream, "type": "MoneyDeposited", "data": {"amount": amount}, **more}


def result(done: subprocess.CompletedProcess[str]) -> Any:
    return json.loads(done.stdout)


def test_produce_state_events_and_diff(cli: Cli) -> None:
    text = lines(opened("account/a1", expected_version=0), deposited("account/a1", 50), deposited("account/a1", 5))
    done = result(cli.run("produce", "--name", "first", "--json", stdin=text))
    assert (done["appends"], done["events"], done["duplicates"], done["failed"]) == (3, 3, 0, 0)

    now = result(cli.run("state", "account/a1", "--json"))
    assert (now["version"], now["state"]) == (2, {"status": "open", "owner": "Ada", "balance": 55})
    then = result(cli.run("state", "account/a1", "--version", "1", "--json"))
    assert (then["state"]["balance"], then["final"]) == (50, True)

    shown = [json.loads(line) for line in cli.run("events", "account/a1", "--json").stdout.splitlines()]
    assert [(one["version"], one["type"]) for one in shown] == [
        (0, "AccountOpened"),
        (1, "MoneyDeposited"),
        (2, "MoneyDeposited"),
    ]
    changed = result(cli.run("diff", "account/a1", "--from", "1", "--to", "2", "--json"))
    assert changed["patch"] == [{"op": "replace", "path": "/balance", "value": 55}]

    early = result(cli.run("state", "account/a1", "--as-of", shown[1]["effective_time"], "--json"))
    assert early["version"] >= 1


def test_the_same_input_again_adds_nothing(cli: Cli) -> None:
    file = cli.directory / "twice.jsonl"
    file.write_text(lines(opened("account/twice"), *(deposited("account/twice", n) for n in range(1, 30))))
    first = result(cli.run("produce", str(file), "--json"))
    again = result(cli.run("produce", str(file), "--json"))
    assert (first["events"], first["duplicates"]) == (30, 0)
    assert (again["events"], again["duplicates"]) == (30, 30)
    assert result(cli.run("state", "account/twice", "--json"))["state"]["balance"] == sum(range(1, 30))


def test_bad_lines_are_named_and_the_others_written(cli: Cli) -> None:
    text = lines(opened("account/good"), deposited("account/good", "much"), opened("nowhere/x")) + "{\n"  # type: ignore[arg-type]
    done = result(cli.run("produce", "--json", stdin=text, code=1))
    assert (done["appends"], done["failed"]) == (1, 3)
    assert "events.0.data.amount" in " ".join(done["errors"])
    assert any(error.startswith("line 4:") for error in done["errors"])


def shown(cli: Cli, *arguments: str) -> list[dict[str, Any]]:
    """The events that a verb prints as JSON Lines."""
    return [json.loads(line) for line in cli.run(*arguments, "--json").stdout.splitlines()]


def test_replay(cli: Cli) -> None:
    text = lines(*(opened(f"account/r{n}") for n in range(3)), *(deposited(f"account/r{n}", n + 1) for n in range(3)))
    cli.run("produce", "--name", "replay", "--actor", "replayed", stdin=text)
    found = shown(cli, "replay", "--actor", "replayed")
    assert sorted((one["stream"], one["version"]) for one in found) == [
        (f"account/r{n}", version) for n in range(3) for version in range(2)
    ]
    assert [one["effective_time"] for one in found] == sorted(one["effective_time"] for one in found)
    assert shown(cli, "replay", "--actor", "replayed", "--speed", "100", "--to", found[3]["effective_time"]) == [
        one for one in found if one["effective_time"] < found[3]["effective_time"]
    ]
    only = ("--stream", "account/r1", "--type", "MoneyDeposited", "--category", "account", "--category", "project")
    (one,) = shown(cli, "replay", *only)
    assert one["data"] == {"amount": 2}
    line = cli.run("replay", *only).stdout
    assert all(part in line for part in (one["effective_time"][:23], "account/r1 1 MoneyDeposited", '{"amount":2}'))


def headers_of(record: Message) -> dict[str, bytes]:
    return {str(name): bytes(value) for name, value in dict(record.headers() or ()).items()}  # type: ignore[arg-type]


def test_replay_to_another_topic(cli: Cli) -> None:
    cli.run("produce", "--name", "copied", "--actor", "copied", stdin=lines(opened("account/c1"), opened("account/c2")))
    command = ("replay", "--actor", "copied", "--to-topic", "copies", "--json")
    assert result(cli.run(*command)) == {"written": 2, "known": 0, "held": 0, "reason": ""}
    cli.run("produce", "--name", "more", "--actor", "copied", stdin=lines(deposited("account/c1", 7)))
    assert result(cli.run(*command)) == {"written": 1, "known": 2, "held": 0, "reason": ""}
    expected = shown(cli, "replay", "--actor", "copied")
    config = {"bootstrap.servers": cli.kafka, "group.id": "anybody", "auto.offset.reset": "earliest"}
    with closing(Consumer(config)) as consumer:
        consumer.subscribe(["copies"])
        records = [record for _ in range(3) for record in consumer.consume(1, 30.0)]
    events = [
        from_kafka(KafkaMessage(headers_of(record), record.key(), record.value() or b""), JSON) for record in records
    ]
    assert sorted(str(event.get_id()) for event in events) == sorted(one["id"] for one in expected)
    by_id = {one["id"]: one for one in expected}
    for event in events:
        one = by_id[event.get_id()]
        assert event.get_data() == one["data"]
        assert event.get_type() == f"lighthouse.account.{one['type']}"
        assert (event.get_subject(), event.get_extension("partitionkey")) == (one["stream"], one["stream"])
        assert event.get_extension("streamversion") == str(one["version"])


def test_a_replay_that_follows_goes_on_until_it_is_stopped(cli: Cli) -> None:
    cli.run("produce", "--name", "f1", "--actor", "followed", stdin=lines(opened("account/f")))
    command = [str(LIGHTHOUSE), "replay", "--actor", "followed", "--follow", "--json"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=cli.environment, cwd=cli.directory, stdout=pipe, text=True) as process:
        try:
            assert process.stdout is not None
            assert json.loads(process.stdout.readline())["version"] == 0
            cli.run("produce", "--name", "f2", "--actor", "followed", stdin=lines(deposited("account/f", 5)))
            assert json.loads(process.stdout.readline())["data"] == {"amount": 5}
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 130
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("replay", "--category", "nowhere"), "there is no category 'nowhere'"),
        (("replay", "--to-topic", "lighthouse.account"), "have owners of their own"),
        (("state", "account/none"), "there is no stream account/none"),
        (("state", "nowhere/x"), "there is no category 'nowhere'"),
        (("state", "account/a b"), "is not category/id"),
        (("state", "account/x", "--as-of", "someday"), "is not a date or time"),
        (("state", "account/x", "--version", "1", "--as-of", "2020-01-01"), "give one of"),
        (("state", "account/x", "--bookmark", "page=3"), "has no bookmark 'page'"),
        (("produce", "/does/not/exist"), "cannot be read"),
    ],
)
def test_an_error_is_a_sentence(cli: Cli, arguments: tuple[str, ...], said: str) -> None:
    done = cli.run(*arguments, code=1)
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_status_doctor_topics_schemas_streams_settings(cli: Cli) -> None:
    status = result(cli.run("status", "--json"))
    assert {one["category"] for one in status["categories"]} >= {"account", "project"}
    assert all(one["owned"] == one["partitions"] for one in status["categories"])
    assert {one["name"] for one in status["processes"]} == {"kafka-1", "registry"}
    assert all(one["ok"] for one in result(cli.run("doctor", "--json")))
    assert all(not one["differences"] for one in result(cli.run("topics", "list", "--json")))
    assert result(cli.run("topics", "create", "--json"))["created"] == []
    assert result(cli.run("schemas", "check", "--json")) == {"account": [], "project": [], "system": []}
    pushed = result(cli.run("schemas", "push", "--json"))
    assert result(cli.run("schemas", "push", "--json")) == pushed
    assert all(one["versions"] == [1] for one in result(cli.run("schemas", "list", "--json")))
    standing = result(cli.run("streams", "status", "--over", "0.2", "--order", "hottest", "--json"))
    assert all(one["owned"] and one["lag_records"] >= 0 for one in standing["partitions"])
    owned = {name for one in standing["processes"] for name in one["partitions"]}
    assert owned == {f"{one['category']}-{one['partition']}" for one in standing["partitions"]}
    named = {one["name"]: one["value"] for one in result(cli.run("settings", "--json"))}
    assert named["LIGHTHOUSE_PARTITIONS"] == "4"
    for verb in (("status",), ("doctor",), ("streams", "status"), ("settings",)):
        assert cli.run(*verb).stdout


async def test_the_registry_refuses_an_incompatible_schema(cli: Cli) -> None:
    async with open_base(cli.settings) as base:
        schema = copy.deepcopy(base.schemas.local("account"))
        opened_type = schema["fields"][-1]["type"]["items"][1]
        opened_type["fields"].append({"name": "branch", "type": "string", "doc": "Mandatory, so old events lack it."})
        subject = base.schemas.subject("account")
        assert await base.registry.check(subject, schema) != []
        with pytest.raises(SchemaError):
            await base.registry.push(subject, schema)
        assert await base.registry.versions(subject) == [1]


@pytest.mark.parametrize("commits", [ordinary, odd_names, renames, merges, large], ids=lambda one: one.__name__)
async def test_import_git_lists_what_git_lists(cli: Cli, tmp_path: Path, commits: Callable[[], list[Made]]) -> None:
    repository, name = make(tmp_path / "repository", commits()), commits.__name__
    first = result(cli.run("import-git", str(repository), "--name", name, "--json"))
    again = result(cli.run("import-git", str(repository), "--name", name, "--json"))
    history = first_parents(repository)
    assert (first["commits"], again["commits"]) == (len(history), 0)
    async with open_platform(cli.settings) as platform:
        stream = f"project/{name}"
        for sha in history:
            version = await platform.history.find(stream, "CommitRecorded", "sha", sha)
            found = await platform.history.state(stream, At(version))
            assert listing(found.state) == ls_tree(repository, sha), sha
    shown = cli.run("state", f"project/{name}", "--commit", history[-1])
    assert len(shown.stdout.splitlines()) == ls_tree(repository, history[-1]).count(b"\0")


def test_up_says_that_it_runs_already(cli: Cli) -> None:
    done = cli.run("up", code=1)
    assert "runs" in done.stderr


def test_the_live_status_and_the_processes(cli: Cli, up: Up) -> None:
    assert cli.url in up.text
    assert httpx.get(f"{cli.url}/health/ready").json()["ready"] is True


def test_projections_are_listed_read_and_rebuilt(cli: Cli) -> None:
    cli.run("produce", "-", "--name", "listed", stdin=lines(opened("account/listed")))
    found = {one["name"]: one for one in result(cli.run("projections", "list", "--json"))}
    assert found.keys() >= {"activity", "streams", "index"}
    assert all(one["builds"][-1]["state"] == "live" for one in found.values())
    rows = result(cli.run("projections", "rows", "streams", "--prefix", "account/", "--json"))["rows"]
    assert rows
    key, row = rows[0]["key"], rows[0]["row"]
    assert result(cli.run("projections", "rows", "streams", key, "--json"))["row"] == row
    before = found["streams"]["generation"]
    rebuilt = result(cli.run("projections", "rebuild", "streams", "--json"))
    assert (rebuilt["version"], rebuilt["generation"]) == (1, before + 1)
    assert result(cli.run("projections", "rows", "streams", key, "--json"))["row"]["head"] >= row["head"]
    assert result(cli.run("projections", "drop", "streams", f"1.{before}", "--json"))["known"] is False
    assert result(cli.run("projections", "drop", "streams", f"1.{before}", "--json"))["known"] is True
    assert "answers queries" in cli.run("projections", "drop", "streams", f"1.{before + 1}", code=1).stderr
    assert "does not stand still" in cli.run("projections", "skip", "streams", code=1).stderr
    for verb in (("list",), ("rows", "activity")):
        assert cli.run("projections", *verb).stdout


def test_processors_are_started_kept_alive_and_named(cli: Cli, up: Up) -> None:
    command = [str(LIGHTHOUSE), "streams", "run", "--instances", "1"]
    with subprocess.Popen(command, env=cli.environment, stderr=subprocess.PIPE, text=True) as streams:
        assert streams.stderr is not None
        begun = [streams.stderr.readline() for _ in range(2)]
        assert [line.partition(" ")[0] for line in begun] == ["processor-1", "reactors"]
        pids = [int(re.findall(r"pid (\d+)", line)[0]) for line in begun]
        os.kill(pids[0], signal.SIGKILL)
        again = next(line for line in streams.stderr if line.startswith("processor-1 started"))
        assert str(pids[0]) not in again.partition(", log")[0]
        scaled = result(cli.run("streams", "scale", "3", "--json"))  # beside the one of `up`
        assert (scaled["before"], scaled["instances"]) == (2, 3)
        assert len(processes(cli)) == 3
        assert result(cli.run("streams", "scale", "1", "--json"))["before"] == 3
        assert len(processes(cli)) == 1
        streams.send_signal(signal.SIGINT)
        assert streams.wait(30) == 0


def processes(cli: Cli) -> list[str]:
    """The processors that own partitions, by name."""
    standing = result(cli.run("streams", "status", "--over", "0.2", "--json"))
    assert standing["total"]["owned"] == standing["total"]["partitions"]
    return [one["name"] for one in standing["processes"]]
