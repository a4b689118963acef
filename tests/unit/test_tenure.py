"""What an owner says of itself in its space: who it is, what came of it, and that it has let go."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from bridge.errors import Fenced
from bridge.store import keys
from bridge.store.rows import Lived, Tenure
from streams.owner import Owner
from streams.tenure import IDLE, Watch, Worker
from tests.model.bench import Bench, Draft, numbered, records
from tests.model.world import PLACE, now


def tenure(bench: Bench) -> Tenure:
    return Tenure.unpack(bench.stores.open(PLACE.space).state.rows[keys.TENURE])


def test_p1_names_the_owner_and_a_batch_tells_what_came_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    assert (tenure(bench).records, tenure(bench).left) == (0, False)
    log = records(numbered([Draft(), Draft(), Draft()]))
    bench.take(log[:2])
    assert tenure(bench).records == 0, "not with each batch"
    monkeypatch.setattr("streams.tenure.EVERY", 0.0)
    bench.take(log[2:])
    told = tenure(bench)
    assert told.records == 2, "those that were committed before"
    assert told.spent.p3 > 0
    assert told.spent.p4 > 0
    assert told.spent.p5 > 0
    now(bench.owner.beat())
    assert tenure(bench).records == 3
    mark = bench.owner.mark
    now(bench.owner.beat())
    assert bench.owner.mark == mark, "nothing new, so nothing is written"


def test_an_owner_that_lets_go_says_so_and_the_next_one_tells() -> None:
    bench = Bench().take_all(records(numbered([Draft()])))
    now(bench.owner.leave())
    assert tenure(bench).left
    assert tenure(bench).records == 1
    with capture_logs() as told:
        bench.deploy()
    assert [one["had_let_go"] for one in told if one["event"] == "partition taken over"] == [True]
    assert not tenure(bench).left
    with capture_logs() as told:
        bench.deploy()
    assert [one["had_let_go"] for one in told if one["event"] == "partition taken over"] == [False]


def test_a_zombie_cannot_say_that_it_lets_go() -> None:
    bench = Bench()
    zombie: Owner = bench.owner
    bench.deploy()
    with pytest.raises(Fenced):
        now(zombie.leave())
    assert not tenure(bench).left


def test_the_time_that_a_process_waits_counts_from_its_own_beginning_and_one_owner_tells_it_for_all() -> None:
    now_ = 100.0
    worker = Worker("here:7", clock=lambda: now_, waited=5.0)
    first, second = Watch(worker), Watch(worker)
    worker.waited += 2.5
    now_ += 1.0
    told = [Tenure.unpack(watch.tell()) for watch in (first, second)]
    assert [(one.process, one.lived) for one in told] == [(("here:7", worker.started), Lived(1.0, 7.5))] * 2
    watches = first, second
    now_ += IDLE - 0.1
    assert [watch.due for watch in watches] == [False, False]
    now_ += 0.1
    assert [watch.due for watch in watches] == [True, True]
    first.tell()
    assert [watch.due for watch in watches] == [False, False]
