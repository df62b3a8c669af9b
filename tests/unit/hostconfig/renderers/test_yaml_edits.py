"""Marked edits of YAML: what goes, and that nothing else does."""

from __future__ import annotations

import pytest
import yaml

from rcnetd.hostconfig.renderers.marked_edits import OFF, Document
from rcnetd.hostconfig.renderers.model import CannotPersist
from rcnetd.hostconfig.renderers.yaml_edits import YamlDocument
from rcnetd.hostconfig.renderers.yaml_reader import LOADER, get, items, pairs


def removed(source: str, *paths: tuple[str, ...]) -> str:
    """The text after the pairs at these paths of keys have gone."""
    document = YamlDocument(Document("f", source.encode()))
    for path in paths:
        parent = get(document.root, *path[:-1])
        for position, key, _ in pairs(parent):
            if key == path[-1]:
                document.remove(parent, position)
    document.finish()
    return document.document.data().decode()


@pytest.mark.parametrize(
    ("source", "left"),
    [
        ("a: 1\nb: 2\n", {"b": 2}),
        ("a: 1  # one\n\n# two\nb: 2\n", {"b": 2}),
        ("b: 2\na:\n- 1\n-   2\n# end\n", {"b": 2}),
        ("b: 2\na:\n  c:\n    d: |\n      text\n      more\n\n  e:\n", {"b": 2}),
        ("b: 2\na: [1,\n  2]  # two\nc: 3", {"b": 2, "c": 3}),
        ("b: 2\na:\nc: 3\n", {"b": 2, "c": 3}),
        ("{a: 1, b: 2}\n", {"b": 2}),
        ("{b: 2, a: 1}\n", {"b": 2}),
        ("{b: 2,\n a: {c: [1,\n 2]},\n}", {"b": 2}),
        ("{\n a: 1, # one\n b: 2}\n", {"b": 2}),
        ("b: 2\nc: {a: 1}\n", {"b": 2, "c": {"a": 1}}),
        ("a: 1\nb: 2\na: 3\n", {"b": 2}),
        ("b: 2\na:\t # one\n  c: 1\t# two\n", {"b": 2}),
        ("\ufeffb: 2\na: 1\n", {"b": 2}),
        ("b: 2\r\na: 1\r\nc: 3\r\n", {"b": 2, "c": 3}),
        ("a: 1\nb: 2\n---\na: 3\n", {"b": 2}),
        ("a: 1\nb: 2\n...\n", {"b": 2}),
        ("---\na: \u00e4\u20ac\U0001f600\nb: 2\n---\n", {"b": 2}),
        ("a: 1\n", None),
        ("{a: 1}", {}),
    ],
)
def test_a_pair_goes_and_comes_back(source: str, left: object) -> None:
    """In block and flow style, with comments, over several lines; without marks it is back."""
    edited = removed(source, ("a",))
    assert left == next(yaml.load_all(edited, Loader=LOADER), None)
    assert Document("f", edited.encode()).data().decode() == source


def test_only_the_lines_that_change_are_touched() -> None:
    """All others are byte by byte as they were."""
    assert f"x: 1 # y\n{OFF}a:\n{OFF}  b: 2\n# z\n" == removed(
        "x: 1 # y\na:\n  b: 2\n# z\n", ("a",)
    )


def test_what_is_left_empty_goes_too() -> None:
    """A key without a value means something else to most readers."""
    assert {"d": 1} == yaml.safe_load(removed("a:\n  b:\n    c: 1\nd: 1\n", ("a", "b", "c")))
    assert {"d": 1} == yaml.safe_load(removed("{a: {b: {c: 1}}, d: 1}", ("a", "b", "c")))


@pytest.mark.parametrize(
    "source", ["a: &x {b: 1}\nc: *x\n", "c: &x {b: 1}\na: *x\n", "d: &x {a: 1}\ne: *x\n"]
)
def test_an_alias_is_refused(source: str) -> None:
    """What is said once and meant twice cannot go once."""
    path = ("d", "a") if source.startswith("d") else ("a",)
    with pytest.raises(CannotPersist, match="is used through an alias as well"):
        removed(source, path)


@pytest.mark.parametrize(
    ("source", "left"),
    [
        ("a:\n  -\n    b: 1\n  - c: 2\n", {"a": [{"c": 2}]}),
        (
            "a:\n  -   # first\n\n    # of two\n    b: 1\n    d: 3\n  -\n    c: 2\n",
            {"a": [{"c": 2}]},
        ),
        ("a:\n-\n  - 1\n  - 2\n- 3\n", {"a": [3]}),
        ("a:\n  -\n    - b: 1\n", None),
        ("a: [{b: 1}, {c: 2}]\n", {"a": [{"c": 2}]}),
    ],
)
def test_an_item_goes_with_its_dash(source: str, left: object) -> None:
    """The dash may be on a line of its own, some lines before the item."""
    document = YamlDocument(Document("f", source.encode()))
    sequence = get(document.root, "a")
    document.remove(sequence, next(iter(items(sequence)))[0])
    document.finish()
    edited = document.document.data().decode()
    assert left == yaml.safe_load(edited)
    assert Document("f", edited.encode()).data().decode() == source


def test_an_item_that_shares_its_line_is_refused() -> None:
    """A sequence that begins on the line of another's dash."""
    document = YamlDocument(Document("f", b"a:\n- - 1\n  - 2\n"))
    sequence = get(document.root, "a").value[0]
    document.remove(sequence, 0)
    with pytest.raises(CannotPersist, match="f:2: has to be removed, but shares its line"):
        document.finish()
