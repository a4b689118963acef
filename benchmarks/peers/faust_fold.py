"""The fold in Faust: `python -m benchmarks.peers.faust_fold JOB`.

As its documentation has it for production: tables in RocksDB (through rocksdict, for which there are wheels) behind a
changelog topic, uvloop, one worker, at-least-once, commits by its defaults. Its producer lingers for 50 ms, which its
defaults do not: that made it half as fast again here, while a larger stream buffer or a producer of its own thread made
it slower. Its web server is off.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import mode.loop

mode.loop.use("uvloop")  # before faust is imported, says mode

import faust  # noqa: E402

from benchmarks.peers.told import NOTHING, Job, Teller, decoder, fold  # noqa: E402


def application(job: Job) -> faust.App:
    """An application whose one agent folds the topic into a table."""
    app = faust.App(
        job.group,
        broker=f"kafka://{job.bootstrap}",
        store="rocksdb://",
        datadir=str(Path(job.directory) / "state"),
        topic_partitions=len(job.ends),
        topic_replication_factor=1,
        consumer_auto_offset_reset="earliest",
        broker_session_timeout=job.session,
        broker_heartbeat_interval=job.session / 3,
        producer_linger=0.05,
        web_enabled=False,
    )
    teller, amount = Teller(Path(job.directory), job.ends), decoder(job.schema)
    topic = app.topic(job.topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
    totals = app.Table("totals", key_type=bytes)

    @app.agent(topic)
    async def add(stream: Any) -> None:
        async for event in stream.events():
            if not event.value:  # a tick of the platform
                continue
            totals[event.key] = fold(totals.get(event.key) or NOTHING, amount(event.value))
            if teller.saw(event.message.partition, event.message.offset):
                timing = teller.timing()
                teller.done(timing, ((key.decode(), value) for key, value in totals.items()))

    return app


def main(job: Job) -> None:
    """Runs until it is ended."""
    faust.Worker(application(job), loglevel="WARNING").execute_from_commandline()


if __name__ == "__main__":
    main(Job.read(Path(sys.argv[1])))
