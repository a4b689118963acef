"""Three brokers, each in a network namespace of its own where the machine allows it, with faults on call."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka.admin import AdminClient

from bridge.local import LocalKafka, start_kafka
from bridge.local.kafka import Broker
from bridge.settings import Settings
from tests.campaign.network import NODES, Network, network

PATIENCE = 90.0
DISK = 220 << 20
"""Bytes of a small disk: a broker's own topics take some of it at once."""


@dataclass
class Brokers:
    """The brokers by their numbers, 1 to 3. `network` is None where everything is on loopback."""

    kafka: LocalKafka
    bootstrap: str
    network: Network | None

    def broker(self, node: int) -> Broker:
        """One of them."""
        return self.kafka.brokers[node - 1]

    def kill(self, *nodes: int) -> None:
        """SIGKILL to some; returns when they have ended."""
        for node in nodes:
            os.kill(self.broker(node).pid, signal.SIGKILL)
        for node in nodes:
            self.broker(node).child.kill()

    def stop(self, node: int) -> None:
        """An orderly end."""
        self.broker(node).child.stop(30.0)

    def freeze(self, *nodes: int) -> None:
        """SIGSTOP."""
        for node in nodes:
            os.kill(self.broker(node).pid, signal.SIGSTOP)

    def thaw(self, *nodes: int) -> None:
        """SIGCONT."""
        for node in nodes:
            os.kill(self.broker(node).pid, signal.SIGCONT)

    def begin(self, *nodes: int) -> None:
        """Starts some again."""
        for node in nodes:
            broker = self.broker(node)
            command = self.kafka.jvm.command(str(broker.directory / "server.properties"))
            prefix = self.network.command(node) if self.network else []
            broker.child.start([*prefix, *command])
        self.kafka.record()

    async def whole(self) -> None:
        """Returns once each broker itself says that all are there, and that all replicas are in sync.

        The others name one that was killed, and its replicas, until its session is over; the one that is started again
        answers only when it has been registered anew.
        """
        deadline = time.monotonic() + PATIENCE
        while (wrong := await asyncio.to_thread(self._missing)) is not None:
            self.kafka.check()
            assert time.monotonic() < deadline, f"not whole after {PATIENCE:.0f} s: {wrong}"
            await asyncio.sleep(0.2)

    def _missing(self) -> str | None:
        said = map(self._missing_by, self.bootstrap.split(","))
        return next((wrong for wrong in said if wrong is not None), None)

    def _missing_by(self, address: str) -> str | None:
        """What is missing as the broker at this address sees it. A client that is new knows no other one to ask."""
        try:
            found = AdminClient({"bootstrap.servers": address, "log_level": 0}).list_topics(timeout=2.0)
        except Exception as error:  # whatever the client says of a broker that is away
            return f"{address}: {error}"
        if len(found.brokers) < len(NODES):
            return f"brokers {sorted(found.brokers)}"
        thin = [topic for topic, one in found.topics.items() if any(len(p.isrs) < 3 for p in one.partitions.values())]
        return f"replicas are missing in {thin}" if thin else None

    def leader(self, topic: str, partition: int) -> int:
        """The broker that leads a partition."""
        found = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0}).list_topics(topic, timeout=10.0)
        return int(found.topics[topic].partitions[partition].leader)


@contextmanager
def brokers(home: Path, cache: Path, small_disk: bool = False) -> Iterator[Brokers]:
    """Three new ones, stopped at the end. With `small_disk` the first one's log is on a disk of some MiB."""
    settings = Settings(home=home, cache=cache, kafka_port=0, brokers=3, kafka_bootstrap="", start_timeout=120.0)
    with ExitStack() as stack:
        lan = stack.enter_context(_network_or_none())
        kafka = start_kafka(settings)
        stack.callback(_end, kafka)
        if lan is not None or small_disk:
            for broker in kafka.brokers:
                broker.child.stop(30.0)
        if small_disk:
            stack.enter_context(_on_small_disk(kafka.brokers[0].directory))
        found = Brokers(kafka, _moved(kafka, lan) if lan is not None else kafka.bootstrap, lan)
        if lan is not None or small_disk:
            found.begin(*NODES)
        stack.callback(_end, kafka)  # before the disk is gone
        yield found


def _end(kafka: LocalKafka) -> None:
    for broker in kafka.brokers:
        if broker.pid and broker.child.exit_code is None:
            os.kill(broker.pid, signal.SIGCONT)
    kafka.stop()


@contextmanager
def _network_or_none() -> Iterator[Network | None]:
    with ExitStack() as stack:
        try:
            made = stack.enter_context(network())
        except OSError:
            yield None
        else:
            yield made


@contextmanager
def _on_small_disk(directory: Path) -> Iterator[None]:
    """All that a broker has, on a disk of some MiB."""
    aside = directory.with_name("aside")
    directory.rename(aside)
    with tmpfs(directory, DISK):
        shutil.copytree(aside, directory, dirs_exist_ok=True)
        yield


def _moved(kafka: LocalKafka, lan: Network) -> str:
    """Gives each broker, which has ended, an address of its own; answers the bootstrap servers."""
    voters, clients = [], []
    for node in NODES:
        file = kafka.brokers[node - 1].directory / "server.properties"
        lines = dict(line.split("=", 1) for line in file.read_text().splitlines() if "=" in line)
        client, controller = (one.rpartition(":")[2] for one in lines["listeners"].split(","))
        voters.append(f"{node}@{lan.address(node)}:{controller}")
        clients.append(f"{lan.address(node)}:{client}")
    for node in NODES:
        file = kafka.brokers[node - 1].directory / "server.properties"
        lines = dict(line.split("=", 1) for line in file.read_text().splitlines() if "=" in line)
        for key in ("listeners", "advertised.listeners"):
            lines[key] = lines[key].replace("127.0.0.1", lan.address(node))
        lines["controller.quorum.voters"] = ",".join(voters)
        file.write_text("".join(f"{key}={value}\n" for key, value in lines.items()))
    return ",".join(clients)


@contextmanager
def tmpfs(path: Path, size: int) -> Iterator[None]:
    """A disk of so many bytes. Raises OSError where none can be mounted."""
    path.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"no small disk can be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)
