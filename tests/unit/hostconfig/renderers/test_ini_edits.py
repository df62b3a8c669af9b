"""Sections of `key=value`."""

from __future__ import annotations

import pytest

from rcnetd.hostconfig.renderers.ini_edits import sections
from rcnetd.hostconfig.renderers.marked_edits import OFF, Document
from rcnetd.hostconfig.renderers.model import CannotPersist

TEXT = b"""\
# a
[One]
a = 1
a=2
 ; b=3
c=x\\
# not this
  y
[Two]

[One]
d=
"""


def test_reads_sections() -> None:
    """Of equal keys the last counts; comments and continuations are systemd's."""
    found = sections(Document("f", TEXT), continues=True)
    assert ["One", "Two", "One"] == [section.name for section in found]
    assert ("2", None, "x y", None) == tuple(found[0].get(key) for key in "abcd")
    assert found[2].get("d") == ""
    assert ("f:2", "f:6", 7) == (found[0].where, found[0].entries[2].where, found[0].end)


def test_a_keyfile_continues_nothing() -> None:
    """And its comments begin with `#` alone."""
    found = sections(Document("f", b"[One]\na=x\\\n;b=1\n"), continues=False)
    assert [("a", "x\\"), (";b", "1")] == [(entry.key, entry.value) for entry in found[0].entries]


def test_what_is_put_out_is_put_out_whole() -> None:
    """An entry with its continuations, a section with its comments."""
    document = Document("f", TEXT)
    sections(document, continues=True)[0].entries[2].put_out()
    assert f"{OFF}c=x\\\n{OFF}# not this\n{OFF}  y\n[Two]" in document.data().decode()
    document = Document("f", TEXT)
    sections(document, continues=True)[0].put_out()
    text = document.data().decode()
    assert text.startswith("# a\n" + OFF)
    assert sum(line.startswith(OFF) for line in text.splitlines()) == 7


@pytest.mark.parametrize(("text", "continues"), [(b"a=1\n", False), (b"[x]\na\n", False)])
def test_refuses(text: bytes, continues: bool) -> None:
    """NetworkManager ignores such a file; systemd such a line."""
    with pytest.raises(CannotPersist, match=r"f:\d: is in no section"):
        sections(Document("f", text), continues=continues)
    assert not any(section.entries for section in sections(Document("f", text), continues=True))
    with pytest.raises(CannotPersist, match="is no section"):
        sections(Document("f", b"[x\n"), continues=True)
