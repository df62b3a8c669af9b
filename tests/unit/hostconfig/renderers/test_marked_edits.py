"""Marked edits of others' files."""

from __future__ import annotations

import pytest

from rcnetd.hostconfig.renderers.marked_edits import (
    BEGIN,
    END,
    HEADER,
    OFF,
    Document,
    applied,
    changes,
    documents,
)
from rcnetd.hostconfig.renderers.model import CannotPersist, Change, File


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a\n",
        "a\nb",
        "a\r\nb\r\n",
        "\n\n",
        " \n#c",
        "\udcff\n",
        "\u2028x\x0c\x85\n",
        "\\\n",
    ],
)
def test_an_unedited_file_is_as_it_was(text: str) -> None:
    """Also without a last end of line, with another one, and where it is not UTF-8."""
    data = text.encode("utf-8", "surrogateescape")
    assert Document("f", data).data() == data
    assert Document("f", data, as_is=True).data() == data


@pytest.mark.parametrize(
    ("text", "edited"),
    [
        ("a\nb\n", f"{BEGIN}\n0\n{END}\na\n{OFF}b\n  {BEGIN}\n  1\n2\n  {END}\n"),
        ("a\nb", f"{BEGIN}\n0\n{END}\na\n{OFF}b\n  {BEGIN}\n  1\n2\n  {END}"),
    ],
)
def test_edits_and_takes_them_back(text: str, edited: str) -> None:
    """A line is put out, lines come in; read again, the file is as it was before."""
    document = Document("f", text.encode())
    document.insert_after(-1, ["0"])
    document.put_out([1])
    document.append(["  1"])
    document.append(["2"])

    assert document.data().decode() == edited
    assert Document("f", edited.encode()).data().decode() == text
    assert Document("f", edited.encode(), as_is=True).data().decode() == edited


def test_an_empty_file_takes_lines() -> None:
    """There is no line to put them behind."""
    document = Document("f", b"")
    document.append(["1"])
    assert document.data().decode() == f"{BEGIN}\n1\n{END}\n"


def test_places_are_those_of_the_file_as_it_is() -> None:
    """Lines of ours count."""
    document = Document("f", f"{BEGIN}\nx\n{END}\na\n".encode())
    assert document.where(0) == "f:4"


@pytest.mark.parametrize(
    ("text", "reason"),
    [("a\nb\0\n", "f:2: a NUL byte"), (f"a\n{BEGIN}\nb\n", f"f:2: '{BEGIN}' without")],
)
def test_refuses(text: str, reason: str) -> None:
    """What is not a text file, and what somebody has cut."""
    with pytest.raises(CannotPersist) as caught:
        Document("f", text.encode())
    assert str(caught.value).startswith(reason)


def test_changes_are_only_what_differs() -> None:
    """A file of ours that is no longer wanted goes."""
    tree = {
        "same": File(b"a\n"),
        "edited": File(b"a\n", 0o600),
        "old": File(HEADER.encode() + b"\nx\n"),
    }
    found = documents(tree)
    found["edited"].put_out([0])
    made = changes(tree, found, {"new": b"n"})

    assert made == {
        "edited": Change(f"{OFF}a\n".encode()),
        "new": Change(b"n"),
        "old": Change(None),
    }
    after = applied(tree, made)
    assert sorted(after) == ["edited", "new", "same"]
    assert after["edited"].mode == 0o600
