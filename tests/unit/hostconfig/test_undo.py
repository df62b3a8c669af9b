"""The record of what was there."""

from __future__ import annotations

import pytest

from rcnetd.hostconfig.renderers.marked_edits import HEADER, OFF
from rcnetd.hostconfig.renderers.model import Change
from rcnetd.hostconfig.undo import Entry, Kept, Undo, parse

A = "/etc/a"
OLD, NEW = Kept(b"old\xff", 0o640, 1, 2), f"{OFF}old\n".encode()


def test_outlives_being_written() -> None:
    """With bytes that are not UTF-8, and files that were not there."""
    undo = Undo(
        {A: Entry(OLD, (NEW, None)), "/etc/b": Entry(None, (b"",))},
        ("/etc/c",),
        ({"raw": "00"},),
        ({"mac": ""},),
        "boot",
    )
    assert undo == parse(undo.text().encode())


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"version": 2}', '{"version": 1, "files": 5}'])
def test_a_damaged_record_is_said(text: str) -> None:
    """By the errors that its reader knows."""
    with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
        parse(text.encode())


def test_a_file_s_story() -> None:
    """First edited, edited again for another policy, then as it was."""
    before = Kept(b"old\n")
    begun = Undo().begun({A: before}, {A: Change(NEW)})
    assert Entry(before, (b"old\n", NEW)) == begun.files[A]
    first = begun.finished({A: Change(NEW)})
    assert Entry(before, (NEW,)) == first.files[A]
    second = first.begun({A: Kept(NEW)}, {A: Change(b"2")})
    assert Entry(before, (NEW, b"2")) == second.files[A]
    assert {} == second.finished({A: Change(b"old\n")}).files


def test_the_record_follows_another_agent() -> None:
    """What it has written is what was before; without our edits, if it took them along."""
    undo = Undo({A: Entry(OLD, (NEW,))})
    anew = Kept(b"anew\n")
    assert {} == undo.followed({A: anew}).files
    assert anew == undo.begun({A: anew}, {A: Change(b"x")}).files[A].before
    ours = Kept(b"anew\n" + NEW)
    assert undo == undo.followed({A: ours})
    assert Kept(b"anew\nold\n") == undo.begun({A: ours}, {A: Change(b"x")}).files[A].before
    own = Kept(HEADER.encode())
    assert undo.begun({A: own}, {A: Change(b"x")}).files[A].before is None


def test_tells_what_somebody_has_edited() -> None:
    """Neither as it was nor as we made it."""
    undo = Undo({A: Entry(OLD, (NEW, None))})
    for kept in (OLD, Kept(NEW), None):
        assert [] == undo.edited({A: kept})
    assert [A] == undo.edited({A: Kept(b"x")})
