"""Assignments of shell variables."""

from __future__ import annotations

import re

import pytest

from rcnetd.hostconfig.renderers.ifcfg_variables import Variables
from rcnetd.hostconfig.renderers.marked_edits import OFF, Document
from rcnetd.hostconfig.renderers.model import CannotPersist


def variables(text: str) -> Variables:
    """The variables in a file."""
    return Variables(Document("f", text.encode()))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("KEY=value", "value"),
        ("  export KEY=value", "value"),
        ("KEY='a b'", "a b"),
        ('KEY="a \\"b\\" \\$c"', 'a "b" $c'),
        ("KEY=a\\ b", "a b"),
        ("KEY='a'\"b\"c", "abc"),
        ("KEY=value  # why", "value"),
        ("KEY=value ;", "value"),
        ("KEY=", ""),
        ("# KEY=value", None),
        ("OTHER=value", None),
        ("KEY=a\nKEY=b", "b"),
    ],
)
def test_values(line: str, expected: str | None) -> None:
    """They are a shell's; the last one counts."""
    assert variables(line + "\n").get("KEY") == expected


@pytest.mark.parametrize("value", ["$X", "`x`", '"$X"', "a b", "a|b"])
def test_a_value_that_only_a_shell_can_tell(value: str) -> None:
    """It is refused where it matters."""
    found = variables(f"A=1\nKEY={value}\n")
    assert found.get("A") == "1"
    with pytest.raises(CannotPersist, match="f:2: KEY= has a value that only a shell can tell"):
        found.get("KEY")


@pytest.mark.parametrize("value", ["'a", '"a', "a\\"])
def test_a_value_that_does_not_end(value: str) -> None:
    """It goes on in the next line, which we do not read."""
    with pytest.raises(CannotPersist, match="f:1: KEY= does not end on its line"):
        variables(f"KEY={value}\n")


def test_addresses_and_switches() -> None:
    """An address that is none is refused, with its line."""
    found = variables("A=192.0.2.1\nB=router\nC=NO\n")
    assert str(found.address("A")) == "192.0.2.1"
    assert found.address("X") is None
    assert [found.is_no(key) for key in "ACX"] == [False, True, False]
    with pytest.raises(CannotPersist, match="f:2: B=router is not an IPv4 address; fix it"):
        found.address("B")


def test_a_key_is_replaced() -> None:
    """The old lines stay as comments."""
    found = variables("A1=1\nA1=2\nB=3\nA2=4\n")
    assert found.keys(re.compile("A[0-9]")) == ["A1", "A2"]
    found.set("A1", "5")
    text = found.document.data().decode()
    assert text.startswith(f"{OFF}A1=1\n{OFF}A1=2\nB=3\nA2=4\n")
    assert "\nA1=5\n" in text
