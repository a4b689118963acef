"""A real Redis of the machine's own installation, on loopback alone: one server, or a cluster of three masters.

Nothing is written to disk: what a hot store holds is rebuilt from the history, which is sooner done than a half-old
state is told from a whole one. So a server that is started again is empty, and owners find that their marks are gone.
"""

from __future__ import annotations

import re
import secrets
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bridge.errors import LocalError
from bridge.local import ports
from bridge.local.child import PAUSE, REST, Child, late, stop_all
from bridge.local.home import Claim, replace, require_ours
from bridge.local.jars import Report, silent
from bridge.settings import Settings

LOCAL_REDIS = "redis"
LOCAL_CLUSTER = "redis-cluster"
"""The hot store's URLs that stand for the home's own server or cluster."""

MASTERS = 3
REPLICAS = 2
SLOTS = 16384
BUSES_AFTER = 10
OLDEST = 7
STOP_SECONDS = 5.0
ASK_SECONDS = 1.0
NODE_TIMEOUT_MS = 2000
"""A master that is silent for so long is replaced, which takes a second or two more."""

REPLACED = 3 * NODE_TIMEOUT_MS / 1000
"""Seconds before a node that has ended comes back, empty: as a master still, it would empty its replicas as well."""

SERVER = {
    "bind": ports.HOST,
    "save": '""',
    "appendonly": "no",
    "maxmemory-policy": "noeviction",
    "repl-diskless-sync": "yes",
    "repl-diskless-sync-delay": "0",
    "repl-backlog-size": "16mb",
}
NODE = {
    "cluster-enabled": "yes",
    "cluster-config-file": "nodes.conf",
    "cluster-node-timeout": NODE_TIMEOUT_MS,
    "cluster-require-full-coverage": "no",
}


@dataclass(frozen=True)
class RedisServing:
    """Ports and password, kept in `redis/server.json`, which also marks the directory as ours."""

    ports: tuple[int, ...]
    buses: tuple[int, ...]  # those that the nodes of a cluster talk to each other over; none for one server
    password: str

    @property
    def url(self) -> str:
        """Where its clients connect, with the password."""
        hosts = ",".join(f"{ports.HOST}:{port}" for port in self.ports)
        return f"redis{'+cluster' if self.buses else ''}://:{self.password}@{hosts}"


@dataclass(frozen=True)
class RedisNode:
    """One server; `number` begins at 1, and in a new cluster the first three are masters."""

    number: int
    port: int
    password: str
    child: Child

    @property
    def pid(self) -> int:
        """Its process id; it changes when it is started again."""
        return self.child.pid

    def answers(self, count: int) -> bool:
        """Whether it serves, and is linked with the others where there are `count` of them."""
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        once = Retry(NoBackoff(), 0)
        with redis.Redis(
            ports.HOST, self.port, password=self.password, socket_timeout=ASK_SECONDS, retry=once
        ) as client:
            try:
                return bool(client.ping()) and (count == 1 or _joined(client, count))
            except redis.RedisError:
                return False


@dataclass(frozen=True)
class LocalRedis:
    """A running local Redis. It ends with this process, however this process ends."""

    url: str
    nodes: tuple[RedisNode, ...]
    claim: Claim
    start_timeout: float
    training: bool = False

    @property
    def children(self) -> tuple[Child, ...]:
        """The nodes' processes."""
        return tuple(node.child for node in self.nodes)

    def check(self) -> None:
        """Raises LocalError with the end of the log of the first node that died."""
        for child in self.children:
            child.check()

    def stop(self, timeout: float = STOP_SECONDS) -> None:
        """Stops every node, killing what is left after `timeout` seconds."""
        stop_all(self.children, timeout)
        self.claim.release()

    def node(self, number: int) -> RedisNode:
        """The node with that number. Raises LocalError."""
        if not 1 <= number <= len(self.nodes):
            raise LocalError(f"there is no Redis node {number}; there are {len(self.nodes)}")
        return self.nodes[number - 1]

    def kill(self, number: int = 1) -> None:
        """SIGKILL to one node; returns when it has ended."""
        self.node(number).child.kill()

    def begin(self, number: int = 1) -> None:
        """Starts a node that has ended, empty, and waits until it answers. Raises LocalError."""
        node = self.node(number)
        node.child.start()
        self.record()
        _await([node], 1, self.start_timeout)

    def record(self) -> None:
        """Writes down who runs."""
        self.claim.record(self.children)


def start_redis(settings: Settings, on_progress: Report = silent) -> LocalRedis:
    """Starts one server, empty, and returns when it answers.

    Raises LocalError: no Redis is installed, it runs already, its port is in use, the directory is another's, no room,
    or it died or did not answer within `start_timeout`.
    """
    return _claimed(settings, on_progress, 1)


def start_redis_cluster(settings: Settings, on_progress: Report = silent) -> LocalRedis:
    """Starts three masters with two replicas each, empty, and returns when all know each other. Raises LocalError."""
    return _claimed(settings, on_progress, MASTERS * (1 + REPLICAS))


def _claimed(settings: Settings, on_progress: Report, count: int) -> LocalRedis:
    claim = Claim(settings, "redis")
    try:
        return _start(settings, claim, on_progress, count)
    except BaseException:
        claim.release()
        raise


