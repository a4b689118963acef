"""What came of a run, as it is kept: the verdict, what was measured against its bound, and the pauses. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any


class Verdict(Enum):
    """The worst that is to be said of a run."""

    GOOD = "good"
    MISSED = "bound missed"
    VIOLATED = "violated"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class Bound:
    """A time that was measured, and the one that is promised, in seconds."""

    what: str
    limit: float
    measured: float

    @property
    def met(self) -> bool:
        """Whether the promise was kept."""
        return self.measured <= self.limit

    def __str__(self) -> str:
        return f"{self.what}: {self.measured:.1f} s, {'within' if self.met else 'and not'} {self.limit:.1f} s"


@dataclass(frozen=True)
class Pause:
    """More than half a second without an acknowledgement in a partition. `at` is counted from the first fault."""

    partition: int
    at: float
    seconds: float


@dataclass
class Report:
    """What happened. Times are seconds; `longest` and `longest_in_a_partition` are without any acknowledgement.

    `commit` is that of the code, `dirty` whether the code had changes besides. A run that was `not_run` says why.
    """

    name: str
    what: str
    commit: str = ""
    dirty: bool = False
    seconds: float = 0.0
    operations: dict[str, Any] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    longest: float = 0.0
    longest_in_a_partition: float = 0.0
    pauses: list[Pause] = field(default_factory=list)
    bounds: list[Bound] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    not_run: str = ""

    @property
    def missed(self) -> list[Bound]:
        """The bounds that were not met."""
        return [one for one in self.bounds if not one.met]

    @property
    def verdict(self) -> Verdict:
        """A fault that was not run proves nothing, and a violation is worse than a bound that was missed."""
        if self.not_run:
            return Verdict.NOT_RUN
        if self.violations:
            return Verdict.VIOLATED
        return Verdict.MISSED if self.missed else Verdict.GOOD

    @property
    def code(self) -> str:
        """The commit for readers."""
        return f"{self.commit or 'unknown'}{' and changes' if self.dirty else ''}"

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def exit_code(reports: Iterable[Report]) -> int:
    """0 where every fault was run and is good; 1 where anything was violated or missed; 3 where only some were not run.

    argparse has 2.
    """
    found = {report.verdict for report in reports}
    if found & {Verdict.VIOLATED, Verdict.MISSED}:
        return 1
    return 3 if Verdict.NOT_RUN in found else 0
