"""Marked edits of YAML that people wrote: pairs and items go, all other bytes stay.

PyYAML composes the text into nodes that know where they are; what goes is cut out by that. In
block style whole lines are put out. In flow style (`{…}`, `[…]`) the lines are put out, and lines
of ours without the part stand in for them. A round-trip library would write the file anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from rcnetd.hostconfig.renderers.marked_edits import Document
from rcnetd.hostconfig.renderers.model import CannotPersist

Mapping = yaml.nodes.MappingNode
Sequence = yaml.nodes.SequenceNode
Scalar = yaml.nodes.ScalarNode
Node = Any  # one of these
MAX_DEPTH = 50  # levels; more is no configuration, and would end in a RecursionError


class YamlDocument:
    """A `Document` of YAML. *root* is None for an empty one. Refused: what is not YAML."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.path = document.path
        self._text = "".join(document.lines)
        self.root: Node = None
        try:
            self.root = yaml.compose(self._text, Loader=yaml.SafeLoader)
        except (yaml.YAMLError, RecursionError) as error:
            raise CannotPersist(f"{self.path}{_place(error)}: not valid YAML; mend it") from None
        self._parents: dict[int, tuple[Node, int]] = {}
        self._shared: set[int] = set()
        self._removed: dict[int, tuple[Node, set[int]]] = {}
        if self.root is not None:
            self._know(self.root, 0)

    def where(self, node: Node) -> str:
        """`path:line` of a node."""
        if not self.document.lines:
            return self.path
        line = min(self._line(node.start_mark.index), len(self.document.lines) - 1)
        return self.document.where(line)

    def remove(self, parent: Node, position: int) -> None:
        """Have the pair of a mapping, or the item of a sequence, go; a collection left empty too.

        Refused for what is also used by another name (`*alias`).
        """
        child = parent.value[position]
        parts = child if isinstance(child, tuple) else (child,)
        for node in (
            parent,
            *self._above(parent),
            *(one for part in parts for one in _below(part)),
        ):
            if id(node) in self._shared:
                raise CannotPersist(f"{self.where(node)}: is used by an alias too; write it out")
        _, positions = self._removed.setdefault(id(parent), (parent, set()))
        positions.add(position)
        if len(positions) == len(parent.value) and id(parent) in self._parents:
            self.remove(*self._parents[id(parent)])

    def finish(self) -> None:
        """Make the edits of the document."""
        lines: set[int] = set()
        cuts: list[tuple[int, int]] = []
        for parent, positions in self._removed.values():
            if parent.flow_style:
                cuts += self._flow_cuts(parent, positions)
            else:
                for position in positions:
                    lines.update(self._block_lines(parent, position))
        self.document.put_out(lines)
        for first, last, text in self._replaced(sorted(cuts), lines):
            self.document.put_out(range(first, last + 1))
            if text:
                self.document.insert_after(last, text)

    def _know(self, node: Node, depth: int) -> None:
        """Learn each node's parent, and which nodes have several."""
        if depth > MAX_DEPTH:
            raise CannotPersist(f"{self.where(node)}: nested too deeply")
        for position, child in enumerate(node.value if _is_collection(node) else ()):
            for part in child if isinstance(child, tuple) else (child,):
                if id(part) in self._parents:
                    self._shared.add(id(part))
                    continue
                self._parents[id(part)] = (node, position)
                self._know(part, depth + 1)

    def _above(self, node: Node) -> Iterator[Node]:
        while id(node) in self._parents:
            node = self._parents[id(node)][0]
            yield node

    def _line(self, index: int) -> int:
        return self._text.count("\n", 0, index)

    def _span(self, parent: Node, position: int) -> tuple[int, int]:
        """Where a pair or an item begins and ends."""
        child = parent.value[position]
        first, last = child if isinstance(child, tuple) else (child, child)
        return first.start_mark.index, max(_end(last), _end(first))

    def _block_lines(self, parent: Node, position: int) -> range:
        begin, end = self._span(parent, position)
        end = begin + len(self._text[begin:end].rstrip())
        before = self._text[self._text.rfind("\n", 0, begin) + 1 : begin].strip()
        if before != ("-" if isinstance(parent, Sequence) else ""):
            node = parent.value[position]
            where = self.where(node[0] if isinstance(node, tuple) else node)
            raise CannotPersist(f"{where}: has to go, and is not on a line of its own; give it one")
        return range(self._line(begin), self._line(end) + 1)

    def _flow_cuts(self, parent: Node, positions: set[int]) -> Iterator[tuple[int, int]]:
        kept = [number for number in range(len(parent.value)) if number not in positions]
        for position in positions:
            begin, end = self._span(parent, position)
            before = [number for number in kept if number < position]
            if position < max(kept, default=-1):
                end = self._span(parent, position + 1)[0]
            elif before:
                begin = self._span(parent, before[-1])[1]
            yield begin, end

    def _replaced(
        self, cuts: list[tuple[int, int]], gone: set[int]
    ) -> Iterator[tuple[int, int, list[str]]]:
        """Runs of lines with cuts in them, each with what stands in for it."""
        runs: list[tuple[int, int, list[tuple[int, int]]]] = []
        for begin, end in cuts:
            first, last = self._line(begin), self._line(end)
            if gone.issuperset(range(first, last + 1)):
                continue
            if runs and first <= runs[-1][1]:
                old_first, old_last, inside = runs.pop()
                runs.append((old_first, max(old_last, last), [*inside, (begin, end)]))
            else:
                runs.append((first, last, [(begin, end)]))
        for first, last, inside in runs:
            begin = len("".join(self.document.lines[:first]))
            text, at = "", begin
            for start, end in inside:
                text += self._text[at : max(start, at)]
                at = max(end, at)
            text += self._text[at : begin + len("".join(self.document.lines[first : last + 1]))]
            yield first, last, [line.rstrip() for line in text.split("\n") if line.strip()]


def _is_collection(node: Node) -> bool:
    return isinstance(node, (Mapping, Sequence))


def _below(node: Node) -> Iterator[Node]:
    """A node and all that is in it."""
    yield node
    for child in node.value if _is_collection(node) else ():
        for part in child if isinstance(child, tuple) else (child,):
            yield from _below(part)


def _end(node: Node) -> int:
    """Where a node ends. A block collection's own mark is behind the comments that follow it."""
    if not _is_collection(node) or node.flow_style:
        return int(node.end_mark.index)
    ends = [
        _end(part)
        for child in node.value
        for part in (child if isinstance(child, tuple) else (child,))
    ]
    return max(ends, default=int(node.start_mark.index))


def _place(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    return f":{mark.line + 1}" if mark is not None else ""


def pairs(node: Node) -> Iterator[tuple[int, str, Node]]:
    """Position, key and value of a mapping's pairs; none for any other node."""
    if isinstance(node, Mapping):
        for position, (key, value) in enumerate(node.value):
            if isinstance(key, Scalar):
                yield position, key.value, value


def items(node: Node) -> Iterator[tuple[int, Node]]:
    """Position and node of a sequence's items; none for any other node."""
    if isinstance(node, Sequence):
        yield from enumerate(node.value)


def get(node: Node, *keys: str) -> Node:
    """What a path of keys leads to, of equal keys the last; None if to nothing."""
    for key in keys:
        node = next(
            (value for _, found, value in reversed(list(pairs(node))) if found == key), None
        )
    return node


def text(node: Node) -> str | None:
    """A scalar's text; None for any other node, and for a null."""
    if not isinstance(node, Scalar) or node.tag == "tag:yaml.org,2002:null":
        return None
    return str(node.value)