def _start(settings: Settings, claim: Claim, on_progress: Report, count: int) -> LocalRedis:
    program = find_program(settings)
    serving = open_redis(settings, count)
    nodes = _nodes(settings, program, serving)
    server = LocalRedis(serving.url, nodes, claim, settings.start_timeout)
    on_progress(f"starting Redis at {ports.HOST}:{serving.ports[0]}")
    try:
        for node in nodes:
            node.child.start()
        server.record()
        _await(nodes, count, settings.start_timeout)
    except BaseException:
        stop_all([node.child for node in nodes], 0.0)
        raise
    return server


def find_program(settings: Settings) -> Path:
    """`redis-server`. Raises LocalError where there is none, or too old a one."""
    chosen = settings.redis_bin
    known = shutil.which("redis-server") if chosen is None else str(chosen.expanduser().absolute() / "redis-server")
    if known is None or not Path(known).exists():
        raise LocalError(
            "no Redis is installed here: install it (Debian: apt-get install redis-server), set LIGHTHOUSE_REDIS_BIN "
            "to the directory of its programs, or LIGHTHOUSE_HOT_STORE to the URL of a server"
        )
    told = subprocess.run([known, "--version"], check=False, capture_output=True, text=True, timeout=30).stdout
    version = re.search(r"v=(\d+)", told)
    if version is None or int(version[1]) < OLDEST:
        raise LocalError(f"{known} is {told.strip() or 'no Redis'}; version {OLDEST} or a newer one is needed")
    return Path(known)


def open_redis(settings: Settings, count: int) -> RedisServing:
    """Ports and password, written down for the processes of this home. Raises LocalError."""
    file = settings.root / "redis" / "server.json"
    require_ours(file)
    known = msgspec.json.decode(file.read_bytes(), type=RedisServing) if file.exists() else None
    found, buses = _ports(settings, known, count)
    serving = RedisServing(found, buses, known.password if known else secrets.token_urlsafe(24))
    file.parent.mkdir(parents=True, exist_ok=True)
    replace(file, msgspec.json.encode(serving), private=True)
    return serving


def _ports(settings: Settings, known: RedisServing | None, count: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Those for clients, and those of the cluster's own bus."""
    linked = count > 1
    if first := settings.redis_port:
        fixed = tuple(range(first, first + count))
        buses = tuple(port + BUSES_AFTER for port in fixed) if linked else ()
        for port in (*fixed, *buses):
            ports.require_free(port, "LIGHTHOUSE_REDIS_PORT")
        return fixed, buses
    if known and len(known.ports) == count and all(map(ports.is_free, (*known.ports, *known.buses))):
        return known.ports, known.buses
    picked = ports.pick(2 * count if linked else 1)
    return picked[:count], picked[count:]


def _nodes(settings: Settings, program: Path, serving: RedisServing) -> tuple[RedisNode, ...]:
    """The servers, each in a new directory of its own, not started yet."""
    names = tuple(secrets.token_hex(20) for _ in serving.ports)
    nodes = []
    for number, port in enumerate(serving.ports, 1):
        home = settings.root / "redis" / str(number)
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        bus = {"cluster-port": serving.buses[number - 1], **NODE} if serving.buses else {}
        secret = {"requirepass": serving.password, "masterauth": serving.password}
        lines = (f"{key} {value}\n" for key, value in ({"port": port, "dir": home} | SERVER | secret | bus).items())
        replace(home / "redis.conf", "".join(lines).encode(), private=True)
        if serving.buses:
            replace(home / "nodes.conf", map_of(serving, names, number).encode())
        log = settings.root / "logs" / f"redis-{number}.log"
        rest = REPLACED if serving.buses else REST
        child = Child(f"redis-{number}", [str(program), str(home / "redis.conf")], log, home, rest)
        nodes.append(RedisNode(number, port, serving.password, child))
    return tuple(nodes)


def map_of(serving: RedisServing, names: Sequence[str], me: int) -> str:
    """The cluster's map as Redis keeps it, `nodes.conf`: with it each node knows all others from its first moment on.

    Everybody who meets everybody, as `redis-cli --cluster create` has it, takes seconds.
    """
    lines = []
    for number, (name, port, bus) in enumerate(zip(names, serving.ports, serving.buses, strict=True), 1):
        master = (number - 1) % MASTERS
        myself = "myself," if number == me else ""
        role = f"{myself}master -" if number <= MASTERS else f"{myself}slave {names[master]}"
        slots = f" {SLOTS * master // MASTERS}-{SLOTS * (master + 1) // MASTERS - 1}" if number <= MASTERS else ""
        lines.append(f"{name} {ports.HOST}:{port}@{bus} {role} 0 0 {master + 1} connected{slots}\n")
    return "".join(lines) + f"vars currentEpoch {MASTERS} lastVoteEpoch 0\n"


def _await(nodes: Sequence[RedisNode], count: int, timeout: float) -> None:
    """Returns when each node answers. Raises LocalError."""
    deadline = time.monotonic() + timeout
    for node in nodes:
        while not node.answers(count):
            node.child.check()
            if time.monotonic() > deadline:
                raise LocalError(late(node.child.name, timeout, node.child.log))
            time.sleep(PAUSE)


def _joined(client: object, count: int) -> bool:
    """Whether a node of a cluster knows all others, and a master has its replicas, or a replica its master."""
    import redis

    assert isinstance(client, redis.Redis)
    known, found = client.cluster("INFO"), client.info("replication")
    assert isinstance(found, dict)
    linked = found.get("connected_slaves") == REPLICAS or found.get("master_link_status") == "up"
    return linked and known["cluster_state"] == "ok" and known["cluster_known_nodes"] == str(count)
