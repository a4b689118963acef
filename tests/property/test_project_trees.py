"""Random histories: git makes the commits, the import folds them, and each tree must be the same."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lighthouse.blobs import open_blobs
from lighthouse.git import open_repository
from lighthouse.import_git import Target, import_git
from lighthouse.listing import listing
from lighthouse.project import project
from lighthouse.project.paths import escape, is_canonical, unescape
from tests.gitrepos import FILE, LINK, SCRIPT, Edit, Made, first_parents, long_text, ls_tree, make
from tests.memory_commands import SCHEMAS, MemoryCommands

STREAM = "project/p"
SEGMENTS = st.sampled_from([b"a", b"b", b"A", b"a-", b"a.b", b"\xff", b"\\", b"\n", "é".encode()])
PATHS = st.lists(SEGMENTS, min_size=1, max_size=3).map(b"/".join)
CONTENTS = st.sampled_from([b"", b"x", *(long_text(name).encode() for name in "abc"), b"big" * 30_000])
EDITS = st.one_of(
    st.builds(Edit, PATHS),
    st.builds(Edit, PATHS, CONTENTS, st.sampled_from([FILE, FILE, SCRIPT, LINK])),
)
COMMITS = st.builds(Made, st.lists(EDITS, max_size=8))


@given(st.binary(max_size=40))
def test_every_path_of_bytes_is_one_text(raw: bytes) -> None:
    assert unescape(escape(raw)) == raw
    assert is_canonical(escape(raw))
    escape(raw).encode()


@given(st.text(alphabet=st.sampled_from("ax4\\f1\u00e9\ud800/"), max_size=12))
def test_a_canonical_text_is_the_only_one_of_its_bytes(path: str) -> None:
    assert is_canonical(path) == (escape(unescape(path)) == path)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(COMMITS, min_size=1, max_size=8))
def test_every_commit_of_a_random_history_lists_what_git_lists(commits: Sequence[Made]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        for folded, in_git in _both(Path(directory), commits):
            assert folded == in_git


def _both(directory: Path, commits: Sequence[Made]) -> Iterator[tuple[bytes, bytes]]:
    path = make(directory / "repo", commits)
    platform = MemoryCommands(project, SCHEMAS / "project")
    target = Target(platform, platform, open_blobs("", directory / "blobs"))
    asyncio.run(import_git(open_repository(path), STREAM, target))
    for state, sha in zip(platform.states[STREAM], first_parents(path), strict=True):
        yield listing(state), ls_tree(path, sha)
