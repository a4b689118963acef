"""An application whose schemas and code change while its events stay: two deployments on one log."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from bridge.local.ports import pick
from bridge.settings import Settings
from tests.client import command
from tests.forks import completed
from tests.installed import install, python_path
from tests.servers import PATIENCE, environment, ready, running, until, url

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]


STREAM = "ticket/t1"
GAP = "category ticket: TimeLogged is at version 2, but no upcast leads from version 1 to 2"


@dataclass(frozen=True)
class Site:
    """A place where one application is installed after the other."""

    settings: Settings
    packages: Path

    def install(self, application: str) -> None:
        """Makes `tests.tickets.<application>` the one that every process finds, as pip would."""
        install(self.packages, "tickets", f"tests.tickets.{application}")

    def run(self, module: str, *words: str) -> subprocess.CompletedProcess[str]:
        """A module that ends."""
        return completed(module, *words, environment=environment(self.settings))

    @contextmanager
    def deployed(self) -> Iterator[httpx.Client]:
        """A client of the running application, whose schemas are pushed."""
        done = self.run("tests.prepare")
        assert done.returncode == 0, done.stderr
        with running(self.settings, "streams", "--role", "processor"), running(self.settings, "bridge.api"):
            until(lambda: ready(self.settings), f"the API is ready; its log lies in {self.settings.root}")
            with httpx.Client(base_url=url(self.settings), trust_env=False, timeout=PATIENCE) as api:
                yield api


@pytest.fixture
def site(served: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    port = pick(1)[0]
    prefix = f"tickets{port}"
    stores = f"lmdb://{served.root}/{prefix}"
    monkeypatch.setenv("PYTHONPATH", python_path(tmp_path))
    more = {"api_port": port, "topic_prefix": prefix, "group": prefix, "history_store": stores, "partitions": 1}
    return Site(served.model_copy(update=more), tmp_path)


def done(api: httpx.Client, name: str, **body: Any) -> dict[str, str]:
    """Gives a command; answers the header that lets a read see it."""
    answer = command(api, STREAM, name, body)
    assert answer.status_code == 201, answer.text
    return {"Lighthouse-At-Least": answer.headers["lighthouse-position"]}


def test_events_of_two_schema_versions_are_one_stream(site: Site) -> None:
    site.install("first:application")
    with site.deployed() as api:
        done(api, "Open", title="No light")
        seen = done(api, "LogTime", minutes=2)
        state = api.get(f"/v1/streams/{STREAM}/state", headers=seen).json()["state"]
        assert state == {"title": "No light", "minutes": 2}

    site.install("second:gap")
    refuses_to_go_on(site)

    site.install("second:application")
    checked = site.run("bridge.cli", "schemas", "check", "--json")
    assert (checked.returncode, json.loads(checked.stdout)["ticket"]) == (0, [])
    with site.deployed() as api:
        seen = done(api, "LogTime", seconds=7)
        one_stream(api, seen)


def refuses_to_go_on(site: Site) -> None:
    """With a gap in the upcasts the check fails, and nothing starts."""
    checked = site.run("bridge.cli", "schemas", "check", "--json")
    assert (checked.returncode, json.loads(checked.stdout)["ticket"]) == (1, [GAP])
    for module in (("streams", "--role", "processor"), ("bridge.api",)):
        ended = site.run(*module)
        assert (ended.returncode, ended.stderr) == (1, f"{GAP}\n")


def one_stream(api: httpx.Client, seen: dict[str, str]) -> None:
    """Its state, its past and what changed are in today's words; its events stand as they were written."""

    def get(what: str, **query: Any) -> Any:
        answer = api.get(f"/v1/streams/{STREAM}/{what}", headers=seen, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    opened = {"subject": "No light", "queue": "all"}
    assert get("state")["state"] == {**opened, "seconds": 127}
    assert [get("state", version=at)["state"] for at in (0, 1)] == [{**opened, "seconds": n} for n in (0, 120)]
    assert get("diff", **{"from": 0, "to": 2})["patch"] == [{"op": "replace", "path": "/seconds", "value": 127}]
    events = [(one["type"], one["schema_version"], one["data"]) for one in get("events")["events"]]
    assert events == [
        ("TicketOpened", 1, {"title": "No light"}),
        ("TimeLogged", 1, {"minutes": 2}),
        ("TimeLogged", 2, {"seconds": 7}),
    ]
    again = command(api, STREAM, "Open", {"subject": "Again", "queue": "all"})
    assert (again.status_code, again.json()["rule"]) == (409, "T1")
