"""Reading /etc/network/interfaces, apart from what the renderer does with it."""

from __future__ import annotations

import pytest

from rcnetd.hostconfig.renderers.interfaces_file import MAIN, Interfaces, lines, matches, read
from rcnetd.hostconfig.renderers.marked_edits import Document
from rcnetd.hostconfig.renderers.model import File

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
