"""How many processors each supervisor of a home is told to run."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import LocalError
from bridge.local.fleet import MOST, Roster, rosters, scale, shares
from bridge.local.home import boot, find
from bridge.settings import Settings


@given(st.lists(st.integers(0, MOST), min_size=1, max_size=4), st.integers(0, 4 * MOST))
def test_shares_run_what_is_wanted_and_move_as_few_as_they_can(now: list[int], wanted: int) -> None:
    found = shares(now, min(wanted, MOST * len(now)))
    assert sum(found) == min(wanted, MOST * len(now))
    assert all(0 <= one <= MOST for one in found)
    assert len({(after > before) - (after < before) for before, after in zip(now, found, strict=True)} - {0}) <= 1


def test_the_first_takes_more_and_the_last_gives_up() -> None:
    assert shares([2, 1], 5) == [4, 1]
    assert shares([2, 1], 1) == [1, 0]
    assert shares([MOST, 1], MOST + 3) == [MOST, 3]


def test_a_home_is_scaled_by_its_supervisors_that_live(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    (tmp_path / "run").mkdir()
    with pytest.raises(LocalError, match="nothing runs processors"):
        scale(settings, 2)
    this = find(1, "owner")
    assert this is not None
    for pid, one in ((1, Roster(boot(), this, 3)), (2, Roster("another boot", this, 5))):
        (tmp_path / "run" / f"fleet-{pid}.json").write_bytes(msgspec.json.encode(one))
    (tmp_path / "run" / "fleet-3.json").write_text("{")
    assert [one.wanted for one in rosters(settings)] == [3]
    (told,) = scale(settings, 7)
    assert (told.before, told.wanted) == (3, 7)
    assert (tmp_path / "run" / "fleet-1.wanted").read_text() == "7"
    with pytest.raises(LocalError, match="at most 64"):
        scale(settings, 65)
