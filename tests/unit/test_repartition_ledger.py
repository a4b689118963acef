"""The ledger admits as the owner does, and tells two logs with other histories apart."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.log.admission import Verdict
from bridge.log.record import Place, Record
from bridge.repartition.ledger import Ledger, Totals
from bridge.store import keys
from bridge.store.rows import Head
from tests.model.bench import Bench, Draft, numbered, records
from tests.model.world import PLACE
from tests.unit.test_apply import A, B, at

LOG = records(numbered([Draft(A), Draft(B), Draft(A, expected=1), Draft(A, expected=9), Draft(B, count=1)]))


def ledger_of(log: list[Record], directory: Path, place: Place = PLACE) -> Ledger:
    """The ledger of a log."""
    ledger = Ledger(directory)
    for record in log:
        ledger.take(place, record)
    return ledger


drafts = st.builds(
    Draft, st.sampled_from([A, B]), expected=st.none() | st.integers(0, 3), id=st.integers(1, 6), count=st.just(1)
)


@given(st.lists(drafts, min_size=1, max_size=12))
def test_it_admits_what_the_owner_admits(tmp_path_factory: pytest.TempPathFactory, drawn: list[Draft]) -> None:
    log = records(drawn)
    rows = Bench().take_all(log).rows()
    heads = {key[2:].decode(): Head.unpack(raw).next for key, raw in rows.items() if key[:1] == keys.HEADS}
    with closing(ledger_of(log, tmp_path_factory.mktemp("ledger") / "one")) as ledger:
        assert {stream: head for stream, head, _ in ledger._streams()} == heads
        assert ledger.verdicts[Verdict.ADMITTED] == sum(key[:1] == b"a" for key in rows)


def totals(log: list[Record], directory: Path) -> Totals:
    with closing(ledger_of(log, directory)) as ledger:
        return ledger.totals()


def test_what_did_not_count_makes_no_difference_and_the_order_of_streams_does_not(tmp_path: Path) -> None:
    admitted = [LOG[0], LOG[1], LOG[2], LOG[4]]
    wanted = totals(LOG, tmp_path)
    assert (wanted.streams, wanted.appends) == (2, 4)
    assert totals(admitted, tmp_path) == wanted
    swapped = [at(LOG[1], time=LOG[0].time), at(LOG[0], time=LOG[0].time)]
    assert totals(swapped, tmp_path) == totals([at(one, time=LOG[0].time) for one in LOG[:2]], tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"time": LOG[4].time + 1000},
        {"value": (LOG[4].value or b"") + b"x"},
        {"headers": [*LOG[4].headers, ("more", b"1")]},
        {"headers": [(name, b"z" * 16 if name == "lh_append" else value) for name, value in LOG[4].headers]},
        {"headers": [(name, b"z" * 16 if name == "lh_request" else value) for name, value in LOG[4].headers]},
    ],
    ids=["time", "value", "a header", "append id", "request"],
)
def test_any_change_of_an_admitted_append_is_found_with_its_stream(change: dict[str, object], tmp_path: Path) -> None:
    changed = [*LOG[:4], at(LOG[4], **change)]
    with closing(ledger_of(LOG, tmp_path / "old")) as old, closing(ledger_of(changed, tmp_path / "new")) as new:
        assert new.totals().digest != old.totals().digest
        assert (old.difference(new) or "").startswith(f"{B} has 2 events")
        assert old.difference(old) is None


def test_a_stream_too_few_or_too_many_is_named(tmp_path: Path) -> None:
    with closing(ledger_of(LOG, tmp_path / "all")) as whole:
        with closing(ledger_of([LOG[1], LOG[4]], tmp_path / "part")) as part:
            assert whole.difference(part) == f"{A} is missing"
            assert part.difference(whole) == f"{A} is one too many"
        with closing(ledger_of([LOG[0], LOG[2]], tmp_path / "part")) as part:
            assert whole.difference(part) == f"{B} is missing"
            assert part.difference(whole) == f"{B} is one too many"


def test_it_goes_on_over_commits_and_begins_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "ledger"
    wanted = totals(LOG, place)
    monkeypatch.setattr("bridge.repartition.ledger.EVERY", 1)
    place.mkdir()
    (place / "data.mdb").write_bytes(b"left behind")
    assert totals(LOG, place) == wanted
    assert not place.exists(), "nothing is left on disk"
