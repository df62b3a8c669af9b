"""YAML as libyaml reads it."""

from __future__ import annotations

import pytest
import yaml

from rcnetd.hostconfig.renderers import yaml_reader
from rcnetd.hostconfig.renderers.yaml_reader import (
    InvalidYaml,
    compose,
    construct,
    get,
    items,
    merge,
    pairs,
    text,
    values,
)


def test_reads_nodes() -> None:
    """Of equal keys the last counts; a node of another kind is as if it were not there."""
    root = compose("a: {b: 1}\na: {b: ~, c: [x]}\n[1]: 2\n")
    assert ["a", "a"] == [key for _, key, _ in pairs(root)]
    assert [1, 2] == [len(node.value) for node in values(root, "a")]
    assert text(get(root, "a", "b")) is None
    assert ["x"] == [text(node) for _, node in items(get(root, "a", "c"))]
    assert get(root, "a", "b", "c") is None
    assert [] == list(items(root))
    assert text(root) is None


@pytest.mark.parametrize(
    ("source", "root"),
    [
        ("a: 1\t# one\n", {"a": "1"}),
        ("a: 1\n---\n", {"a": "1"}),
        ("a: 1\n--- [\n", {"a": "1"}),
        ("a: yes\nb: 010\nc: ~\n", {"a": "yes", "b": "010", "c": None}),
        ("a: [1]\nb: 2\na: [3]\n", {"a": ["1", "3"], "b": "2"}),
        ("a: {b: 1, c: 2}\na: {b: 3}\n", {"a": {"b": "3", "c": "2"}}),
    ],
)
def test_the_first_document_counts_as_libyaml_reads_it(source: str, root: object) -> None:
    """Tabs before comments, and what is behind the first document; scalars stay text."""
    assert root == construct(compose(source))


def test_an_empty_text_has_no_root() -> None:
    """Nor does one of comments."""
    assert compose("") is None
    assert compose("# nothing\n") is None


@pytest.mark.parametrize(
    ("source", "line"),
    [("a: [", 0), ("a: 1\n\tb: 2\n", 1), ("a: *b\n", 0), ("\udcff", None), ("a\0", None)],
)
def test_what_is_not_yaml_says_where(source: str, line: int | None) -> None:
    """As far as the parser knows; some errors are at the line behind."""
    with pytest.raises(InvalidYaml, match="not valid YAML") as caught:
        compose(source)
    assert line is None or (caught.value.line is not None and caught.value.line - line in (0, 1))


@pytest.mark.parametrize("source", ["[" * 60, "{a: " * 60, "- " * 60 + "a", "[" * 100_000])
def test_deep_nesting_is_refused_before_it_is_read(source: str) -> None:
    """libyaml takes any depth, and what composes the nodes would overflow the stack."""
    with pytest.raises(InvalidYaml, match=r"nested too deeply|not valid YAML"):
        compose(source)


def test_works_without_libyaml(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyYAML may have been built without it."""
    monkeypatch.setattr(yaml_reader, "LOADER", yaml.SafeLoader)
    assert {"a": ["1"]} == construct(compose("a: [1]\n--- [\n"))
    with pytest.raises(InvalidYaml):
        compose("a: [")


def test_merges_as_netplan_does() -> None:
    """Scalars replace, mappings are merged, sequences are appended to."""
    into = {"a": "1", "b": {"c": "2"}, "d": ["3"], "e": "4"}
    merge(into, {"a": "5", "b": {"f": "6"}, "d": ["7"], "e": ["8"]})
    assert into == {"a": "5", "b": {"c": "2", "f": "6"}, "d": ["3", "7"], "e": ["8"]}
