"""The jars come whole or not at all, and never again."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import stamina

from bridge.errors import LocalError
from bridge.local.jars import LOCK, Jar, fetch, locked, silent
from bridge.settings import Settings

CONTENT = b"a jar" * 1000


class Repository(ThreadingHTTPServer):
    """A Maven repository of one file; `failures` answers are 503 before the first good one."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []
        self.failures = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/maven"


class Handler(BaseHTTPRequestHandler):
    server: Repository

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.send_response(503 if len(self.server.asked) <= self.server.failures else 200)
        self.end_headers()
        self.wfile.write(CONTENT)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def repository() -> Iterator[Repository]:
    with Repository() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _at_once() -> Iterator[None]:
    with stamina.set_testing(True, attempts=4, cap=True):
        yield


def jar(content: bytes = CONTENT) -> Jar:
    return Jar("org.example:thing:jar:1.0", "thing-1.0.jar", hashlib.sha256(content).hexdigest(), len(content))


def settings(tmp_path: Path, url: str) -> Settings:
    return Settings(home=tmp_path, cache=tmp_path / "cache", maven_repository=url)


def test_a_missing_jar_is_fetched_once(tmp_path: Path, repository: Repository) -> None:
    for _ in range(2):
        (path,) = fetch(settings(tmp_path, repository.url), [jar()], silent)
        assert path.read_bytes() == CONTENT
    assert repository.asked == ["/maven/org/example/thing/1.0/thing-1.0.jar"]


def test_a_failing_repository_is_asked_again(tmp_path: Path, repository: Repository) -> None:
    repository.failures = 2
    fetch(settings(tmp_path, repository.url), [jar()], silent)
    assert len(repository.asked) == 3


def test_other_bytes_than_the_locked_ones_are_refused(tmp_path: Path, repository: Repository) -> None:
    with pytest.raises(LocalError, match=r"thing-1.0.jar could not be fetched .its sha256 is .* the lock says"):
        fetch(settings(tmp_path, repository.url), [jar(b"what was locked")], silent)
    assert list((tmp_path / "cache" / "jars").iterdir()) == []


def test_a_truncated_jar_is_fetched_again(tmp_path: Path, repository: Repository) -> None:
    (path,) = fetch(settings(tmp_path, repository.url), [jar()], silent)
    path.write_bytes(CONTENT[:100])
    fetch(settings(tmp_path, repository.url), [jar()], silent)
    assert path.read_bytes() == CONTENT


def test_no_repository_is_a_sentence_with_the_setting(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match=r"LIGHTHOUSE_MAVEN_REPOSITORY"):
        fetch(settings(tmp_path, "http://127.0.0.1:1/maven"), [jar()], silent)


def test_a_cache_that_cannot_be_made_is_a_sentence_with_the_setting(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(LocalError, match=r"LIGHTHOUSE_CACHE"):
        fetch(settings(tmp_path, "http://127.0.0.1:1/maven"), [jar()], silent)


def test_the_lock_holds_one_kafka_and_no_address() -> None:
    versions = {each.coordinates.split(":")[-1] for each in locked("kafka") if "org.apache.kafka:" in each.coordinates}
    assert versions == {"4.3.1"}
    assert not re.search(r"https?:|://", LOCK.read_text())


def test_every_locked_file_has_a_name_and_a_digest_of_its_own() -> None:
    jars = (*locked("kafka"), *locked("registry"))
    assert len({each.file for each in jars}) == len({each.sha256 for each in jars}) == len(jars)
