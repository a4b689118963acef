"""Ports on the loopback address."""

from __future__ import annotations

import random
import socket
from collections import deque

from bridge.errors import LocalError

HOST = "127.0.0.1"
# Below the range from which Linux takes the ports of outgoing connections (32768 on): a broker that is restarted
# must find its port again.
FREE = range(20000, 32000)
TRIES = 200
LAST = 65535

_promised: deque[int] = deque(maxlen=1000)
"""Ports that this process has found for servers, some of which may not listen yet."""


def is_free(port: int) -> bool:
    """Whether a server could listen there now. Then nobody else in this process is given the port."""
    found = _is_free(port)
    if found:
        _promised.append(port)
    return found


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind((HOST, port))
            server.listen(1)
        except OSError:
            return False
    return True


def pick(count: int) -> tuple[int, ...]:
    """That many different free ports, none of them given before. Raises LocalError when the machine has none left."""
    candidates = random.sample(FREE, TRIES)
    free = [port for port in candidates if port not in _promised and _is_free(port)][:count]
    if len(free) < count:
        raise LocalError(f"no {count} free ports between {FREE.start} and {FREE.stop}; end some servers")
    _promised.extend(free)
    return tuple(free)


def require_free(port: int, setting: str) -> None:
    """Raises LocalError naming the port and the setting that changes it."""
    if port > LAST:
        raise LocalError(f"port {port} does not exist, the last is {LAST}; set {setting} to a lower one")
    if not is_free(port):
        raise LocalError(f"port {port} is in use by another process; end it, or set {setting} to another port")
