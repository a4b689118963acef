"""What the pages draw, without a page: trees with marks, folders, contents and their differences, outlines, words."""

from __future__ import annotations

from array import array
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.history.outline import Outline
from bridge.ui import words
from bridge.ui.folders import files_tree
from bridge.ui.outlines import compact
from bridge.ui.textdiff import MOST_BYTES, MOST_LINES, SHOWN, show
from bridge.ui.tree import ABSENT, MOST, Branch, Node, find, grow
from bridge.views import File, Mark


def marks(branch: Branch) -> dict[str, str]:
    """Every pointer that is drawn, with its mark."""
    found = {}
    for node in branch.nodes:
        found[node.pointer] = node.mark.value
        found |= marks(node.children) if node.children is not None else {}
    return found


def node(branch: Branch, label: str) -> Node:
    return next(one for one in branch.nodes if one.label == label)


# states


def test_what_is_new_changed_and_gone_is_marked() -> None:
    old = {"kept": 1, "changed": {"a": 1, "b": 2}, "gone": [1]}
    new = {"kept": 1, "changed": {"a": 1, "b": 3}, "new": None}
    assert marks(grow(old, new)) == {
        "/kept": "same",
        "/changed": "changed",
        "/changed/a": "same",
        "/changed/b": "changed",
        "/new": "added",
        "/gone": "removed",
        "/gone/0": "same",
    }


def test_a_changed_leaf_tells_what_it_was() -> None:
    found = node(grow({"balance": 7}, {"balance": 9}), "balance")
    assert (found.was, found.text) == ("7", "9")


def test_a_leaf_that_becomes_a_branch_is_new_inside() -> None:
    found = node(grow({"x": 1}, {"x": {"y": 2}}), "x")
    assert (found.mark, found.was) == (Mark.CHANGED, "1")
    assert found.children is not None
    assert node(found.children, "y").mark is Mark.ADDED


def test_a_large_branch_is_cut_but_shows_what_changed() -> None:
    old = {f"k{number:04}": number for number in range(500)}
    new = {**old, "k0400": -1}
    found = grow(old, new)
    assert len(found.nodes) == MOST + 1
    assert found.more == 400
    assert node(found, "k0400").mark is Mark.CHANGED
    rest = grow(old, new, "", found.next)
    assert [each.label for each in rest.nodes][:2] == ["k0100", "k0101"]
    assert len(rest.nodes) == MOST


def test_a_long_branch_without_a_change_is_closed() -> None:
    value = {"few": [1, 2], "many": list(range(40)), "none": {}}
    found = grow(value, value)
    assert node(found, "few").children is not None
    assert node(found, "many").children is None
    assert (node(found, "many").count, node(found, "none").count) == (40, 0)


@pytest.mark.parametrize(
    ("pointer", "expected"),
    [("", {"a/b": [{"~": 1}]}), ("/a~1b/0/~0", 1), ("/a~1b/1", ABSENT), ("/x/y", ABSENT), ("/a~1b/-1", ABSENT)],
)
def test_a_pointer_leads_to_a_value(pointer: str, expected: Any) -> None:
    assert find({"a/b": [{"~": 1}]}, pointer) == expected


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.text("ab/~", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab/~", max_size=2), inner, max_size=3),
    max_leaves=12,
)


@given(
    old=st.dictionaries(st.text("ab/~", max_size=2), VALUES), new=st.dictionaries(st.text("ab/~", max_size=2), VALUES)
)
def test_marks_tell_exactly_what_differs(old: dict[str, Any], new: dict[str, Any]) -> None:
    for pointer, mark in marks(grow(old, new)).items():
        before, after = find(old, pointer), find(new, pointer)
        if mark == "same":
            assert before == after or after is ABSENT  # the inside of what has gone is drawn as it was
        elif mark == "changed":
            assert before != after
            assert before is not ABSENT
            assert after is not ABSENT
    assert (not [mark for mark in marks(grow(old, new)).values() if mark != "same"]) == (old == new)


# files


