"""A second start finds the data again; `down --wipe` forgets it."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import Cli

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


def test_a_second_start_finds_the_data_and_wipe_forgets_it(cli: Cli) -> None:
    line = json.dumps({"stream": "account/kept", "type": "AccountOpened", "data": {"owner": "Ada"}})
    first = cli.up("--instances", "1")
    cli.run("produce", "--name", "kept", stdin=line)
    assert first.stop() == 0, first.text

    assert "Kafka" in cli.run("state", "account/kept", code=1).stderr
    second = cli.up("--instances", "1")
    assert json.loads(cli.run("state", "account/kept", "--json").stdout)["state"]["owner"] == "Ada"
    ended = json.loads(cli.run("down", "--wipe", "--json").stdout)
    assert ended == {"ended": second.process.pid, "wiped": True}
    assert second.stop() == 0, second.text

    third = cli.up("--instances", "1")
    assert "there is no stream" in cli.run("state", "account/kept", code=1).stderr
    assert third.stop() == 0, third.text
