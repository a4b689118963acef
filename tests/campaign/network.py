"""A network namespace a broker, on a bridge of their own: so that one can be cut off from some and reached by others.

Needs Linux, root and iproute2. The bridge has no way out of the machine.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

NODES = (1, 2, 3)


@dataclass(frozen=True)
class Network:
    """Three namespaces; this machine itself is `host` in their network."""

    prefix: str
    subnet: int

    @property
    def host(self) -> str:
        """The address at which the brokers see this machine, and so their clients."""
        return f"10.77.{self.subnet}.254"

    def address(self, node: int) -> str:
        """A broker's address."""
        return f"10.77.{self.subnet}.{node}"

    def command(self, node: int) -> list[str]:
        """What a broker's command begins with, so that it runs in its namespace."""
        return [tool(), "netns", "exec", self._name(node)]

    def cut(self, node: int, *addresses: str) -> None:
        """What a broker sends to these addresses vanishes, until it is healed; what they send still arrives."""
        for address in addresses:
            self._inside(node, "route", "add", "blackhole", f"{address}/32")

    def heal(self, node: int) -> None:
        """Everything of a broker's arrives again."""
        self._inside(node, "route", "flush", "type", "blackhole")

    def others(self, node: int) -> list[str]:
        """The addresses of the other brokers."""
        return [self.address(other) for other in NODES if other != node]

    def _inside(self, node: int, *command: str) -> None:
        run("-n", self._name(node), *command)

    def _name(self, node: int) -> str:
        return f"{self.prefix}n{node}"

    def make(self) -> None:
        """Makes bridge and namespaces."""
        bridge = f"{self.prefix}br"
        run("link", "add", bridge, "type", "bridge")
        run("addr", "add", f"{self.host}/24", "dev", bridge)
        run("link", "set", bridge, "up")
        for node in NODES:
            name, end = self._name(node), f"{self.prefix}v{node}"
            run("netns", "add", name)
            run("link", "add", end, "type", "veth", "peer", "name", "eth0", "netns", name)
            run("link", "set", end, "master", bridge)
            run("link", "set", end, "up")
            self._inside(node, "addr", "add", f"{self.address(node)}/24", "dev", "eth0")
            self._inside(node, "link", "set", "eth0", "up")
            self._inside(node, "link", "set", "lo", "up")

    def remove(self) -> None:
        """Removes what there is of it."""
        for node in NODES:
            run("netns", "del", self._name(node), check=False)
            run("link", "del", f"{self.prefix}v{node}", check=False)
        run("link", "del", f"{self.prefix}br", check=False)


@contextmanager
def network() -> Iterator[Network]:
    """A network of this process's own. Raises OSError where there cannot be one."""
    made = Network(f"lh{os.getpid() % 100_000}", os.getpid() % 200)
    try:
        made.make()
        yield made
    finally:
        made.remove()


def tool() -> str:
    """iproute2's program. Raises OSError."""
    found = shutil.which("ip")
    if found is None:
        raise OSError("there is no `ip` here: install iproute2")
    return found


def run(*command: str, check: bool = True) -> None:
    """Runs `ip`. Raises OSError with what it said."""
    done = subprocess.run([tool(), *command], capture_output=True, text=True, check=False, timeout=10)
    if check and done.returncode:
        raise OSError(f"`ip {' '.join(command)}`: {done.stderr.strip()}")
