"""Sections of `key=value`: systemd's unit files and NetworkManager's keyfiles (GKeyFile).

A section may appear several times; of equal keys the last one counts. A comment begins with `#`
(for systemd also with `;`). In systemd's files a line that ends with a backslash continues; in
keyfiles white space at the end of a line belongs to the value.
"""

from __future__ import annotations

from collections.abc import Iterator

from rcnetd.basic.dataclass import dataclass, field
from rcnetd.hostconfig.renderers.marked_edits import Document
from rcnetd.hostconfig.renderers.model import CannotPersist


class Malformed(CannotPersist):
    """A line is neither a section, nor `key=value`, nor a comment."""


@dataclass(frozen=True)
class Entry:
    """`key=value`, from line *first* to line *last* of its document."""

    document: Document
    key: str
    value: str
    first: int
    last: int

    @property
    def where(self) -> str:
        """`path:line`."""
        return self.document.where(self.first)

    def put_out(self) -> None:
        """Comment the entry out, with all its continuation lines."""
        self.document.put_out(range(self.first, self.last + 1))


@dataclass
class Section:
    """A `[Name]` and its entries."""

    document: Document
    name: str
    line: int
    entries: list[Entry] = field(default_factory=list)

    @property
    def where(self) -> str:
        """`path:line`."""
        return self.document.where(self.line)

    @property
    def end(self) -> int:
        """The line of the last entry, or of the name."""
        return max([self.line, *(entry.last for entry in self.entries)])

    def get(self, key: str) -> str | None:
        """The value of a key; None if the key is missing."""
        return next((entry.value for entry in reversed(self.entries) if entry.key == key), None)

    def put_out(self) -> None:
        """Comment the whole section out."""
        self.document.put_out(range(self.line, self.end + 1))


def sections(document: Document, *, continues: bool) -> list[Section]:
    """Parse the sections of a document.

    *continues* selects systemd's syntax, which allows continuation lines and ignores a line that
    is not `key=value`. In a keyfile such a line raises `Malformed`, as an unfinished section name
    does in both.
    """
    found: list[Section] = []
    for first, last, line in _lines(document, continues=continues):
        if line.startswith("["):
            if not line.rstrip().endswith("]"):
                raise Malformed(
                    f"{document.where(first)}: '{line.strip()}' is not a section; fix it"
                )
            found.append(Section(document, line.rstrip()[1:-1], first))
            continue
        key, equals, value = line.partition("=")
        if equals and found:
            found[-1].entries.append(Entry(document, key.strip(), value.lstrip(), first, last))
        elif not continues:
            raise Malformed(
                f"{document.where(first)}: expected a section or 'key=value' in one; fix it"
            )
    return found


def _lines(document: Document, *, continues: bool) -> Iterator[tuple[int, int, str]]:
    if continues:
        yield from _unit_lines(document)
        return
    for index, text in enumerate(document.lines):
        line = text.lstrip().removesuffix("\n").removesuffix("\r")
        if line and line[0] != "#":
            yield index, index, line


def _unit_lines(document: Document) -> Iterator[tuple[int, int, str]]:
    index = 0
    while index < len(document.lines):
        first, line = index, document.lines[index].strip()
        if not index:
            line = line.removeprefix("\ufeff")  # systemd skips a byte order mark
        index += 1
        if not line or line[0] in "#;":
            continue
        while line.endswith("\\") and index < len(document.lines):
            more = document.lines[index].strip()
            index += 1
            if not more.startswith(("#", ";")):
                line = f"{line[:-1].rstrip()} {more}"
        yield first, index - 1, line
