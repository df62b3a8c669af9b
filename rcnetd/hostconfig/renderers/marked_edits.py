"""Marked edits of somebody else's file, line by line, which can be taken back and made anew.

A line is put out of effect by `#rcnetd# ` before it, and lines of ours stand between two marks.
Every rendering starts from the file as it was without them. So it comes to the same twice, and a
change of policy takes back what the old one needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rcnetd.basic.dataclass import replace
from rcnetd.hostconfig.renderers.model import MARK, CannotPersist, Change, Changes, File, Tree

HEADER = f"# Written by {MARK}; changes will be overwritten."  # a file that begins so is ours
OFF = f"#{MARK}# "
BEGIN = f"# {MARK}: begin; changes up to the end will be overwritten"
END = f"# {MARK}: end"


class Document:
    """A file as *lines* (with their ends), and the edits to be made.

    It is read without our former edits, or *as_is*. Bytes that are not UTF-8 survive; a NUL, and
    a mark without its end, are refused.
    """

    def __init__(self, path: str, data: bytes, *, as_is: bool = False) -> None:
        self.path = path
        self.lines: list[str] = []
        self._numbers: list[int] = []
        self._off: set[int] = set()
        self._inserted: dict[int, list[str]] = {}
        text = data.decode("utf-8", "surrogateescape")
        begun = 0
        for number, line in enumerate(text.removesuffix("\n").split("\n") if text else (), 1):
            if "\0" in line:
                raise CannotPersist(f"{path}:{number}: a NUL byte; this is not a text file")
            mark = line.strip()
            if not as_is and (begun or mark == BEGIN):
                begun = 0 if mark == END else begun or number
                continue
            self.lines.append((line if as_is else line.removeprefix(OFF)) + "\n")
            self._numbers.append(number)
        if begun:
            raise CannotPersist(
                f"{path}:{begun}: '{BEGIN}' without '{END}'; remove what is ours there"
            )
        # The last line has no end if the text has none, be that of this line or of ours behind it.
        if self.lines and not text.endswith("\n"):
            self.lines[-1] = self.lines[-1].removesuffix("\n")

    def where(self, index: int) -> str:
        """`path:line`, as the file is now."""
        return f"{self.path}:{self._numbers[index]}"

    def put_out(self, indexes: Iterable[int]) -> None:
        """Put lines out of effect."""
        self._off.update(indexes)

    def insert_after(self, index: int, lines: Sequence[str]) -> None:
        """Add lines of ours (without ends) after a line; more at the same place go behind.

        They end with a plain newline also in a file that ends its lines otherwise: every reader
        takes that, and not every one takes a carriage return for white space.
        """
        self._inserted.setdefault(index, []).extend(lines)

    def append(self, lines: Sequence[str]) -> None:
        """Add lines of ours at the end."""
        self.insert_after(len(self.lines) - 1, lines)

    @property
    def is_edited(self) -> bool:
        """Whether there are edits to be made."""
        return bool(self._off or self._inserted)

    def data(self) -> bytes:
        """The file with the edits."""
        text = self._block(-1)
        for index, line in enumerate(self.lines):
            text += OFF + line if index in self._off else line
            block = self._block(index)
            if block and not line.endswith("\n"):
                block = "\n" + block.removesuffix("\n")
            text += block
        return text.encode("utf-8", "surrogateescape")

    def _block(self, index: int) -> str:
        lines = self._inserted.get(index)
        if not lines:
            return ""
        indent = lines[0][: len(lines[0]) - len(lines[0].lstrip())]
        return "".join(f"{line}\n" for line in (indent + BEGIN, *lines, indent + END))


def documents(tree: Tree) -> dict[str, Document]:
    """The files of a tree without our edits, and without the files of our own."""
    return {
        path: Document(path, file.data)
        for path, file in tree.items()
        if not file.data.startswith(HEADER.encode())
    }


def unedited(path: str, data: bytes) -> bytes | None:
    """A file without our edits; None for one of our own."""
    return None if data.startswith(HEADER.encode()) else Document(path, data).data()


def own(lines: Sequence[str]) -> bytes:
    """A file of our own."""
    return "".join(f"{line}\n" for line in (HEADER, *lines)).encode("utf-8", "surrogateescape")


def changes(tree: Tree, edited: Mapping[str, Document], ours: Mapping[str, bytes]) -> Changes:
    """What makes of *tree* the edited files and our own ones; old ones of ours go."""
    wanted = {path: document.data() for path, document in edited.items()}
    wanted.update(ours)
    made = {
        path: Change(data)
        for path, data in wanted.items()
        if path not in tree or tree[path].data != data
    }
    made.update((path, Change(None)) for path in tree if path not in wanted)
    return made


def applied(tree: Tree, made: Changes) -> Tree:
    """The tree after the changes."""
    files = {path: file for path, file in tree.items() if path not in made}
    for path, change in made.items():
        if change.data is not None:
            old = tree.get(path, File(b""))
            files[path] = replace(old, data=change.data, mode=change.mode or old.mode)
    return files
