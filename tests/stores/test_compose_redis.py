"""The Redis Cluster of docker-compose.yml, made by its own script out of its own servers, without containers."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from secrets import randbelow
from typing import Any

import pytest
import redis
import yaml

from bridge.errors import LocalError
from bridge.local.child import Child, stop_all
from bridge.local.redis import find_program
from bridge.settings import Settings

pytestmark = pytest.mark.integration

FILE = Path(__file__).parents[2] / "docker-compose.yml"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(FILE.read_text())["services"]
PASSWORD = "lighthouse"
SECONDS = 90


def interpolated(text: str) -> str:
    """As compose hands it on."""
    return re.sub(r"\$\{\w+:-(\w+)\}", r"\1", text).replace("$$", "$")


class Nodes:
    """Nine servers at the addresses of a loopback network of their own, and the names that the script calls them."""

    def __init__(self, home: Path, program: Path) -> None:
        network = f"127.{1 + randbelow(254)}.{randbelow(256)}"
        self.addresses = [f"{network}.{number}" for number in range(1, 10)]
        self.hosts = home / "hosts"
        self.hosts.write_text("".join(f"{address} redis-{n}\n" for n, address in enumerate(self.addresses, 1)))
        self.children = []
        for number, address in enumerate(self.addresses, 1):
            directory = home / str(number)
            directory.mkdir()
            said = [interpolated(part) for part in SERVICES[f"redis-{number}"]["command"][1:]]
            command = [
                str(program),
                *said,
                f"--bind {address}",
                f"--cluster-announce-ip {address}",
                f"--dir {directory}",
            ]
            self.children.append(Child(f"redis-{number}", command, home / f"{number}.log", directory))

    def start(self) -> None:
        """Returns when all answer."""
        for child in self.children:
            child.start()
        for child, address in zip(self.children, self.addresses, strict=True):
            child.await_answer(partial(answers, address), SECONDS)

    def stop(self) -> None:
        """Ends all; each keeps its map of the cluster."""
        stop_all(self.children, SECONDS)

    def state(self) -> dict[str, str]:
        """What the first says of the cluster."""
        with redis.Redis(self.addresses[0], password=PASSWORD) as client:
            found: dict[str, str] = client.cluster("INFO")
            return found

    def make(self) -> subprocess.CompletedProcess[str]:
        """Runs the script of the service `redis-cluster`."""
        (script,) = SERVICES["redis-cluster"]["command"]
        within = (
            f"mount --bind {shlex.quote(str(self.hosts))} /etc/hosts && exec sh -ec {shlex.quote(interpolated(script))}"
        )
        return subprocess.run(
            ["unshare", "--map-root-user", "--mount", "sh", "-ec", within],
            env=os.environ | {"REDISCLI_AUTH": PASSWORD},
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )


def answers(address: str) -> bool:
    with suppress(redis.ConnectionError), redis.Redis(address, password=PASSWORD) as client:
        return bool(client.ping())
    return False


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    try:
        program = find_program(Settings())
    except LocalError as error:
        pytest.skip(str(error))
    if shutil.which("redis-cli") is None:
        pytest.skip("there is no redis-cli here, with which the script makes the cluster")
    if subprocess.run(["unshare", "--map-root-user", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("this user may not have a mount namespace, in which the script finds its hosts")
    found = Nodes(tmp_path, program)
    try:
        found.start()
        yield found
    finally:
        found.stop()


def test_the_script_makes_a_cluster_and_leaves_one_alone_that_is_only_just_starting(nodes: Nodes) -> None:
    first = nodes.make()
    assert first.returncode == 0, first.stdout + first.stderr
    whole = nodes.state()
    assert (whole["cluster_state"], whole["cluster_slots_assigned"], whole["cluster_known_nodes"]) == (
        "ok",
        "16384",
        "9",
    )
    nodes.stop()
    nodes.start()
    assert nodes.state()["cluster_state"] == "fail", "its nodes have not found each other yet"
    again = nodes.make()
    assert again.returncode == 0, again.stdout + again.stderr
    assert nodes.state()["cluster_state"] == "ok"
