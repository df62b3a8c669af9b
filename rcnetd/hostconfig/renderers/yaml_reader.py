"""Nodes of YAML as libyaml reads them, which is what netplan uses.

PyYAML's own parser refuses some texts that libyaml takes (a tab before a comment), so it is used
only where PyYAML was built without libyaml. Only the first document counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

Mapping = yaml.nodes.MappingNode
Sequence = yaml.nodes.SequenceNode
Scalar = yaml.nodes.ScalarNode
Node = Any  # one of these
MAX_DEPTH = 50  # levels; more is not a configuration, and would overflow the stack
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
OPENING = (yaml.MappingStartEvent, yaml.SequenceStartEvent)
CLOSING = (yaml.MappingEndEvent, yaml.SequenceEndEvent)


class InvalidYaml(Exception):
    """The text is not YAML. *line* counts from 0; None where it is not known."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason)
        self.line = line


def compose(source: str) -> Node:
    """Return the root node of the first document, None if it is empty. Raises `InvalidYaml`."""
    try:
        _require_shallow(source)
        loader = LOADER(source)
        try:
            return loader.get_node() if loader.check_node() else None
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise InvalidYaml("not valid YAML", mark.line if mark else None) from None
    except (yaml.YAMLError, UnicodeError):
        raise InvalidYaml("not valid YAML") from None


def _require_shallow(source: str) -> None:
    """Refuse deep nesting before anything recursive reads it. The events come one by one."""
    depth = 0
    for event in yaml.parse(source, Loader=LOADER):
        depth += isinstance(event, OPENING) - isinstance(event, CLOSING)
        if depth > MAX_DEPTH:
            mark = event.start_mark
            raise InvalidYaml("nested too deeply", mark.line if mark else None)
        if isinstance(event, yaml.DocumentEndEvent):
            return


def is_collection(node: Node) -> bool:
    """Whether it is a mapping or a sequence."""
    return isinstance(node, (Mapping, Sequence))


def pairs(node: Node) -> Iterator[tuple[int, str, Node]]:
    """Return position, key and value of a mapping's pairs; none for any other node."""
    if isinstance(node, Mapping):
        for position, (key, value) in enumerate(node.value):
            if isinstance(key, Scalar):
                yield position, key.value, value


def items(node: Node) -> Iterator[tuple[int, Node]]:
    """Return position and node of a sequence's items; none for any other node."""
    if isinstance(node, Sequence):
        yield from enumerate(node.value)


def values(node: Node, *keys: str) -> Iterator[Node]:
    """Return everything that a path of keys leads to: a key may be in a mapping several times."""
    if not keys:
        yield node
        return
    for _, key, value in pairs(node):
        if key == keys[0]:
            yield from values(value, *keys[1:])


def get(node: Node, *keys: str) -> Node:
    """Return the last node that a path of keys leads to; None if there is none."""
    found: Node = None
    for value in values(node, *keys):
        found = value
    return found


def text(node: Node) -> str | None:
    """Return a scalar's text; None for any other node, and for a null."""
    if not isinstance(node, Scalar) or node.tag == "tag:yaml.org,2002:null":
        return None
    return str(node.value)


def construct(node: Node) -> Any:
    """Return a node as strings, lists and dictionaries. It must not have aliases.

    A sequence that is in a mapping twice is joined, and a mapping merged, as netplan does.
    """
    if isinstance(node, Sequence):
        return [construct(item) for _, item in items(node)]
    if not isinstance(node, Mapping):
        return text(node)
    made: dict[str, Any] = {}
    for _, key, value in pairs(node):
        merge(made, {key: construct(value)})
    return made


def merge(into: dict[str, Any], more: dict[str, Any]) -> None:
    """Merge *more* as netplan does: scalars replace, mappings are merged, sequences appended to."""
    for key, value in more.items():
        old = into.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            merge(old, value)
        elif isinstance(old, list) and isinstance(value, list):
            into[key] = [*old, *value]
        else:
            into[key] = value
