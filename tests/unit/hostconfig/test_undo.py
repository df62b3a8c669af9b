"""The record of what was there."""

from __future__ import annotations

import pytest

from rcnetd.hostconfig.renderers.marked_edits import HEADER, OFF
from rcnetd.hostconfig.renderers.model import Change, File
from rcnetd.hostconfig.undo import FileRecord, RevertRecord, parse

A = "/etc/a"
OLD, NEW = File(b"old\xff", 0o640, 1, 2), f"{OFF}old\n".encode()


def test_outlives_being_written() -> None:
    """With bytes that are not UTF-8, and files that were not there."""
    undo = RevertRecord(
        {A: FileRecord(OLD, (NEW, None)), "/etc/b": FileRecord(None, (b"",))},
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
    before = File(b"old\n")
    before_write = RevertRecord().before_write({A: before}, {A: Change(NEW)})
    assert FileRecord(before, (b"old\n", NEW)) == before_write.files[A]
    first = before_write.after_write({A: Change(NEW)})
    assert FileRecord(before, (NEW,)) == first.files[A]
    second = first.before_write({A: File(NEW)}, {A: Change(b"2")})
    assert FileRecord(before, (NEW, b"2")) == second.files[A]
    assert {} == second.after_write({A: Change(b"old\n")}).files


def test_the_record_follows_another_agent() -> None:
    """What it has written is what was before; without our edits, if it took them along."""
    undo = RevertRecord({A: FileRecord(OLD, (NEW,))})
    anew = File(b"anew\n")
    assert {} == undo.without_rewritten({A: anew}).files
    assert anew == undo.before_write({A: anew}, {A: Change(b"x")}).files[A].before
    ours = File(b"anew\n" + NEW)
    assert undo == undo.without_rewritten({A: ours})
    assert File(b"anew\nold\n") == undo.before_write({A: ours}, {A: Change(b"x")}).files[A].before
    own = File(HEADER.encode())
    assert undo.before_write({A: own}, {A: Change(b"x")}).files[A].before is None


def test_tells_what_somebody_has_edited() -> None:
    """Neither as it was nor as we made it."""
    undo = RevertRecord({A: FileRecord(OLD, (NEW, None))})
    for kept in (OLD, File(NEW), None):
        assert [] == undo.edited({A: kept})
    assert [A] == undo.edited({A: File(b"x")})
