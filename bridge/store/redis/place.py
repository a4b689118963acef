"""Where a server is: from a URL to addresses and connections."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from redis.asyncio.connection import Connection, SSLConnection, parse_url

from bridge.errors import LighthouseError
from bridge.store.redis.node import Address
from bridge.urls import RESERVED, without_secret

PORT = 6379
CLUSTER = "+cluster"
OURS = {
    "protocol": 2,
    "decode_responses": False,
    "socket_timeout": None,
    "driver_info": None,
    "client_name": "lighthouse",
}
"""What every connection is, whatever the URL says. How long one waits is decided where it is used."""


@dataclass(frozen=True)
class Place:
    """A server, or the nodes of a cluster that are asked where all of them are."""

    seeds: tuple[Address, ...]
    cluster: bool
    connect: Callable[[Address], Connection]


def place_of(url: str) -> Place:
    """What `redis[s]://[user:password@]host[:port][/database]` and `redis[s]+cluster://[…@]host[:port],…` name.

    A query has further words of redis-py, e.g. `?ssl_ca_certs=ca.pem`. Raises LighthouseError.
    """
    parts = urlsplit(url)
    secret, at, hosts = parts.netloc.rpartition("@")
    cluster = parts.scheme.endswith(CLUSTER)
    plain = parts._replace(scheme=parts.scheme.removesuffix(CLUSTER), netloc=f"{secret}{at}host")
    try:
        options = dict(parse_url(plain.geturl()))
        seeds = tuple(_address(host) for host in hosts.split(","))
        kind = options.pop("connection_class", Connection)
        _require(not cluster or not options.get("db"), "a cluster has no databases")
        _require(cluster or len(seeds) == 1, "several hosts are those of a cluster: redis+cluster://…")
        return Place(seeds, cluster, _connecting(kind, options))
    except (ValueError, TypeError) as error:
        raise LighthouseError(f"{without_secret(url)!r} names no Redis: {error}") from error


def _require(right: bool, otherwise: str) -> None:
    if not right:
        raise ValueError(otherwise)


def _address(host: str) -> Address:
    parts = urlsplit(f"//{host}")
    _require(bool(parts.hostname), "it does not say on which host")
    try:
        return str(parts.hostname), parts.port or PORT
    except ValueError:
        raise ValueError(RESERVED) from None  # what was raised may have the password


def _connecting(kind: object, options: dict[str, object]) -> Callable[[Address], Connection]:
    chosen: Callable[..., Connection] = SSLConnection if kind is SSLConnection else Connection

    def connect(address: Address) -> Connection:
        return chosen(**(options | OURS | {"host": address[0], "port": address[1]}))

    connect(("localhost", PORT))  # words that no connection knows are told here
    return connect
