"""Sections of `key=value`."""

from __future__ import annotations

import pytest

from rcnetd.hostconfig.renderers.ini_edits import Malformed, sections
from rcnetd.hostconfig.renderers.marked_edits import OFF, Document

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
    """The last of equal keys counts; comments and continuations are systemd's."""
    found = sections(Document("f", TEXT), continues=True)
    assert ["One", "Two", "One"] == [section.name for section in found]
    assert ("2", None, "x y", None) == tuple(found[0].get(key) for key in "abcd")
    assert found[2].get("d") == ""
    assert ("f:2", "f:6", 7) == (found[0].where, found[0].entries[2].where, found[0].end)


def test_a_keyfile_continues_nothing() -> None:
    """Its comments begin with `#` only."""
    found = sections(Document("f", b"[One]\na=x\\\n;b=1\n"), continues=False)
    assert [("a", "x\\"), (";b", "1")] == [(entry.key, entry.value) for entry in found[0].entries]


def test_an_entry_or_a_section_is_commented_out_whole() -> None:
    """An entry has its continuation lines, a section its comments."""
    document = Document("f", TEXT)
    sections(document, continues=True)[0].entries[2].put_out()
    assert f"{OFF}c=x\\\n{OFF}# not this\n{OFF}  y\n[Two]" in document.data().decode()
    document = Document("f", TEXT)
    sections(document, continues=True)[0].put_out()
    text = document.data().decode()
    assert text.startswith("# a\n" + OFF)
    assert sum(line.startswith(OFF) for line in text.splitlines()) == 7


def test_a_keyfile_keeps_white_space_at_the_end_of_a_line() -> None:
    """It belongs to the value; only the end of the line does not."""
    found = sections(Document("f", b" [One] \n a = 1 \r\nb=2\t\n"), continues=False)
    assert [("a", "1 "), ("b", "2\t")] == [(entry.key, entry.value) for entry in found[0].entries]


@pytest.mark.parametrize("text", [b"a=1\n", b"[x]\na\n"])
def test_a_line_without_a_key_makes_a_keyfile_malformed(text: bytes) -> None:
    """NetworkManager ignores the whole file, systemd the line."""
    with pytest.raises(Malformed, match=r"f:\d: expected a section or 'key=value' in one; fix it"):
        sections(Document("f", text), continues=False)
    assert not any(section.entries for section in sections(Document("f", text), continues=True))


@pytest.mark.parametrize("continues", [True, False])
def test_an_unfinished_section_is_malformed(continues: bool) -> None:
    """Neither program reads the file."""
    with pytest.raises(Malformed, match=r"f:1: '\[x' is not a section; fix it"):
        sections(Document("f", b"[x\n"), continues=continues)
