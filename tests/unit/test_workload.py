"""Two looks at the partitions, and what they tell of rates, lag, processes and where time goes."""

from __future__ import annotations

from msgspec.structs import replace as changed

from bridge.store.rows import Lived, Spent, Tenure
from bridge.survey import PartitionStatus
from bridge.workload import Course, names, workload

SESSION = 3.0


def look(
    number: int, position: int, end: int, owner: str = "a:1", seconds: float = 0.0, started: int = 6
) -> PartitionStatus:
    spent = Spent(seconds, 2 * seconds, 3 * seconds)
    tenure = Tenure(owner, 7, 8, records=position, spent=spent, started=started, lived=Lived(seconds, seconds))
    return PartitionStatus("account", number, position, end, 1, 0.5, 1_000_000, None, 0, 0, tenure)


def test_rates_and_when_nothing_waits_any_more() -> None:
    before = [look(0, 100, 1000), look(1, 0, 50)]
    after = [look(0, 500, 1100), look(1, 50, 50)]
    found = workload(before, after, 2.0, SESSION)
    (load,) = found.categories
    assert (load.arriving, load.applied, load.lag, load.owned) == (50.0, 225.0, 600, 2)
    assert (load.course, load.drained_in) == (Course.DRAINING, 600 / 175)
    assert found.hottest is after[0]


def test_a_lag_that_grows_stays_or_stands() -> None:
    def course(applied: int, arrived: int) -> tuple[Course, float | None]:
        found = workload([look(0, 0, 1000)], [look(0, applied, 1000 + arrived)], 1.0, SESSION).total
        return found.course, found.drained_in

    assert course(100, 300) == (Course.WORSENING, None)
    assert course(100, 101) == (Course.STEADY, None)
    assert course(0, 10) == (Course.STANDING, None)
    assert course(1000, 0) == (Course.NONE, 0.0)


def test_processes_with_their_partitions_and_steps() -> None:
    before = [look(0, 0, 0, seconds=1), look(1, 0, 0, seconds=1), look(2, 0, 0, "b:2", seconds=1)]
    after = [look(0, 4, 4, seconds=2), look(1, 6, 6, seconds=3), look(2, 5, 5, "c:3", seconds=4)]
    found = workload(before, after, 1.0, SESSION)
    first, second = found.processes
    assert (first.name, first.partitions, first.load.applied) == ("a:1", ("account-0", "account-1"), 10.0)
    assert (first.waited, first.spent) == (2, Spent(1 + 2, 2 + 4, 3 + 6))
    assert (second.name, second.spent) == ("c:3", Spent(4, 8, 12)), "a new owner's time is all that it told"
    assert second.waited == 4, "and so is a new process's"


def test_a_process_with_another_partition_has_waited_since_the_first_look_and_one_of_the_same_name_has_not() -> None:
    before = [look(0, 0, 0, seconds=100), look(1, 0, 0, "b:2", seconds=9)]
    after = [look(0, 0, 0, "b:2", seconds=3, started=8), look(1, 0, 0, seconds=102)]
    first, second = workload(before, after, 2.0, SESSION).processes
    assert (first.name, first.waited) == ("a:1", 2)
    assert (second.name, second.waited) == ("b:2", 3)


def test_who_has_let_go_or_does_not_beat_owns_nothing() -> None:
    left = look(0, 0, 0)
    assert left.tenure is not None
    gone = PartitionStatus(*("account", 1, 0, 0, 1, 9.0, 0, None, 0, 0, left.tenure))
    left = PartitionStatus(*("account", 0, 0, 0, 1, 0.1, 0, None, 0, 0, changed(left.tenure, left=True)))
    found = workload([left, gone], [left, gone], 1.0, SESSION)
    assert (found.processes, found.total.owned, found.hottest) == ([], 1, None)


def test_where_nothing_comes_in_the_hottest_is_that_of_the_last_minute() -> None:
    quiet, busy = look(0, 9, 9), look(1, 7, 7)
    busy = PartitionStatus(*("account", 1, 7, 7, 1, 0.5, 1, None, 0, 7, busy.tenure))
    assert workload([quiet, busy], [quiet, busy], 1.0, SESSION).hottest is busy


def test_a_history_begun_anew_counts_from_its_beginning() -> None:
    assert workload([look(0, 900, 1000)], [look(0, 40, 1000)], 1.0, SESSION).total.applied == 40


def test_partitions_as_people_are_told_them() -> None:
    assert names(["account-0", "account-1", "account-2", "account-5", "a-b-7"]) == "account-0..2,5, a-b-7"
    assert names([]) == ""
