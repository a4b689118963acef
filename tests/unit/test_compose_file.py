"""docker-compose.yml: what waits for what, and, where Docker's compose is installed, that it takes the file."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from bridge.settings import Settings

FILE = Path(__file__).parents[2] / "docker-compose.yml"


@cache
def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(FILE.read_text())["services"]
    return found


def test_docker_compose_takes_it() -> None:
    docker = shutil.which("docker")
    known = docker is not None and not subprocess.run([docker, "compose", "version"], capture_output=True).returncode
    if not known:
        pytest.skip("`docker compose` is not installed here, so that its `config` cannot check docker-compose.yml")
    done = subprocess.run(
        [str(docker), "compose", "--file", str(FILE), "config", "--quiet"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_three_brokers_of_which_two_must_have_each_record() -> None:
    brokers = [services()[f"kafka-{node}"]["environment"] for node in (1, 2, 3)]
    assert [one["KAFKA_NODE_ID"] for one in brokers] == [1, 2, 3]
    for one in brokers:
        assert one["KAFKA_PROCESS_ROLES"] == "broker,controller"
        assert (one["KAFKA_DEFAULT_REPLICATION_FACTOR"], one["KAFKA_MIN_INSYNC_REPLICAS"]) == ("3", "2")
        assert one["KAFKA_UNCLEAN_LEADER_ELECTION_ENABLE"] == "false"


def test_who_is_waited_for_says_when_it_is_ready() -> None:
    for name, one in services().items():
        for other, how in one.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "healthcheck" in services()[other], f"{name} waits for {other}, which never says so"
            else:
                assert how["condition"] == "service_completed_successfully"
                assert services()[other].get("restart", "no") == "no", f"{other} would be started for ever"


def test_a_health_check_asks_where_its_server_listens() -> None:
    """BusyBox's wget takes `localhost` for ::1 alone, and nginx is told to listen on IPv4."""
    for one in services().values():
        check = one.get("healthcheck", {"test": []})["test"]
        assert "wget" not in check or "//localhost" not in check[-1]
    assert services()["front"]["healthcheck"]["test"][-1] == "http://127.0.0.1/health/live"


def test_no_process_of_the_platform_starts_before_all_is_prepared() -> None:
    for name in ("processor", "reactors", "api"):
        assert services()[name]["depends_on"] == {"prepare": {"condition": "service_completed_successfully"}}
    assert services()["prepare"]["depends_on"].keys() == {
        *(f"kafka-{node}" for node in (1, 2, 3)),
        "postgres",
        "registry",
        "redis-cluster",
    }


def test_every_variable_of_the_platform_is_a_setting() -> None:
    known = {f"LIGHTHOUSE_{name.upper()}" for name in Settings.model_fields}
    for name in ("prepare", "processor", "reactors", "api"):
        assert set(services()[name]["environment"]) <= known
