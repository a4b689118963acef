"""A second start finds the data again; `down --wipe` forgets it."""

from __future__ import annotations

import json

import pytest

from bridge.errors import LocalError
from bridge.local.addresses import ChosenStores, located, stores_of
from bridge.local.postgres import find_programs
from bridge.local.redis import LOCAL_CLUSTER, find_program
from bridge.store.postgres.link import VERSION
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


def test_a_home_keeps_its_histories_in_postgresql_once_told(cli: Cli) -> None:
    """The log has everything: the new store is filled from it, and every command finds the store."""
    try:
        find_programs(cli.settings)
    except LocalError as error:
        pytest.skip(str(error))
    line = json.dumps({"stream": "account/moved", "type": "AccountOpened", "data": {"owner": "Ada"}})
    first = cli.up("--instances", "1")
    cli.run("produce", "--name", "moved", stdin=line)
    assert "only PostgreSQL does" in cli.run("store", "migrate", code=1).stderr
    assert first.stop() == 0, first.text
    stopped = json.loads(cli.run("status", "--json").stdout)
    assert (stopped["processes"], stopped["categories"]) == ([], [])
    assert "nothing runs" in cli.run("status").stdout

    for arguments in (("--history", "postgres"), ()):
        again = cli.up("--instances", "1", *arguments)
        assert json.loads(cli.run("state", "account/moved", "--json").stdout)["state"]["owner"] == "Ada"
        assert json.loads(cli.run("store", "migrate", "--json").stdout) == {"version": VERSION}
        status = json.loads(cli.run("status", "--json").stdout)
        assert {one["name"] for one in status["processes"]} == {"kafka-1", "registry", "postgres"}
        assert again.stop() == 0, again.text


def test_a_home_runs_its_hot_store_once_told(cli: Cli) -> None:
    """A cluster of nine, beside the history's own store."""
    try:
        find_program(cli.settings)
    except LocalError as error:
        pytest.skip(str(error))
    cluster = {f"redis-{number}" for number in range(1, 10)}
    for arguments in (("--history", "lmdb", "--hot", "redis-cluster"), ()):
        running = cli.up("--instances", "1", *arguments)
        status = json.loads(cli.run("status", "--json").stdout)
        assert {one["name"] for one in status["processes"]} == {"kafka-1", "registry"} | cluster
        assert stores_of(cli.settings) == ChosenStores("lmdb", LOCAL_CLUSTER)
        assert located(cli.settings).hot_store.startswith("redis+cluster://")
        assert running.stop() == 0, running.text
