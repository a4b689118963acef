from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.cli.console import WIDE, fit, write_table


@given(st.lists(st.integers(0, 300), min_size=1, max_size=8), st.integers(8, 250))
def test_columns_fit_and_only_the_widest_pay(widths: list[int], room: int) -> None:
    fitting = fit(widths, room)
    assert sum(fitting) <= room
    assert all(1 <= new <= max(old, 1) for new, old in zip(fitting, widths, strict=True))
    cut = [new for new, old in zip(fitting, widths, strict=True) if new < old]
    assert all(abs(new - max(fitting)) <= 1 for new in cut)


def test_short_columns_stay_whole_beside_long_ones(capsys: pytest.CaptureFixture[str]) -> None:
    write_table(("version", "type", "data"), [(7, "FileCreated", "x" * 400), (12, "FileDeleted", "[red]y[/red]")])
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split() == ["version", "type", "data"]
    assert first.split()[:2] == ["7", "FileCreated"]
    assert first.rstrip().endswith("x…")
    assert max(map(len, (head, first, second))) <= WIDE
    assert second.split() == ["12", "FileDeleted", "[red]y[/red]"]


def test_no_sentence_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    sentence = " ".join(f"word{number}" for number in range(80))
    write_table(("category", "result"), [("project", sentence)], wrap=True)
    shown = capsys.readouterr().out
    assert [word for word in shown.split() if word.startswith("word")] == sentence.split()


def test_a_table_without_rows_or_columns_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    write_table(("name", "pid"), [])
    write_table((), [])
    assert capsys.readouterr().out.split() == ["name", "pid"]
