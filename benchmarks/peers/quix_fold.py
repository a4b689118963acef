"""The fold in Quix Streams: `python -m benchmarks.peers.quix_fold JOB`.

As its documentation has it and by its defaults: at-least-once, state in RocksDB behind a changelog topic, offsets and
state committed together every five seconds. Ticks of the platform, which have no value, are filtered out.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from quixstreams import Application
from rocksdict import AccessType, Options, Rdict

from benchmarks.peers.told import NOTHING, Job, Teller, Totals, decoder, fold

STATE = "totals"


def main(job: Job) -> None:
    """Runs until the last event is processed and committed."""
    directory = Path(job.directory)
    teller, timing = Teller(directory, job.ends), dict[str, float]()

    def processed(_: str, partition: int, offset: int) -> None:
        if teller.saw(partition, offset):
            timing.update(teller.timing())
            app.stop()

    app = Application(
        broker_address=job.bootstrap,
        consumer_group=job.group,
        auto_offset_reset="earliest",
        state_dir=directory / "state",
        consumer_extra_config={"session.timeout.ms": round(job.session * 1000)},
        on_message_processed=processed,
        loglevel="WARNING",
    )
    amount = decoder(job.schema)

    def add(value: bytes, state: Any) -> None:
        state.set(STATE, fold(state.get(STATE, NOTHING), amount(value)))

    topic = app.topic(job.topic, key_deserializer="bytes", value_deserializer="bytes")
    app.dataframe(topic).filter(bool).update(add, stateful=True)
    app.run()
    teller.done(timing, stored(directory / "state"))


def stored(directory: Path) -> Iterator[tuple[str, Totals]]:
    """What lies in the stores of all partitions; a key of theirs is the message's key, a bar, and the state's name."""
    for current in sorted(directory.rglob("CURRENT")):
        store = Rdict(str(current.parent), Options(raw_mode=True), access_type=AccessType.read_only())
        for key, value in store.items():
            stream, _, name = key.rpartition(b"|")
            if json.loads(name) == STATE:
                yield stream.decode(), json.loads(value)
        store.close()


if __name__ == "__main__":
    main(Job.read(Path(sys.argv[1])))
