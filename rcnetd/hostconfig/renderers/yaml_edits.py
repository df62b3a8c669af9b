"""Marked edits of YAML that people wrote: pairs and items go, all other bytes stay.

The nodes know where they are in the text, so that what goes can be cut out. In block style whole
lines are commented out. In flow style (`{...}`, `[...]`) the lines are commented out, and lines of
ours without the part replace them. A round-trip library would reformat the file.
"""

from __future__ import annotations

from collections.abc import Iterator

from rcnetd.hostconfig.renderers.marked_edits import Document
from rcnetd.hostconfig.renderers.model import CannotPersist
from rcnetd.hostconfig.renderers.yaml_reader import (
    InvalidYaml,
    Node,
    Sequence,
    compose,
    is_collection,
)


class YamlDocument:
    """A `Document` of YAML. *root* is None for an empty one. Refused: what is not YAML."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.path = document.path
        # A byte order mark does not count in the positions of nodes.
        self._lines = [line.removeprefix("\ufeff") for line in document.lines[:1]]
        self._lines += document.lines[1:]
        self._text = "".join(self._lines)
        try:
            self.root: Node = compose(self._text)
        except InvalidYaml as error:
            raise CannotPersist(f"{self._line_of(error.line)}: {error}; fix it") from None
        self._parents: dict[int, tuple[Node, int]] = {}
        self._shared: set[int] = set()
        self._removed: dict[int, tuple[Node, set[int]]] = {}
        if self.root is not None:
            self._index(self.root)

    def where(self, node: Node) -> str:
        """`path:line` of a node."""
        return self._line_of(self._line(node.start_mark.index))

    def require_unshared(self, *nodes: Node) -> None:
        """Refuse nodes that are also used through an alias: they can only change together."""
        for node in nodes:
            for below in _below(node):
                if id(below) in self._shared:
                    raise CannotPersist(
                        f"{self.where(below)}: is used through an alias as well; write it out twice"
                    )

    def remove(self, parent: Node, position: int) -> None:
        """Remove the pair of a mapping, or the item of a sequence, and a collection left empty."""
        for node in (parent, *self._above(parent)):
            if id(node) in self._shared:
                self.require_unshared(node)
        self.require_unshared(*_parts(parent.value[position]))
        _, positions = self._removed.setdefault(id(parent), (parent, set()))
        positions.add(position)
        if len(positions) == len(parent.value) and id(parent) in self._parents:
            self.remove(*self._parents[id(parent)])

    def finish(self) -> None:
        """Make the edits."""
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

    def _line_of(self, number: int | None) -> str:
        if number is None or not self.document.lines:
            return self.path
        return self.document.where(min(number, len(self.document.lines) - 1))

    def _index(self, node: Node) -> None:
        """Note each node's parent, and which nodes have several."""
        for position, child in enumerate(node.value if is_collection(node) else ()):
            for part in _parts(child):
                if id(part) in self._parents or part is self.root:
                    self._shared.add(id(part))
                    continue
                self._parents[id(part)] = (node, position)
                self._index(part)

    def _above(self, node: Node) -> Iterator[Node]:
        while id(node) in self._parents:
            node = self._parents[id(node)][0]
            yield node

    def _line(self, index: int) -> int:
        return self._text.count("\n", 0, index)

    def _span(self, parent: Node, position: int) -> tuple[int, int]:
        """Return where a pair or an item begins and ends."""
        parts = _parts(parent.value[position])
        first, last = parts[0], parts[-1]
        return first.start_mark.index, max(_end(last), _end(first))

    def _block_lines(self, parent: Node, position: int) -> range:
        begin, end = self._span(parent, position)
        end = begin + len(self._text[begin:end].rstrip())
        if isinstance(parent, Sequence):
            begin = self._dash(begin)
        if self._text[self._text.rfind("\n", 0, begin) + 1 : begin].strip():
            where = self.where(_parts(parent.value[position])[0])
            raise CannotPersist(
                f"{where}: has to be removed, but shares its line with something else; give it a"
                " line of its own"
            )
        return range(self._line(begin), self._line(end) + 1)

    def _dash(self, begin: int) -> int:
        """Return where the `-` of an item is, which may be some lines before the item."""
        end = begin
        while end:
            first = self._text.rfind("\n", 0, end) + 1
            line = self._text[first:end].partition("#")[0].rstrip()
            if line:
                return first + len(line) - 1 if line.endswith("-") else begin
            end = max(first - 1, 0)
        return begin

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
        """Return runs of lines with cuts in them, each with the lines that replace it."""
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
            begin = len("".join(self._lines[:first]))
            text, at = "", begin
            for start, end in inside:
                text += self._text[at : max(start, at)]
                at = max(end, at)
            text += self._text[at : begin + len("".join(self._lines[first : last + 1]))]
            yield first, last, [line.rstrip() for line in text.split("\n") if line.strip()]


def _parts(child: Node) -> tuple[Node, ...]:
    """Return key and value of a pair, or the one item."""
    return child if isinstance(child, tuple) else (child,)


def _below(node: Node) -> Iterator[Node]:
    """Return a node and everything in it; endless if an alias is used inside of its own anchor."""
    yield node
    for child in node.value if is_collection(node) else ():
        for part in _parts(child):
            yield from _below(part)


def _end(node: Node) -> int:
    """Return where a node ends. A block collection's own mark is behind the comments after it."""
    if not is_collection(node) or node.flow_style:
        return int(node.end_mark.index)
    ends = [_end(part) for child in node.value for part in _parts(child)]
    return max(ends, default=int(node.start_mark.index))
