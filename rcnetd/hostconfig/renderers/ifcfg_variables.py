"""Assignments of shell variables in a file, as a shell and NetworkManager's shvar.c read them.

A line is `KEY=value`; the last of several with one key counts. A value may be quoted, as in a
shell. NetworkManager reads a value that only a shell can expand (`$(hostname)`) as empty.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address

from rcnetd.basic.dataclass import dataclass
from rcnetd.hostconfig.renderers.marked_edits import Document
from rcnetd.hostconfig.renderers.model import CannotPersist

_ASSIGNMENT = re.compile(r"[ \t\r\v\f]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)")
_PART = re.compile(
    r"""'([^']*)'|"((?:[^"\\$`]|\\.)*)"|\\(.)|([^ \t\r\v\f'"\\$`;|&()<>]+)""", re.DOTALL
)
_END = re.compile(r"[ \t\r\v\f]*;?[ \t\r\v\f]*(?:(?<![^ \t\r\v\f;])#.*)?")
_NO = ("no", "false", "f", "n", "0")


@dataclass(frozen=True)
class Assignment:
    """`KEY=value`. *raw* is the value as it is written."""

    key: str
    raw: str
    index: int


class Variables:
    """The assignments in a document."""

    def __init__(self, document: Document) -> None:
        """Raise `CannotPersist` if a quoted value does not end on its line."""
        self.document = document
        self.assignments: list[Assignment] = []
        for index, line in enumerate(document.lines):
            match = _ASSIGNMENT.fullmatch(line.removesuffix("\n"))
            if match:
                self.assignments.append(Assignment(match[1], match[2], index))
                self._unquote(self.assignments[-1], required=False)

    def get(self, key: str) -> str | None:
        """The value; None if there is none. Raises `CannotPersist` if only a shell can tell."""
        found = [item for item in self.assignments if item.key == key]
        return self._unquote(found[-1], required=True) if found else None

    def word(self, key: str) -> str:
        """The value in lower case; "" if there is none."""
        return (self.get(key) or "").lower()

    def address(self, key: str) -> IPv4Address | None:
        """The value as an address; raises `CannotPersist` if it is not one."""
        value = self.get(key)
        try:
            return IPv4Address(value) if value else None
        except ValueError:
            where = self.document.where(self._last(key).index)
            raise CannotPersist(f"{where}: {key}={value} is not an IPv4 address; fix it") from None

    def is_no(self, key: str) -> bool:
        """Whether the value is a word for false."""
        return self.word(key) in _NO

    def keys(self, pattern: re.Pattern[str]) -> list[str]:
        """The keys of this form, each once, in their order."""
        found = [item.key for item in self.assignments if pattern.fullmatch(item.key)]
        return list(dict.fromkeys(found))

    def put_out(self, keys: Iterable[str]) -> None:
        """Comment all assignments to these keys out."""
        self.document.put_out([item.index for item in self.assignments if item.key in keys])

    def set(self, key: str, value: str) -> None:
        """Replace all assignments to a key by one."""
        self.put_out([key])
        self.document.append([f"{key}={value}"])

    def _last(self, key: str) -> Assignment:
        return [item for item in self.assignments if item.key == key][-1]

    def _unquote(self, assignment: Assignment, *, required: bool) -> str:
        text, value = assignment.raw, ""
        while match := _PART.match(text):
            quoted = match[2] and re.sub(r"\\([$`\"\\])", r"\1", match[2])
            value += match[1] or quoted or match[3] or match[4] or ""
            text = text[match.end() :]
        if _END.fullmatch(text):
            return value
        where = f"{self.document.where(assignment.index)}: {assignment.key}="
        if text == "\\" or (text[0] in "'\"" and not re.match(r"\"(?:[^\"\\]|\\.)*\"", text)):
            raise CannotPersist(f"{where} does not end on its line; write it on one line")
        if required:
            raise CannotPersist(f"{where} has a value that only a shell can tell; write it out")
        return ""
