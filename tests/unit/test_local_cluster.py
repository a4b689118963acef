"""What a data directory must say before a broker may write into it."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from bridge.errors import LocalError
from bridge.local.cluster import Cluster, directory, open_cluster, properties
from bridge.local.ports import HOST, is_free, pick, require_free
from bridge.local.registry import open_registry
from bridge.settings import Settings


def settings(tmp_path: Path, kafka_port: int = 0, registry_port: int = 0, brokers: int = 1) -> Settings:
    return Settings(home=tmp_path, kafka_port=kafka_port, registry_port=registry_port, brokers=brokers)


def meta(tmp_path: Path, cluster_id: str, node: int) -> None:
    data = directory(settings(tmp_path), 1) / "data"
    data.mkdir(parents=True)
    (data / "meta.properties").write_text(f"#\ncluster.id={cluster_id}\nnode.id={node}\nversion=1\n")


def test_a_cluster_keeps_its_id_and_its_ports(tmp_path: Path) -> None:
    assert open_cluster(settings(tmp_path)) == open_cluster(settings(tmp_path))


def test_a_cluster_keeps_its_id_when_its_ports_change(tmp_path: Path) -> None:
    (port,) = pick(1)
    assert open_cluster(settings(tmp_path)).id == open_cluster(settings(tmp_path, kafka_port=port)).id


def test_a_directory_with_something_else_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "kafka").mkdir()
    (tmp_path / "kafka" / "novel.txt").write_text("Call me Ishmael.")
    with pytest.raises(LocalError, match=r"holds data that is not ours"):
        open_cluster(settings(tmp_path))


def test_a_registry_directory_with_something_else_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "registry").mkdir()
    (tmp_path / "registry" / "novel.txt").write_text("Call me Ishmael.")
    with pytest.raises(LocalError, match=r"holds data that is not ours"):
        open_registry(settings(tmp_path))


def test_the_data_of_another_cluster_is_refused(tmp_path: Path) -> None:
    open_cluster(settings(tmp_path))
    meta(tmp_path, "another", 1)
    with pytest.raises(LocalError, match=r"says cluster.id=another"):
        open_cluster(settings(tmp_path))


def test_the_data_of_another_node_is_refused(tmp_path: Path) -> None:
    meta_of = open_cluster(settings(tmp_path)).id
    meta(tmp_path, meta_of, 2)
    with pytest.raises(LocalError, match=r"says node.id=2, but 1 belongs there"):
        open_cluster(settings(tmp_path))


def test_another_number_of_brokers_is_refused(tmp_path: Path) -> None:
    open_cluster(settings(tmp_path))
    with pytest.raises(LocalError, match=r"a Kafka of 1 brokers, not 3; set LIGHTHOUSE_BROKERS=1"):
        open_cluster(settings(tmp_path, brokers=3))


def test_a_cluster_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    open_cluster(settings(tmp_path))
    (tmp_path / "kafka" / "cluster.json").write_text("{")
    with pytest.raises(LocalError, match=r"cannot be read"):
        open_cluster(settings(tmp_path))


def test_a_port_in_use_is_named_with_its_setting(tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
        assert not is_free(port)
        with pytest.raises(LocalError, match=rf"port {port} is in use .* LIGHTHOUSE_KAFKA_PORT"):
            open_cluster(settings(tmp_path, kafka_port=port))
        with pytest.raises(LocalError, match=rf"port {port} is in use .* LIGHTHOUSE_REGISTRY_PORT"):
            open_registry(settings(tmp_path, registry_port=port))
        with pytest.raises(LocalError, match=r"set ANY_SETTING"):
            require_free(port, "ANY_SETTING")


def test_a_port_beyond_the_last_is_named_with_its_setting(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match=r"port 65545 does not exist.* LIGHTHOUSE_KAFKA_PORT"):
        open_cluster(settings(tmp_path, kafka_port=65535))


def test_a_kept_port_that_was_taken_meanwhile_is_replaced(tmp_path: Path) -> None:
    known = open_cluster(settings(tmp_path))
    with socket.create_server((HOST, known.ports[0])):
        assert open_cluster(settings(tmp_path)).ports != known.ports


def test_three_brokers_replicate_to_two_at_least(tmp_path: Path) -> None:
    cluster = Cluster("id", (1, 2, 3), (11, 12, 13))
    values = properties(cluster, 2, settings(tmp_path, brokers=3))
    assert values["listeners"] == "PLAINTEXT://127.0.0.1:2,CONTROLLER://127.0.0.1:12"
    assert values["controller.quorum.voters"] == "1@127.0.0.1:11,2@127.0.0.1:12,3@127.0.0.1:13"
    assert values["offsets.topic.replication.factor"] == 3
    assert values["min.insync.replicas"] == 2
