"""The format of /etc/network/interfaces, as three programs read it.

ifupdown 0.8 defines the format (interfaces(5), its config.c). ifupdown2 and ifupdown-ng read the
same file with grammars of their own:

- They accept `iface eth0` without family and method; 0.8 stops reading at such a line.
- ifupdown-ng has `use dhcp`, `inherit NAME`, `template NAME` and `interface NAME`.
- ifupdown2 has neither `inherits` nor `source-directory`, but `auto all`, ranges (`swp[1-4]`) and
  Mako templates, whose lines begin with `%`. Ranges and templates are refused here.
- Both take a relative path after `source` from their working directory, which is / at boot, and
  read only the first path. ifupdown2 reads the files of a glob unsorted.

The grammar here is the union of the three: the host's own `ifquery` decides what is valid there.
Lines that begin with `#` are comments. A comment does not continue, but a line that ends with a
backslash takes in the next one, `#` or not. An error ends the reading of a file, and everything
after it is lost without notice, so it is a `CannotPersist` here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from posixpath import basename, dirname, join, normpath

from rcnetd.basic.dataclass import dataclass, field
from rcnetd.hostconfig.renderers.marked_edits import Document
from rcnetd.hostconfig.renderers.model import CannotPersist, Tree

MAIN = "/etc/network/interfaces"
DIRECTORIES = ("/etc/network/interfaces.d", "/run/network/interfaces.d")
FAMILIES = {"inet", "inet6", "ipx", "can", "link", "meta"}
# Links that come up at boot: by `ifup -a`, or by udev and ifupdown's own unit.
AT_BOOT = {"auto", "allow-auto", "allow-hotplug"}
PHASES = {"pre-up", "up", "post-up", "down", "pre-down", "post-down"}
_STANZAS = ("iface", "interface", "template")
_INHERIT = ("inherit", "inherits")
_WORD = re.compile(r"[^ \t\r\v\f\n]+")
_DIRECTORY_NAME = re.compile(r"[A-Za-z0-9_-]+")  # "^[a-zA-Z0-9_-]+$", interfaces(5)


@dataclass(frozen=True)
class Line:
    """A logical line: *first* to *last* of the document, and its words."""

    document: Document
    first: int
    last: int
    text: str

    @property
    def words(self) -> list[str]:
        """The words of the line."""
        return _WORD.findall(self.text)

    @property
    def where(self) -> str:
        """The place of the line, as `path:line`."""
        return self.document.where(self.first)

    @property
    def value(self) -> str:
        """Everything after the first word."""
        return self.text.partition(self.words[0])[2].strip()

    def put_out(self) -> None:
        """Comment the line out, with all its continuations: a comment does not continue."""
        self.document.put_out(range(self.first, self.last + 1))


@dataclass(eq=False)
class Stanza:
    """An `iface` stanza. *family* and *method* are empty where the line has none.

    *parents* are the stanzas whose options it inherits.
    """

    line: Line
    name: str
    family: str
    method: str
    options: list[Line] = field(default_factory=list)
    parents: list[Stanza] = field(default_factory=list)

    def effective(self) -> Iterator[Line]:
        """All options in effect, the inherited ones first."""
        for parent in self.parents:
            yield from parent.effective()
        yield from self.options

    def values(self, *names: str) -> list[Line]:
        """The options in effect with one of these names."""
        return [line for line in self.effective() if line.words[0] in names]


@dataclass
class Interfaces:
    """The content of all files, in the order in which they are read."""

    stanzas: list[Stanza] = field(default_factory=list)
    allowed: list[tuple[Line, list[str]]] = field(default_factory=list)  # `auto`, `allow-…`
    mappings: list[Line] = field(default_factory=list)
    documents: dict[str, Document] = field(default_factory=dict)
    # The files that all three programs find: sourced one by one, by an absolute path.
    found_by_all: set[str] = field(default_factory=set)

    def at_boot(self, name: str, mac: str | None = None) -> list[str]:
        """The names of the stanzas by which a link comes up at boot; empty if it does not."""
        found = [
            matches(word, name, mac)
            for line, words in self.allowed
            if line.words[0] in AT_BOOT
            for word in words
        ]
        return list(dict.fromkeys(logical for logical in found if logical))


def matches(word: str, name: str, mac: str | None = None) -> str | None:
    """Return the name of the stanza that a word of an `auto` line gives to a link, if any.

    `eth0`, `eth0=home`, and the patterns `/eth*` and `mac/aa:*`, also followed by `=home`. A
    pattern of any other variable counts as a match, and so does ifupdown2's `all`.
    """
    pattern, _, logical = word.partition("=")
    variable, slash, value = pattern.partition("/")
    if not slash:
        return (logical or name) if pattern in (name, "all") else None
    value = value.partition("/")[0]
    given = {"": name, "mac": mac}.get(variable)
    if variable == "mac":
        value = value.lower()
    return (logical or name) if given is None or fnmatchcase(given, value) else None


def read(tree: Tree, *, as_is: bool = False) -> Interfaces:
    """Read /etc/network/interfaces and the files that it sources.

    *as_is* keeps our former edits. Files that are not sourced are not looked at.
    """
    if MAIN not in tree:
        raise CannotPersist(f"there is no {MAIN}: nothing here is configured by ifupdown")
    reader = _Reader(tree, as_is=as_is)
    reader.read(MAIN, found_by_all=True)
    return reader.found


def lines(document: Document) -> Iterator[Line]:
    """The logical lines that are neither empty nor comments."""
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
        if _WORD.search(text):
            yield Line(document, first, index - 1, text)


class _Reader:
    """The state of one reading."""

    def __init__(self, tree: Tree, *, as_is: bool) -> None:
        self._tree = tree
        self._as_is = as_is
        self._stanza: Stanza | None = None
        self._in_mapping = False
        self.found = Interfaces()

    def read(self, path: str, *, found_by_all: bool) -> None:
        """Read a file, unless it has been read already."""
        if path in self.found.documents:
            return
        document = Document(path, self._tree[path].data, as_is=self._as_is)
        self.found.documents[path] = document
        if found_by_all:
            self.found.found_by_all.add(path)
        self._end()
        for line in lines(document):
            self._take(line)
        self._end()

    def _end(self) -> None:
        self._stanza, self._in_mapping = None, False

    def _take(self, line: Line) -> None:
        word = line.words[0]
        if word in _STANZAS:
            self._iface(line)
        elif word == "mapping":
            self._end()
            self._in_mapping = True
            self.found.mappings.append(line)
        elif word == "source" or word.startswith("source-dir"):
            self._end()
            self._source(line)
        elif word in ("auto", "no-auto-down", "no-scripts") or word.startswith("allow-"):
            self._allow(line)
        elif word == "rename":
            self._end()
        else:
            self._option(line)

    def _allow(self, line: Line) -> None:
        names = line.words[1:]
        if not names and self._stanza is not None:  # of the stanza that it is in
            names = [self._stanza.name]
        else:
            self._end()
        self.found.allowed.append((line, names))

    def _option(self, line: Line) -> None:
        word, *values = line.words
        if word.startswith(("%", "<%")):
            raise CannotPersist(
                f"{line.where}: only ifupdown2 can expand a template; configure the link without"
            )
        if self._in_mapping and word in ("script", "map"):
            return
        if self._stanza is None or self._in_mapping:
            raise CannotPersist(
                f"{line.where}: '{word}' is in no stanza; ifupdown stops reading there"
            )
        if not values:
            raise CannotPersist(
                f"{line.where}: '{word}' has no value; ifupdown stops reading there"
            )
        if word in _INHERIT:
            self._stanza.parents.append(self._other(line, values[0]))
        self._stanza.options.append(line)

    def _iface(self, line: Line) -> None:
        self._end()
        name, *rest = line.words[1:] or [""]
        family = rest.pop(0) if rest and rest[0] in FAMILIES else ""
        method = rest.pop(0) if rest and family and rest[0] not in _INHERIT else ""
        parents = []
        if rest and rest[0] in _INHERIT:
            parents = [self._other(line, "".join(rest[1:2]), family)]
            family, method = family or parents[0].family, method or parents[0].method
            rest = rest[2:]
        if not name or rest:
            raise CannotPersist(
                f"{line.where}: no ifupdown understands this '{line.words[0]}' line"
            )
        if "[" in name:
            raise CannotPersist(
                f"{line.where}: '{name}' names several links; give each its own stanza"
            )
        self._stanza = Stanza(line, name, family, method, parents=parents)
        self.found.stanzas.append(self._stanza)

    def _other(self, line: Line, name: str, family: str = "") -> Stanza:
        for stanza in self.found.stanzas:
            if stanza.name == name and family in ("", stanza.family) and stanza is not self._stanza:
                return stanza
        raise CannotPersist(f"{line.where}: inherits '{name}', which is not defined before")

    def _source(self, line: Line) -> None:
        """Read what a `source` or `source-directory` line names."""
        found_by_all = line.document.path in self.found.found_by_all and line.words[0] == "source"
        for number, word in enumerate(line.words[1:]):
            if re.search(r"[$`~\"'{\\]", word):
                raise CannotPersist(
                    f"{line.where}: only a shell can tell what '{word}' is; write it out"
                )
            by_all = found_by_all and number == 0 and word.startswith("/")
            for path in self._sourced(line, word):
                self.read(path, found_by_all=by_all)

    def _sourced(self, line: Line, word: str) -> list[str]:
        path = normpath(join(dirname(line.document.path), word))
        if line.words[0] == "source":
            return self._glob(line, dirname(path), basename(path))
        return [
            name
            for name in self._glob(line, path, "*")
            if _DIRECTORY_NAME.fullmatch(basename(name))
        ]

    def _glob(self, line: Line, directory: str, pattern: str) -> list[str]:
        if directory not in DIRECTORIES and join(directory, pattern) != MAIN:
            raise CannotPersist(
                f"{line.where}: sources '{join(directory, pattern)}', and rcnetd reads only"
                f" {DIRECTORIES[0]}; move the file there"
            )
        return sorted(
            path
            for path in self._tree
            if dirname(path) == directory
            and fnmatchcase(basename(path), pattern)
            and (pattern.startswith(".") or not basename(path).startswith("."))
        )
