"""Planted bugs: each is a change of the text of a production function, and must be found by some seed."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FunctionType
from typing import Any, TypeAlias

from bridge.handle import Handler
from bridge.query import reader
from bridge.query.builds import BuildStatus
from bridge.query.reader import Projections
from bridge.store.memory import MemoryStore
from streams import apply
from streams.builds import Builds
from streams.delivered import Delivered
from streams.owner import Owner
from streams.processor import Processor

Texts: TypeAlias = "tuple[tuple[str, str], ...]"


@dataclass(frozen=True)
class Mutation:
    """In each function, named by its place (a module or class) and its name, some texts become others: one bug."""

    what: str
    changes: tuple[tuple[Any, str, Texts], ...]

    @contextmanager
    def planted(self) -> Iterator[None]:
        """The bug is there for so long."""
        before = [(place, name, inspect.getattr_static(place, name)) for place, name, _ in self.changes]
        try:
            for (place, name, found), (*_, texts) in zip(before, self.changes, strict=True):
                setattr(place, name, changed(found, texts))
            yield
        finally:
            for place, name, found in before:
                setattr(place, name, found)


def changed(found: Any, texts: Texts) -> Any:
    """A function, or a property, with another text in the same module."""
    if isinstance(found, property):
        return property(changed(found.fget, texts))
    assert isinstance(found, FunctionType)
    source = textwrap.dedent(inspect.getsource(found)).removeprefix("@property\n")
    for old, new in texts:
        assert source.count(old) == 1, f"{found.__qualname__} does not say {old!r} once"
        source = source.replace(old, new)
    names: dict[str, Any] = {}
    exec(compile(source, f"<mutated {found.__qualname__}>", "exec"), found.__globals__, names)
    return names[found.__name__]


COMMIT = "self._mark = await self._store.commit(self._mark, after.position, after.writes)"
READ = "admitted, head = await space.store.read_at(offset, attempt.left, attempt.rows)"
WAIT_THEN_READ = """await space.store.wait(offset, attempt.left)
        async with space.store.view() as view:
            admitted, head = await view.get_many(attempt.rows)"""
EMPTY = "self._mark = await self._store.commit(self._mark, after.position, Writes())"
MUTATIONS = [
    Mutation("position written apart from the rows", ((Owner, "_commit", ((COMMIT, f"{EMPTY}; {COMMIT}"),)),)),
    Mutation(
        "resume from where the group had read, not from the store's position",
        (
            (
                Owner,
                "start",
                (("self._expect.offset if self._expect is not None else max(self._mark.position, 0)", "self._high"),),
            ),
            (
                Owner,
                "_unseen",
                (
                    ("(found := mark_of(records[0])) != self._expect", "(found := mark_of(records[0])) is None"),
                    ("fresh[0].offset != self._mark.position", "False"),
                ),
            ),
        ),
    ),
    Mutation("no check of the append id", ((apply, "judge", (("if seen:", "if False:"),)),)),
    Mutation(
        "a commit compares the position, but not the rest of the mark",
        ((MemoryStore, "_compare", (("if mark != found:", "if mark.position != found.position:"),)),),
    ),
    Mutation(
        "owners are told apart by their epoch alone, though a fail-over gives it out twice",
        ((MemoryStore, "_compare", (("if self._owner is not self.state.owner:", "if False:"),)),),
    ),
    Mutation(
        "snapshot off by one",
        ((apply._Batch, "_evolve", (("if (version + 1) % EVERY == 0:", "if version and version % EVERY == 0:"),)),),
    ),
    Mutation(
        "conflict compared with <=", ((apply, "judge", (("record.expected == head", "record.expected <= head"),)),)
    ),
    Mutation(
        "the verdict is read from another view than the position",
        ((Handler, "_verdict", ((READ, WAIT_THEN_READ),)),),
    ),
    Mutation(
        "a retry under a fresh append id",
        ((Handler, "_attempt", (("ids.append_id(stream, context.actor, context.key)", "ids.anonymous()"),)),),
    ),
    Mutation(
        "effective time is not the running maximum",
        ((apply._Batch, "take", (("if record.time > self._effective:", "if record.time != self._effective:"),)),),
    ),
    Mutation(
        "an expected version above the head is written",
        ((Handler, "append", (("expected is not None and expected != head.next", "False"),)),),
    ),
    Mutation("commit after revoke", ((Processor, "_revoked", (("self._forget(part)", "self.owners.get(part)"),)),)),
    Mutation(
        "rebuild switched one batch early",
        ((Builds, "_advance", (("if not found.more:", "if found.events or not found.more:"),)),),
    ),
    Mutation(
        "a build answers before it is live in every partition",
        ((BuildStatus, "live", (("all(one.progress.live", "any(one.progress.live"),)),),
    ),
    Mutation(
        "a processor whose commit was refused goes on with what it had",
        ((Processor, "_dropped", (("self._close(part)", "pass"),)),),
    ),
    Mutation(
        "a live build is fed beside the batch's commit",
        ((Owner, "take", (("after.events, after.writes)", "after.events, Writes())"),)),),
    ),
    Mutation(
        "an answer that does not wait for the position it was asked for",
        ((reader, "_lag", (("max(0, _least(space, asked) - position)", "0"),)),),
    ),
    Mutation(
        "a batch begins with what was delivered last, though the partition was elsewhere since",
        ((Delivered, "forget", (("self._last.pop(partition, None)", "pass"),)),),
    ),
    Mutation(
        "a row that is there is not found",
        ((Projections, "row", (("if not values:", "if True:"),)),),
    ),
    Mutation(
        "a row is merged of one partition's part alone",
        (
            (
                Projections,
                "_holding",
                (("return spaces_of(self._spaces, projection)", "return spaces_of(self._spaces, projection)[:1]"),),
            ),
        ),
    ),
]
