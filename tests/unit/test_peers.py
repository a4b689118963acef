"""What the rows beside peers rest on: one fold, one sequence of readings, and a count of the keys that are wrong."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

from benchmarks.peers.environments import LOCKS, versions
from benchmarks.peers.meters import CATEGORY, TYPE, totals
from benchmarks.peers.skewed import State, readings, wrong
from benchmarks.peers.told import NOTHING, Job, Teller, fold
from bridge.events import Envelope, RecordedEvent
from bridge.projection import projected


def test_our_projection_is_the_fold_that_the_peers_are_given() -> None:
    truth: State = {}
    for stream, amount in (read := list(readings(500, streams=50))):
        truth[stream] = fold(truth.get(stream, NOTHING), amount)
    rows = projected(totals, [_event(*each, version) for version, each in enumerate(read)])
    assert {key: (row.count, row.sum, row.last) for key, row in rows.items()} == truth


def _event(stream: str, amount: int, version: int) -> RecordedEvent:
    envelope = Envelope("test", version)
    return RecordedEvent(stream, version, TYPE, {"amount": amount}, envelope, b"", 0, 0, version, version, version, 1)


def test_readings_are_the_same_in_every_run_reach_each_stream_and_are_skewed() -> None:
    read = list(readings(20_000, streams=100))
    assert read == list(readings(20_000, streams=100))
    assert read[:5_000] == list(readings(5_000, streams=100))
    counts = [sum(stream == f"{CATEGORY}/m-{number}" for stream, _ in read) for number in (0, 9, 99)]
    assert all(more > 5 * less > 0 for more, less in pairwise(counts))


def test_a_key_is_wrong_with_another_state_with_none_and_with_one_too_many() -> None:
    truth = {"a": (1, 2, 2), "b": (2, 5, 3), "c": (1, 1, 1)}
    assert wrong(dict(truth), truth) == 0
    assert wrong({"a": (1, 2, 2), "b": (3, 8, 3), "d": (1, 1, 1)}, truth) == 3


def test_a_program_is_done_at_the_last_event_of_the_last_partition(tmp_path: Path) -> None:
    teller = Teller(tmp_path, [2, 0, 1])
    assert not teller.saw(2, 0)
    assert not teller.saw(0, 0)
    assert float((tmp_path / "begun").read_text()) > 0
    assert teller.saw(0, 1)
    teller.done(teller.timing(), [("a", (3, 6, 1))])
    told = json.loads((tmp_path / "done").read_text())
    assert told["events"] == 3
    assert told["state"] == {"a": [3, 6, 1]}


def test_a_job_is_read_as_it_was_written(tmp_path: Path) -> None:
    job = Job("127.0.0.1:1", "topic", "group", str(tmp_path), "{}", [3, 0], 6.0)
    job.write(tmp_path / "job.json")
    assert Job.read(tmp_path / "job.json") == job


def test_every_lock_pins_its_peer_by_hashes() -> None:
    names = {"quix": "quixstreams", "faust": "faust-streaming", "eventsourcing": "eventsourcing"}
    assert {lock.stem for lock in LOCKS.glob("*.lock")} == names.keys()
    for peer, package in names.items():
        assert versions(peer, package).startswith(f"{package} ")
        text = (LOCKS / f"{peer}.lock").read_text()
        assert text.count("==") <= text.count("--hash=sha256:")
