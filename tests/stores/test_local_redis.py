"""The local Redis, for real: alone and as a cluster, what it survives, and what it says when it cannot start."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import redis

from bridge.errors import LighthouseError, LocalError
from bridge.local import ports, running, wipe
from bridge.local.addresses import ChosenStores, choose_stores, history_at, located, stores_of
from bridge.local.redis import LOCAL_CLUSTER, LOCAL_REDIS, start_redis, start_redis_cluster
from bridge.settings import Settings
from tests.databases import redis_server, tell

pytestmark = pytest.mark.integration

OWNER = """
import sys, time
from pathlib import Path
from bridge.local.redis import start_redis
from bridge.settings import Settings
print(start_redis(Settings(home=Path(sys.argv[1]), redis_port=0)).nodes[0].pid, flush=True)
time.sleep(600)
"""
ELSEWHERE = Settings(kafka_bootstrap="127.0.0.1:1", registry_url="http://127.0.0.1:1", history_store="memory")


def test_it_serves_at_its_port_again_after_a_stop_and_a_kill_and_is_empty(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server:
        (node,) = server.nodes
        tell(node, "SET", "a", "1")
        server.kill()
        assert node.child.exit_code == -signal.SIGKILL
        with pytest.raises(LocalError, match=r"redis-1 was ended by SIGKILL"):
            server.check()
        server.begin()
        assert tell(node, "DBSIZE") == 0
        tell(node, "SET", "a", "1")
    with redis_server(tmp_path) as again:
        assert again.url == server.url
        assert tell(again.nodes[0], "DBSIZE") == 0
    assert running(Settings(home=tmp_path)) is None


def test_it_wants_its_password_and_tells_it_nobody(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server:
        (node,) = server.nodes
        with pytest.raises(redis.AuthenticationError):
            tell(replace(node, password="guessed"), "PING")
        command = " ".join(psutil.Process(node.pid).cmdline())
        assert node.password not in command
        assert f"127.0.0.1:{node.port}" in command, "it listens nowhere else"
    for name in ("server.json", "1/redis.conf"):
        assert (tmp_path / "redis" / name).stat().st_mode & 0o077 == 0


def test_a_cluster_has_three_masters_with_two_replicas_each(tmp_path: Path) -> None:
    with redis_server(tmp_path, cluster=True) as server:
        roles = [tell(node, "ROLE") for node in server.nodes]
        assert [role[0] for role in roles] == [b"master"] * 3 + [b"slave"] * 6
        assert [len(role[2]) for role in roles[:3]] == [2, 2, 2]
        masters = [node.port for node in server.nodes[:3]]
        assert [role[2] for role in roles[3:]] == masters * 2
        told = tell(server.nodes[8], "CLUSTER INFO")
        assert (told["cluster_slots_ok"], told["cluster_known_nodes"]) == ("16384", "9")
        active = running(Settings(home=tmp_path))
        assert active
        assert [one.name for one in active.processes] == [f"redis-{number}" for number in range(1, 10)]
        with pytest.raises(LocalError, match="there is no Redis node 10; there are 9"):
            server.kill(10)


def test_a_home_may_go_over_from_a_server_to_a_cluster(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server:
        assert server.url.startswith("redis:")
    with redis_server(tmp_path, cluster=True) as cluster:
        assert cluster.url.startswith("redis+cluster:")
        assert tell(cluster.nodes[0], "CLUSTER INFO")["cluster_state"] == "ok"
    with redis_server(tmp_path) as server:
        assert tell(server.nodes[0], "PING")


def test_a_second_start_is_told_that_it_runs_already(tmp_path: Path) -> None:
    with redis_server(tmp_path), pytest.raises(LocalError, match="redis already runs in"):
        start_redis(Settings(home=tmp_path, redis_port=0))


def test_it_dies_with_a_killed_owner(tmp_path: Path) -> None:
    with redis_server(tmp_path):
        pass
    with subprocess.Popen([sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        server = psutil.Process(int(owner.stdout.readline()))
        owner.kill()
    server.wait(20)
    with redis_server(tmp_path) as again:
        assert tell(again.nodes[0], "PING")


def test_ports_in_use_are_told_at_once(tmp_path: Path) -> None:
    port = ports.pick(1)[0]
    with redis_server(tmp_path / "other"), closing(socket.create_server(("127.0.0.1", port))):
        with pytest.raises(LocalError, match=f"port {port} is in use.*LIGHTHOUSE_REDIS_PORT"):
            start_redis(Settings(home=tmp_path, redis_port=port))
        with pytest.raises(LocalError, match=r"port \d+ is in use.*LIGHTHOUSE_REDIS_PORT"):
            start_redis_cluster(Settings(home=tmp_path, redis_port=port - 3))


def test_a_machine_without_redis_is_told_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match=r"no Redis is installed here.*LIGHTHOUSE_REDIS_BIN"):
        start_redis(Settings(home=tmp_path / "home", redis_bin=tmp_path))
    old = tmp_path / "redis-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=6.2.5 sha=00000000:0'\n")
    old.chmod(0o755)
    with pytest.raises(LocalError, match=r"v=6\.2\.5 .*; version 7 or a newer one is needed"):
        start_redis(Settings(home=tmp_path / "home", redis_bin=tmp_path))


def test_a_directory_that_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "redis").mkdir()
    (tmp_path / "redis" / "theirs").touch()
    with redis_server(tmp_path / "other"), pytest.raises(LocalError, match="holds data that is not ours"):
        start_redis(Settings(home=tmp_path, redis_port=0))
    assert (tmp_path / "redis" / "theirs").exists()


# the home's choice


def test_a_home_remembers_its_hot_store(tmp_path: Path) -> None:
    settings = ELSEWHERE.model_copy(update={"home": tmp_path})
    assert located(settings).hot_store == ""
    choose_stores(settings, ChosenStores("lmdb", "redis://:secret@far:6379"))
    assert stores_of(settings) == ChosenStores("memory", "redis://:secret@far:6379")
    assert located(settings).hot_store == "redis://:secret@far:6379"
    assert located(settings.model_copy(update={"hot_store": "none"})).hot_store == ""
    choose_stores(settings, ChosenStores("lmdb", LOCAL_REDIS))
    with pytest.raises(LighthouseError, match="run `lighthouse up`, or set LIGHTHOUSE_HOT_STORE"):
        located(settings)
    with redis_server(tmp_path) as server:
        assert located(settings).hot_store == server.url


@pytest.mark.parametrize("url", [LOCAL_REDIS, LOCAL_CLUSTER, "rediss+cluster://:secret@far:6379"])
def test_a_history_is_not_kept_where_it_may_be_forgotten(tmp_path: Path, url: str) -> None:
    with pytest.raises(LighthouseError, match="Redis keeps no history") as caught:
        stores_of(Settings(home=tmp_path, history_store=url))
    assert "secret" not in str(caught.value)
    with pytest.raises(LighthouseError, match="Redis keeps no history"):
        history_at(Settings(home=tmp_path), url)


def test_a_choice_from_before_there_were_hot_stores_is_read(tmp_path: Path) -> None:
    (tmp_path / "stores.json").write_text('{"history":"postgresql://far/away"}')
    assert stores_of(Settings(home=tmp_path)) == ChosenStores("postgresql://far/away", "")


def test_the_local_cluster_is_found_again(tmp_path: Path) -> None:
    settings = ELSEWHERE.model_copy(update={"home": tmp_path, "hot_store": LOCAL_CLUSTER})
    with redis_server(tmp_path, cluster=True) as server:
        assert located(settings).hot_store == server.url
        assert located(located(settings)) == located(settings)


def test_a_wipe_forgets_the_server_and_the_choice(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, redis_port=0)
    with redis_server(tmp_path):
        choose_stores(settings, ChosenStores(hot=LOCAL_REDIS))
        with pytest.raises(LocalError, match="end it before wiping"):
            wipe(settings)
    wipe(settings)
    assert not (tmp_path / "redis").exists()
    assert stores_of(settings) == ChosenStores()
