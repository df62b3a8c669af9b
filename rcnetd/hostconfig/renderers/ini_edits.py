"""Sections of `key=value`: systemd's unit files and NetworkManager's keyfiles (GKeyFile).

A section may be there several times; of equal keys the last counts. Comments begin with `#` (for
systemd also `;`) and do not continue; a line of systemd's that ends with a backslash does.
"""

from __future__ import annotations

from collections.abc import Iterator

from rcnetd.basic.dataclass import dataclass, field
from rcnetd.hostconfig.renderers.marked_edits import Document
from rcnetd.hostconfig.renderers.model import CannotPersist


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
        """Put it out of effect, with all its continuations."""
        self.document.put_out(range(self.first, self.last + 1))


@dataclass
class Section:
    """A `[Name]` and what follows."""

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
        """The line of its last entry, or of its name."""
        return max([self.line, *(entry.last for entry in self.entries)])

    def get(self, key: str) -> str | None:
        """The value of a key; None where it is not there."""
        return next((entry.value for entry in reversed(self.entries) if entry.key == key), None)

    def put_out(self) -> None:
        """Put it out of effect, with what is between its lines."""
        self.document.put_out(range(self.line, self.end + 1))


def sections(document: Document, *, continues: bool) -> list[Section]:
    """The sections of a document. Refused: what is none. *continues*: lines may."""
    found: list[Section] = []
    for first, last, line in _lines(document, continues=continues):
        if line.startswith("["):
            if not line.endswith("]"):
                raise CannotPersist(f"{document.where(first)}: '{line}' is no section; mend it")
            found.append(Section(document, line[1:-1], first))
            continue
        key, equals, value = line.partition("=")
        if not equals or not found:
            # systemd ignores such a line, NetworkManager the whole file.
            if continues:
                continue
            raise CannotPersist(
                f"{document.where(first)}: is in no section, or no 'key=value'; mend it"
            )
        entry = Entry(document, key.strip(), value.strip(), first, last)
        found[-1].entries.append(entry)
    return found


def _lines(document: Document, *, continues: bool) -> Iterator[tuple[int, int, str]]:
    index = 0
    while index < len(document.lines):
        first, line = index, document.lines[index].strip()
        if continues and not index:
            line = line.removeprefix("\ufeff")  # systemd skips a byte order mark
        index += 1
        if not line or line[0] in ("#;" if continues else "#"):
            continue
        while continues and line.endswith("\\") and index < len(document.lines):
            more = document.lines[index].strip()
            index += 1
            if not more.startswith(("#", ";")):
                line = f"{line[:-1].rstrip()} {more}"
        yield first, index - 1, line