def tree(*files: File, chosen: str = "", inside: str = "") -> list[str]:
    """The lines of a tree: folders end with a slash, what is closed with an ellipsis."""

    def lines(branch: Branch, depth: int) -> list[str]:
        found = []
        for each in branch.nodes:
            name = f"{each.label}/" if each.is_branch else each.label
            found.append("  " * depth + name + ("" if each.children is not None or each.opens else "…"))
            found += lines(each.children, depth + 1) if each.children is not None else []
        return found

    return lines(files_tree(files, chosen, inside), 0)


def test_folders_come_first_and_a_small_tree_is_open() -> None:
    assert tree(File("z"), File("a/y"), File("a/b/x")) == ["a/", "  b/", "    x", "  y", "z"]


def test_a_large_tree_opens_on_the_way_to_a_change_and_to_the_chosen_file() -> None:
    many = [File(f"lib/{number}") for number in range(70)]
    files = [*many, File("src/deep/one"), File("src/two", mark=Mark.CHANGED), File("doc/three")]
    assert tree(*files) == ["doc/…", "lib/…", "src/", "  deep/…", "  two"]
    assert tree(*files, chosen="src/deep/one") == ["doc/…", "lib/…", "src/", "  deep/", "    one", "  two"]
    assert tree(*files, inside="src/deep") == ["one"]
    assert tree(*files, inside="no/such") == []


# contents


def text(old: bytes | None, new: bytes | None) -> list[str]:
    signs = {Mark.SAME: " ", Mark.ADDED: "+", Mark.REMOVED: "-"}
    return [f"{signs[line.mark]}{line.text}" for line in show(old, new).lines]


def test_a_content_without_a_change_is_shown_whole() -> None:
    assert text(b"a\nb\n", b"a\nb\n") == [" a", " b"]
    assert show(b"", b"").why == "An empty file."
    shown = show(long := b"x\n" * (SHOWN + 5), long)
    assert len(shown.lines) == SHOWN
    assert shown.why == "5 more lines are not shown."


def test_a_change_is_shown_with_the_lines_around_it() -> None:
    old = [f"{number}" for number in range(30)]
    new = [*old[:15], "new", *old[16:]]
    lines = text("\n".join(old).encode(), "\n".join(new).encode())
    assert lines == [" ", *(f" {n}" for n in range(9, 15)), "-15", "+new", *(f" {n}" for n in range(16, 22))]


def test_a_new_and_a_deleted_file_are_one_change() -> None:
    assert text(None, b"a\n") == ["+a"]
    assert text(b"a\n", None) == ["-a"]
    assert "no such file" in show(None, None).why


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"a", b"\0\1"), (b"\xff\xfe", b"a"), (b"a", b"a" * (MOST_BYTES + 1)), (b"a\n", b"a\n" * 2 * MOST_LINES)],
)
def test_what_cannot_be_compared_is_told(old: bytes, new: bytes) -> None:
    assert show(old, new).lines == ()
    assert show(old, new).why


def test_a_change_of_the_last_line_feed_is_told() -> None:
    assert show(b"a", b"a\n").why == "Only what is beside the lines changed."


# outlines and words


def test_an_outline_is_sent_as_steps() -> None:
    outline = Outline(5, ["A"], array("H", [0, 0]), array("q", [1_000_000, 1_500_900]), array("q", [9_000, 9_000]))
    assert compact(outline, 0) == {
        "first": 5,
        "names": ["A"],
        "types": [0, 0],
        "effective": [1000, 500],
        "event": [9, 0],
    }
    assert compact(outline, 6) == {"first": 6, "names": ["A"], "types": [0], "effective": [1500], "event": [9]}
    assert compact(outline, 7)["types"] == []


@pytest.mark.parametrize(
    ("value", "expected"),
    [("a", '"a"'), (None, "null"), (True, "true"), (b"caf\xc3\xa9", '"café"'), (b"\xff" * 2048, "2.0 KiB of bytes")],
)
def test_leaves_read_as_what_they_are(value: Any, expected: str) -> None:
    assert words.leaf(value) == expected


def test_a_long_leaf_is_cut() -> None:
    assert words.leaf("x" * 1000) == '"' + "x" * 399 + "… 1,002 characters"


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0.002, "now"), (1.2, "1 s ago"), (7200, "2 h ago"), (90_000_000, "3 y ago"), (-5, "now")]
)
def test_how_long_ago(seconds: float, expected: str) -> None:
    assert words.ago(10**15 - int(seconds * 1e6), 10**15) == expected
