"""The local PostgreSQL, for real: what it keeps, what it survives, and what it says when it cannot start."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import asyncpg
import psutil
import pytest

from bridge.errors import LighthouseError, LocalError
from bridge.local import running, wipe
from bridge.local.addresses import ChosenStores, choose_stores, located, stores_of
from bridge.local.postgres import LOCAL_POSTGRES, find_programs, start_postgres
from bridge.settings import Settings
from tests.databases import execute, postgres_server

pytestmark = pytest.mark.integration

OWNER = """
import sys, time
from pathlib import Path
from bridge.local.postgres import start_postgres
from bridge.settings import Settings
print(start_postgres(Settings(home=Path(sys.argv[1]), postgres_port=0)).pid, flush=True)
time.sleep(600)
"""
ELSEWHERE = Settings(kafka_bootstrap="127.0.0.1:1", registry_url="http://127.0.0.1:1")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a database that the tests of this module start and stop."""
    home = tmp_path_factory.mktemp("home")
    with postgres_server(home):
        return home


def test_data_survives_a_stop_a_kill_and_a_restart(home: Path) -> None:
    with postgres_server(home) as server:
        asyncio.run(execute(server.url, "CREATE TABLE kept AS SELECT 1 AS one"))
        server.kill()
        assert server.child.exit_code == -signal.SIGKILL
        server.begin()
        assert asyncio.run(_count(server.url)) == 1
    with postgres_server(home) as server:
        assert asyncio.run(_count(server.url)) == 1


async def test_it_stops_though_somebody_is_connected(home: Path) -> None:
    with postgres_server(home) as server:
        connection = await asyncpg.connect(server.url)
        server.stop()
        assert server.child.exit_code == 0
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
            await connection.execute("SELECT 1")
        connection.terminate()


def test_it_wants_its_password(home: Path) -> None:
    with postgres_server(home) as server:
        stranger = server.url.replace("lighthouse:", "lighthouse:not", 1)
        with pytest.raises(asyncpg.InvalidPasswordError):
            asyncio.run(execute(stranger, "SELECT 1"))
    assert (home / "postgres" / "server.json").stat().st_mode & 0o077 == 0
    assert not (home / "postgres" / "password").exists()


def test_a_second_start_is_told_that_it_runs_already(home: Path) -> None:
    with postgres_server(home), pytest.raises(LocalError, match="postgres already runs in"):
        start_postgres(Settings(home=home, postgres_port=0))


def test_it_dies_with_a_killed_owner_and_the_next_start_finds_the_data(home: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", OWNER, str(home)], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        server = psutil.Process(int(owner.stdout.readline()))
        assert running(Settings(home=home)) is not None
        owner.kill()
    server.wait(20)
    with postgres_server(home) as again:
        asyncio.run(execute(again.url, "SELECT 1"))


def test_a_port_in_use_is_told_at_once(home: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LocalError, match=f"port {port} is in use.*LIGHTHOUSE_POSTGRES_PORT"):
            start_postgres(Settings(home=home, postgres_port=port))


def test_a_machine_without_postgresql_is_told_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match=r"no PostgreSQL is installed here.*LIGHTHOUSE_POSTGRES_BIN"):
        start_postgres(Settings(home=tmp_path, postgres_bin=tmp_path))


def test_data_that_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "theirs").touch()
    find_programs(Settings())
    with pytest.raises(LocalError, match="holds data that is not ours"):
        start_postgres(Settings(home=tmp_path, postgres_port=0))


def test_a_data_directory_that_was_left_half_made_is_made_again(tmp_path: Path) -> None:
    with postgres_server(tmp_path):
        pass
    (tmp_path / "postgres" / "data" / "PG_VERSION").unlink()
    with postgres_server(tmp_path) as server:
        asyncio.run(execute(server.url, "SELECT 1"))


def test_a_server_that_cannot_start_is_told_with_its_log(tmp_path: Path) -> None:
    with postgres_server(tmp_path):
        pass
    (tmp_path / "postgres" / "data" / "global" / "pg_control").unlink()
    with pytest.raises(LocalError, match=r"postgres ended with exit code.*postgres\.log"):
        start_postgres(Settings(home=tmp_path, postgres_port=0))


# the home's choice


def test_a_home_remembers_its_stores(home: Path, tmp_path: Path) -> None:
    settings = ELSEWHERE.model_copy(update={"home": tmp_path})
    assert located(settings).history_store == "lmdb"
    choose_stores(settings, ChosenStores("postgresql://somebody:secret@far/away"))
    assert stores_of(settings) == ChosenStores("postgresql://somebody:secret@far/away")
    assert located(settings.model_copy(update={"history_store": "memory"})).history_store == "memory"
    assert (tmp_path / "stores.json").stat().st_mode & 0o077 == 0
    choose_stores(settings, ChosenStores(LOCAL_POSTGRES))
    with pytest.raises(LighthouseError, match="run `lighthouse up`, or set LIGHTHOUSE_HISTORY_STORE"):
        located(settings)
    with postgres_server(home) as server:
        there = ELSEWHERE.model_copy(update={"home": home, "history_store": LOCAL_POSTGRES})
        assert located(there).history_store == server.url


def test_a_wipe_forgets_the_database_and_the_choice(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, postgres_port=0)
    with postgres_server(tmp_path):
        choose_stores(settings, ChosenStores(LOCAL_POSTGRES))
        with pytest.raises(LocalError, match="end it before wiping"):
            wipe(settings)
    wipe(settings)
    assert not (tmp_path / "postgres").exists()
    assert stores_of(settings) == ChosenStores()


async def _count(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval("SELECT count(*) FROM kept"))
    finally:
        await connection.close()
