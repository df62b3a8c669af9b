"""The format of /etc/network/interfaces, as ifupdown 0.8 reads it (interfaces(5), its config.c).

Lines that begin with `#` are comments; a comment does not continue, and a line that does takes
the next one in as it is, `#` or not. An error in a file ends the reading of it, and everything
behind it is lost without notice: here it is a `CannotPersist`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from posixpath import basename, dirname, join, normpath

from rcnetd.basic.dataclass import dataclass, field
from rcnetd.hostconfig.renderers.marked_edits import Document
from rcnetd.hostconfig.renderers.model import CannotPersist

MAIN = "/etc/network/interfaces"
DIRECTORIES = ("/etc/network/interfaces.d", "/run/network/interfaces.d")
FAMILIES = {"inet", "inet6", "ipx", "can", "link", "meta"}
# What is brought up at boot: by `ifup -a`, and by udev or ifupdown's own unit.
AT_BOOT = {"auto", "allow-auto", "allow-hotplug"}
PHASES = {"pre-up", "up", "post-up", "down", "pre-down", "post-down"}
_WORD = re.compile(r"[^ \t\r\v\f\n]+")
_DIRECTORY_NAME = re.compile(r"[A-Za-z0-9_-]+")  # "^[a-zA-Z0-9_-]+$", interfaces(5)


@dataclass(frozen=True)
class Line:
    """A line with its continuations: *first* to *last* of the document, and its words."""

    document: Document
    first: int
    last: int
    words: tuple[str, ...]

    @property
    def where(self) -> str:
        """`path:line`."""
        return self.document.where(self.first)

    @property
    def value(self) -> str:
        """What follows the first word, white space made even."""
        return " ".join(self.words[1:])

    def put_out(self) -> None:
        """Put it out of effect, with all its continuations: a comment does not continue."""
        self.document.put_out(range(self.first, self.last + 1))


@dataclass(eq=False)
class Stanza:
    """An `iface` stanza. *options* are its own, *inherited* is the one it copies first."""

    line: Line
    name: str
    family: str
    method: str
    options: list[Line] = field(default_factory=list)
    inherited: Stanza | None = None

    def effective(self) -> Iterator[Line]:
        """All options in effect, the inherited ones first."""
        if self.inherited is not None:
            yield from self.inherited.effective()
        yield from self.options


@dataclass
class Interfaces:
    """All that the files say, in the order in which they are read."""

    stanzas: list[Stanza] = field(default_factory=list)
    allowed: list[tuple[Line, tuple[str, ...]]] = field(default_factory=list)  # `auto` and its like
    mappings: list[Line] = field(default_factory=list)
    files: list[str] = field(default_factory=list)

    def at_boot(self, name: str, mac: str | None = None) -> set[str]:
        """By which stanzas' names a link is brought up at boot; empty if it is not."""
        return {
            logical
            for line, words in self.allowed
            if line.words[0] in AT_BOOT
            for word in words
            for logical in [matches(word, name, mac)]
            if logical
        }


def matches(word: str, name: str, mac: str | None = None) -> str | None:
    """The stanza's name that a word of an `auto` line gives to a link, None if to none.

    `eth0`, `eth0=home`, and the patterns `/eth*`, `mac/aa:*`, also with a `=home`. A pattern of
    another variable is taken to match.
    """
    pattern, _, logical = word.partition("=")
    variable, slash, value = pattern.partition("/")
    if not slash:
        return (logical or name) if pattern == name else None
    value = value.partition("/")[0]
    given = {"": name, "mac": mac}.get(variable)
    if variable == "mac":
        value = value.lower()
    return (logical or name) if given is None or fnmatchcase(given, value) else None


def read(documents: Mapping[str, Document]) -> Interfaces:
    """Read /etc/network/interfaces and all that it sources."""
    if MAIN not in documents:
        raise CannotPersist(f"there is no {MAIN}: nothing here is configured by ifupdown")
    reader = _Reader(documents)
    reader.read(documents[MAIN])
    return reader.found


