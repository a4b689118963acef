"""Which node of a cluster has a slot: asked of any node, kept, and asked again when it proves wrong."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Sequence
from typing import Any, cast

from redis.exceptions import ResponseError

from bridge.errors import LighthouseError, Unavailable
from bridge.store.redis.node import Address, Limits, Lost, Node, NotSent
from bridge.store.redis.place import Place

ASK_SECONDS = 0.5
"""Seconds that one node may take to say where the slots are, before another one is asked."""

Ranges = list[tuple[int, int, Address, int]]
"""The first and the last slot of each, its master, and how many replicas that has."""


class Slots:
    """The nodes of a place. Outside of a cluster there is one, and it has every slot."""

    def __init__(self, place: Place, limits: Limits) -> None:
        self._place = place
        self._limits = limits
        self._nodes: dict[Address, Node] = {}
        self._ranges: Ranges = []
        self._moved: dict[int, Address] = {}
        self._version = 0
        self._asking = asyncio.Lock()
        self._closed = False

    async def node(self, slot: int) -> Node | None:
        """The node that has the slot, as far as is known; None where nobody says."""
        if not self._place.cluster:
            return self.at(self._place.seeds[0])
        if not self._ranges:
            await self.ask_again(self._version)
        address = self._moved.get(slot) or next((at for low, high, at, _ in self._ranges if low <= slot <= high), None)
        return None if address is None else self.at(address)

    async def replicas(self) -> int:
        """How many replicas each master of a cluster has at least. Raises Unavailable where nobody says."""
        await self.ask_again(self._version)
        if not self._ranges:
            raise Unavailable("Redis: no node of the cluster says where the slots are")
        return min(count for *_, count in self._ranges)

    def at(self, address: Address) -> Node:
        """The node at an address. Raises LighthouseError when all of them are closed."""
        if self._closed:
            raise LighthouseError("the stores in Redis are closed; open them again")
        known = self._nodes.get(address)
        if known is None:
            known = self._nodes[address] = Node(address, self._place.connect, self._limits)
        return known

    @property
    def version(self) -> int:
        """Counts how often the nodes were asked."""
        return self._version

    def move(self, slot: int, address: Address) -> None:
        """A node has said where a slot is now."""
        self._moved[slot] = address

    async def ask_again(self, version: int, wrong: Address | None = None) -> None:
        """Asks where the slots are, unless somebody has done so since that version; `wrong` is asked last."""
        async with self._asking:
            if version != self._version:
                return
            for address in self._candidates(wrong):
                if ranges := await self._told_by(address):
                    self._ranges = ranges
                    self._moved.clear()
                    break
            self._version += 1

    def _candidates(self, wrong: Address | None) -> list[Address]:
        known = {*self._place.seeds, *(address for _, _, address, _ in self._ranges)}
        order = random.sample(sorted(known), len(known))
        return sorted(order, key=lambda address: address == wrong)

    async def _told_by(self, address: Address) -> Ranges:
        try:
            async with asyncio.timeout(ASK_SECONDS):
                (reply,) = await self.at(address).exchange([("CLUSTER", "SLOTS")])
        except (NotSent, Lost, TimeoutError):
            return []
        if isinstance(reply, ResponseError):
            raise LighthouseError(f"{address[0]}:{address[1]} is no node of a Redis Cluster: {reply}")
        return _ranges(cast("Sequence[Any]", reply), address[0])

    async def close(self) -> None:
        """Closes every connection."""
        self._closed = True
        for node in self._nodes.values():
            await node.close()


def _ranges(reply: Iterable[Any], here: str) -> Ranges:
    """The masters. A node that does not know its own name is where it was asked."""
    return [
        (low, high, (host.decode() if host else here, port), len(replicas))
        for low, high, (host, port, *_), *replicas in reply
    ]
