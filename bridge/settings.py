"""Every setting, once. Each is an environment variable with the prefix LIGHTHOUSE_."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

Seconds = Annotated[float, Field(gt=0)]


class Settings(BaseSettings):
    """The platform's settings; `docs/settings.md` is written from these descriptions."""

    model_config = SettingsConfigDict(env_prefix="LIGHTHOUSE_", frozen=True, extra="ignore")

    home: Path = Field(Path("~/.lighthouse"), description="Directory of the local Kafka, stores, caches and logs.")
    cache: Path | None = Field(None, description="Directory of jars and JVM start caches; none: `cache` in the home.")
    kafka_bootstrap: str = Field("", description="Bootstrap servers of an existing Kafka; empty: start one locally.")
    registry_url: str = Field("", description="Confluent-compatible schema registry; empty: start one locally.")
    registry_timeout: Seconds = Field(5.0, description="Seconds to wait for an answer of the schema registry.")

    brokers: int = Field(1, ge=1, le=3, description="Brokers of the local Kafka, 1 to 3.")
    kafka_port: int = Field(19092, ge=0, le=65535, description="First port of the local brokers; 0: free ones.")
    registry_port: int = Field(18081, ge=0, le=65535, description="Port of the local registry; 0: a free one.")
    kafka_heap_mb: int = Field(256, ge=128, description="Heap of each local broker in MiB.")
    kafka_profile: str = Field("dev", pattern="dev|bench", description="dev starts fast, bench compiles with C2.")
    maven_repository: str = Field("", description="Maven repository of the jars; empty: the default of jgo.")
    start_timeout: Seconds = Field(90.0, description="Seconds in which a local server must become ready.")

    topic_prefix: str = Field("lighthouse", pattern=r"[A-Za-z0-9_-]{1,40}", description="Prefix of every topic.")
    partitions: int = Field(16, ge=1, le=1024, description="Partitions of a new category; fixed from then on.")
    replication: int = Field(0, ge=0, le=7, description="Replicas of a new topic; 0: three, or as many as brokers.")

    history_store: str = Field(
        "",
        description="URL of the history store: lmdb, lmdb:///path, postgresql://…, postgres (a local one), or memory; "
        "empty: what `lighthouse up --history` was told in this home, else lmdb.",
    )
    history_replica: str = Field(
        "", description="URL of a read-only replica of the history's PostgreSQL: final states are read from it."
    )
    hot_store: str = Field(
        "",
        description="URL of the hot store: redis://…, redis+cluster://…, redis or redis-cluster (local ones), or any "
        "history store's; empty: what `lighthouse up --hot` was told in this home, else none.",
    )
    lmdb_map_mb: int = Field(16384, ge=1, description="First map size of an LMDB environment in MiB (sparse).")
    lmdb_lock_patience: Seconds = Field(1.0, description="Seconds to wait for a stopped writer before ending it.")
    postgres_pool: int = Field(10, ge=1, le=1000, description="Connections of one process to PostgreSQL.")
    postgres_statement_timeout: Seconds = Field(
        10.0, description="Seconds that a statement may take; one that only reads, no more than half the deadline."
    )
    postgres_connect_timeout: Seconds = Field(5.0, description="Seconds to wait for a connection to PostgreSQL.")
    postgres_durable: bool = Field(
        False, description="Wait for PostgreSQL's disk at each commit; else the log refills what a crash takes back."
    )
    postgres_port: int = Field(15432, ge=0, le=65535, description="Port of the local PostgreSQL; 0: a free one.")
    postgres_bin: Path | None = Field(
        None, description="Directory of PostgreSQL's programs, for a local one; none: PATH, then Debian's."
    )
    redis_pool: int = Field(10, ge=1, le=1000, description="Connections of one process to each server of Redis.")
    redis_connect_timeout: Seconds = Field(
        2.0,
        description="Seconds to wait for a connection to Redis; in a cluster, for an answer before asking elsewhere.",
    )
    redis_timeout: Seconds = Field(5.0, description="Seconds that a command to Redis may take, fail-over included.")
    redis_replicas: int = Field(
        0, ge=0, le=10, description="Replicas of Redis that must confirm a commit; in a cluster at least 1 does."
    )
    redis_confirm_timeout: Seconds = Field(
        1.0, description="Seconds that they may take; after that a commit's outcome is unknown."
    )
    redis_port: int = Field(16379, ge=0, le=65535, description="First port of the local Redis; 0: free ones.")
    redis_bin: Path | None = Field(None, description="Directory of `redis-server`, for a local one; none: PATH.")
    blobs: str = Field("", description="URL of the blob store (fsspec); empty: a directory below the home.")

    api_host: str = Field("127.0.0.1", description="Address that the API listens on.")
    api_port: int = Field(8000, ge=0, le=65535, description="Port that the API listens on.")
    deadline: Seconds = Field(10.0, description="Seconds in which a request must be answered.")
    in_flight: int = Field(4096, ge=1, description="Appends in flight in one process; more are refused (A4).")
    decide_attempts: int = Field(8, ge=1, description="Times a command that lost a race is decided again (A7).")

    heartbeat: Seconds = Field(10.0, description="Seconds between two signs of life of a stream without events.")
    replays: int = Field(8, ge=1, description="Replays at once in one process; more are refused.")
    reader_room: int = Field(1000, ge=1, description="Live events that are kept for a reader that does not take them.")
    reader_patience: Seconds = Field(
        30.0, description="Seconds that a reader may take nothing, or be behind live events."
    )

    group: str = Field("lighthouse-streams", description="Consumer group of the processors.")
    session: Seconds = Field(3.0, description="Group session time-out in seconds, as set on the broker.")
    assignor: str = Field(
        "range",
        pattern="range|uniform",
        description="How the group shares partitions out: range gives each processor a part of every category, uniform "
        "moves fewer of them when one joins or leaves.",
    )
    batch_records: int = Field(
        500, ge=1, le=10000, description="Records that a processor takes in one batch; its memory grows with it."
    )
    state_cache: int = Field(10000, ge=0, description="Folded states that a process keeps in memory, by number.")
    state_cache_mb: int = Field(64, ge=0, description="The same cache by encoded size in MiB.")
    projections: str = Field(
        "all", pattern="all|built-in|applications|none", description="Projections that are kept: all, or only some."
    )
    row_cache: int = Field(20000, ge=0, description="Rows of projections that a processor keeps in memory, by number.")
    row_cache_mb: int = Field(64, ge=0, description="The same cache by encoded size in MiB.")
    publish: bool = Field(True, description="Publish admitted events to `<prefix>.<category>.events` (CloudEvents).")
    unpark_every: Seconds = Field(10.0, description="Seconds between attempts to unpark a stream (P4).")
    clock_skew: Seconds = Field(60.0, description="Seconds that a time may lie ahead of this process.")

    @property
    def root(self) -> Path:
        """The home directory with `~` expanded."""
        return self.home.expanduser().absolute()

    @property
    def cache_root(self) -> Path:
        """Where jars and JVM start caches live; several homes may share it."""
        return self.cache.expanduser().absolute() if self.cache else self.root / "cache"