def lines(document: Document) -> Iterator[Line]:
    """The lines that are not empty and not comments."""
    index = 0
    while index < len(document.lines):
        first, text = index, document.lines[index].removesuffix("\n").lstrip(" \t\r\v\f")
        index += 1
        if text.startswith("#"):
            continue
        while text.endswith("\\"):
            if index == len(document.lines):
                raise CannotPersist(f"{document.where(first)}: the file ends with a backslash")
            text = text[:-1] + document.lines[index].removesuffix("\n")
            index += 1
        words = tuple(_WORD.findall(text))
        if words:
            yield Line(document, first, index - 1, words)


class _Reader:
    """One reading; what it found so far."""

    def __init__(self, documents: Mapping[str, Document]) -> None:
        self._documents = documents
        self._stanza: Stanza | None = None
        self._mapping = False
        self.found = Interfaces()

    def read(self, document: Document) -> None:
        if document.path in self.found.files:  # ifupdown reads none twice
            return
        self.found.files.append(document.path)
        self._end()
        for line in lines(document):
            self._take(line)
        self._end()

    def _end(self) -> None:
        self._stanza, self._mapping = None, False

    def _take(self, line: Line) -> None:
        word = line.words[0]
        if word == "iface":
            self._iface(line)
        elif word == "mapping":
            self._end()
            self._mapping = True
            self.found.mappings.append(line)
        elif word == "source" or word.startswith("source-dir"):
            self._end()
            for path in self._sourced(line):
                self.read(self._documents[path])
        elif word in ("auto", "no-auto-down", "no-scripts") or word.startswith("allow-"):
            self._allow(line)
        elif word == "rename":
            self._end()
        elif not self._option(line):
            raise CannotPersist(
                f"{line.where}: '{word}' is in no stanza; ifupdown stops reading there"
            )

    def _allow(self, line: Line) -> None:
        names = line.words[1:]
        if not names and self._stanza is not None:  # of the stanza that it is in
            names = (self._stanza.name,)
        else:
            self._end()
        self.found.allowed.append((line, names))

    def _option(self, line: Line) -> bool:
        if self._mapping:
            return line.words[0] in ("script", "map")
        if self._stanza is None:
            return False
        if len(line.words) == 1:
            raise CannotPersist(
                f"{line.where}: '{line.words[0]}' has no value; ifupdown stops there"
            )
        self._stanza.options.append(line)
        return True

    def _iface(self, line: Line) -> None:
        self._end()
        name, family, method, word, parent = (*line.words[1:], "", "", "", "", "")[:5]
        inherited = None
        if family == "inherits":
            inherited = self._other(line, method, None)
            family, method = inherited.family, inherited.method
        elif method == "inherits":
            inherited = self._other(line, word, family)
            method = inherited.method
        elif word == "inherits":
            inherited = self._other(line, parent, family)
        if not name or family not in FAMILIES or not method:
            raise CannotPersist(f"{line.where}: an iface line that ifupdown does not understand")
        self._stanza = Stanza(line, name, family, method, inherited=inherited)
        self.found.stanzas.append(self._stanza)

    def _other(self, line: Line, name: str, family: str | None) -> Stanza:
        for stanza in self.found.stanzas:
            if stanza.name == name and family in (None, stanza.family):
                return stanza
        raise CannotPersist(f"{line.where}: inherits '{name}', which is not defined before")

    def _sourced(self, line: Line) -> list[str]:
        found = []
        for word in line.words[1:]:
            if re.search(r"[$`~\"'{\\]", word):
                raise CannotPersist(
                    f"{line.where}: only a shell can tell what '{word}' is; write it out"
                )
            path = normpath(join(dirname(line.document.path), word))
            if line.words[0] == "source":
                found += self._glob(line, dirname(path), basename(path))
            else:
                found += [
                    name
                    for name in self._glob(line, path, "*")
                    if _DIRECTORY_NAME.fullmatch(basename(name))
                ]
        return found

    def _glob(self, line: Line, directory: str, pattern: str) -> list[str]:
        if directory not in DIRECTORIES and (join(directory, pattern) != MAIN):
            raise CannotPersist(
                f"{line.where}: sources '{join(directory, pattern)}'; rcnetd reads only what is in"
                f" {DIRECTORIES[0]}; move it there"
            )
        return sorted(
            path
            for path in self._documents
            if dirname(path) == directory
            and fnmatchcase(basename(path), pattern)
            and (pattern.startswith(".") or not basename(path).startswith("."))
        )
