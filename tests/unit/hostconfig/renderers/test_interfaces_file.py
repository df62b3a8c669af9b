"""Reading /etc/network/interfaces, apart from what the renderer does with it."""

from __future__ import annotations

import pytest

from rcnetd.hostconfig.renderers.interfaces_file import MAIN, Interfaces, lines, matches, read
from rcnetd.hostconfig.renderers.marked_edits import Document
from rcnetd.hostconfig.renderers.model import CannotPersist, File

DIRECTORY = f"{MAIN}.d"


def interfaces(main: str, *names: str) -> Interfaces:
    """Read this, with files beside it that each say by their name that they were read."""
    files = {MAIN: File(main.encode())}
    for name in names:
        files[f"{DIRECTORY}/{name}"] = File(f"iface x{name} inet manual\n".encode())
    return read(files)


def test_lines_continue_and_comments_do_not() -> None:
    """A comment's backslash is a part of it, and what a line takes in is not a comment."""
    text = "# a \\\n b\\\n # c \\\n\td\n\n  \n#e\nf\tg  h \r\n"
    found = [(line.first, line.last, line.words) for line in lines(Document("f", text.encode()))]
    assert [(1, 3, ["b", "#", "c", "d"]), (7, 7, ["f", "g", "h"])] == found


@pytest.mark.parametrize(
    ("source", "read_in_order"),
    [
        ("source interfaces.d/*", ["10.cfg", "20", "a.b", "z-_Z"]),
        ("source /etc/network/interfaces.d/[12]*", ["10.cfg", "20"]),
        ("source interfaces.d/2? interfaces.d/*.cfg", ["20", "10.cfg"]),
        ("source-directory interfaces.d", ["20", "z-_Z"]),
        ("source-dir /etc/network/interfaces.d/", ["20", "z-_Z"]),
        ("source interfaces.d/20\nsource interfaces.d/*", ["20", "10.cfg", "a.b", "z-_Z"]),
        ("source interfaces.d/.*", [".hidden"]),
        ("source interfaces.d/none interfaces", []),
    ],
)
def test_sources(source: str, read_in_order: list[str]) -> None:
    """Globs, names without dots for a directory, sorted, none twice, no loop."""
    found = interfaces(f"{source}\n", "z-_Z", "20", "a.b", "10.cfg", ".hidden")
    assert [f"{DIRECTORY}/{name}" for name in read_in_order] == list(found.documents)[1:]


@pytest.mark.parametrize(
    ("line", "form"),
    [
        ("iface b inherits a", ("b", "inet", "static")),
        ("iface b inet inherits a", ("b", "inet", "static")),
        ("iface b inet dhcp inherits a", ("b", "inet", "dhcp")),
    ],
)
def test_inherits(line: str, form: tuple[str, str, str]) -> None:
    """The other's options come first, and its family and method where there are none."""
    found = interfaces(f"iface a inet static\n mtu 1\n{line}\n mtu 2\n").stanzas[-1]
    assert form == (found.name, found.family, found.method)
    assert ["1", "2"] == [option.value for option in found.effective()]


@pytest.mark.parametrize(
    ("line", "form"),
    [
        ("iface eth0", ("eth0", "", "")),
        ("iface eth0 inet", ("eth0", "inet", "")),
        ("interface eth0", ("eth0", "", "")),
        ("template eth0", ("eth0", "", "")),
    ],
)
def test_family_and_method_may_be_missing(line: str, form: tuple[str, str, str]) -> None:
    """As ifupdown2 and ifupdown-ng write stanzas."""
    (found,) = interfaces(f"{line}\n address 192.0.2.1/24\n").stanzas
    assert form == (found.name, found.family, found.method)


def test_inherit_is_an_option_too() -> None:
    """ifupdown-ng's form; a stanza of the same name is another one."""
    found = interfaces("template t\n mtu 1\niface t\n inherit t\n mtu 2\n").stanzas[-1]
    assert ["1", "2"] == [line.value for line in found.values("mtu")]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("iface eth[0-1]\n", ":1: 'eth[0-1]' names several links"),
        ("iface eth0\n% for x in y:\n", ":2: only ifupdown2 can expand a template"),
        ("<%def x/>\n", ":1: only ifupdown2 can expand a template"),
        ("iface eth0 decnet\n", ":1: no ifupdown understands this 'iface' line"),
        ("iface\n", ":1: no ifupdown understands this 'iface' line"),
        ("iface eth0\n inherit eth0\n", ":2: inherits 'eth0', which is not defined before"),
        ("iface a inherits\n", ":1: inherits '', which is not defined before"),
    ],
)
def test_refuses(text: str, reason: str) -> None:
    """One line with the place."""
    with pytest.raises(CannotPersist) as caught:
        interfaces(text)
    assert str(caught.value).startswith(f"{MAIN}{reason}")


@pytest.mark.parametrize(
    ("source", "by_all"),
    [
        ("source /etc/network/interfaces.d/*", True),
        ("source /etc/network/interfaces.d/a /etc/network/interfaces.d/b", True),
        ("source /etc/network/interfaces.d/b /etc/network/interfaces.d/a", False),
        ("source interfaces.d/*", False),
        ("source-directory /etc/network/interfaces.d", False),
    ],
)
def test_files_that_all_three_programs_find(source: str, by_all: bool) -> None:
    """The first path of a `source` line, if it is absolute."""
    assert by_all == (f"{DIRECTORY}/a" in interfaces(f"{source}\n", "a", "b").found_by_all)


def test_a_value_keeps_its_white_space() -> None:
    """A shell runs it."""
    (line,) = lines(Document("f", b"  up  echo 'a  b'\t|| true \n"))
    assert "echo 'a  b'\t|| true" == line.value


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("eth0", "eth0"),
        ("eth0=home", "home"),
        ("eth1", None),
        ("/eth*", "eth0"),
        ("/eth*/1=home", "home"),
        ("/wlan*", None),
        ("mac/AA:*=x", "x"),
        ("mac/bb:*", None),
        ("speed/10", "eth0"),
        ("all", "eth0"),
    ],
)
def test_words_of_auto_match(word: str, name: str | None) -> None:
    """Names, logical names and patterns."""
    assert matches(word, "eth0", "aa:00:00:00:00:01") == name


def test_what_comes_up_at_boot() -> None:
    """`auto` and `allow-hotplug`, also bare in a stanza; no other class."""
    found = interfaces(
        "auto a\nallow-hotplug b\nallow-ovs c\niface d inet manual\nauto\n up true\n"
        "no-auto-down\nno-scripts e\nrename f=g\n"
    )
    assert [True, True, False, True] == [bool(found.at_boot(name)) for name in "abcd"]
    assert ["true"] == [option.value for option in found.stanzas[0].options]
