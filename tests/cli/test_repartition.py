"""`topics repartition` as a person does it: end `up`, run the command, start `up` again."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import Cli

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


def test_a_category_gets_more_partitions_between_two_starts(cli: Cli) -> None:
    lines = "\n".join(
        json.dumps({"stream": f"account/{number}", "type": "AccountOpened", "data": {"owner": f"Ada {number}"}})
        for number in range(20)
    )
    first = cli.up("--instances", "1")
    cli.run("produce", "--name", "many", stdin=lines)
    told = [events_of(cli, number) for number in range(3)]
    refused = cli.run("topics", "repartition", "account", "--partitions", "8", code=1).stderr
    assert "end them" in refused
    assert first.stop() == 0, first.text

    assert "--partitions N" in cli.run("topics", "repartition", "account", code=1).stderr
    planned = json.loads(cli.run("topics", "repartition", "account", "--partitions", "8", "--dry-run", "--json").stdout)
    assert (planned["before"], planned["after"], planned["problems"]) == (4, 8, [])
    assert planned["records"] >= 20
    done = json.loads(cli.run("topics", "repartition", "account", "--partitions", "8", "--json").stdout)
    assert (done["streams"], done["appends"], done["after"]) == (20, 20, 8)

    second = cli.up("--instances", "1")
    assert "has 8 partitions already" in cli.run("topics", "repartition", "account", "--partitions", "8", code=1).stderr
    assert "no category" in cli.run("topics", "repartition", "nothing", "--partitions", "8", code=1).stderr
    assert "is not being repartitioned" in cli.run("topics", "repartition", "account", "--abandon", code=1).stderr
    topics = {row["topic"]: row["partitions"] for row in json.loads(cli.run("topics", "list", "--json").stdout)}
    assert (topics["lighthouse.account"], topics["lighthouse.account.events"]) == (8, 4)
    assert [events_of(cli, number) for number in range(3)] == told
    assert json.loads(cli.run("produce", "--name", "many", "--json", stdin=lines).stdout)["duplicates"] == 20
    assert second.stop() == 0, second.text


def events_of(cli: Cli, number: int) -> list[dict[str, object]]:
    """What an account's events are, but for where they lie."""
    lines = cli.run("events", f"account/{number}", "--json").stdout.splitlines()
    assert lines
    return [placeless(json.loads(line)) for line in lines]


def placeless(event: dict[str, object]) -> dict[str, object]:
    """An event but for where it lies."""
    return {name: value for name, value in event.items() if name not in ("partition", "offset", "position")}
