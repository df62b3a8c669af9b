"""What the renderers share."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from rcnetd.core.model import METRIC
from rcnetd.hostconfig.renderers.marked_edits import HEADER, OFF, Document
from rcnetd.hostconfig.renderers.model import CannotPersist, DefaultRoute, File, HostLink, Target
from rcnetd.hostconfig.renderers.rendering import (
    missing_name_servers,
    number,
    old_gateway,
    replacing_vendor_files,
    require_no_other_winner,
    require_plain_names,
    visible,
    zero_prefix_version,
)

GATEWAY = IPv4Address("10.180.31.254")
TARGET = Target(HostLink("eth1"), GATEWAY)


@pytest.mark.parametrize(
    ("destination", "version"),
    [
        ("0.0.0.0/0", 4),
        ("203.0.113.0/0", 4),
        ("0/0", 4),
        ("1.2.3.4/00", 4),
        ("1.2.3.4/0x0", 4),
        ("::/0", 6),
        ("2001:db8::/0", 6),
        ("0.0.0.0/1", None),
        ("0.0.0.0/", None),
        ("0.0.0.0", None),
        ("default", None),
        ("x/0", None),
        ("", None),
    ],
)
def test_a_prefix_of_length_0_is_a_default(destination: str, version: int | None) -> None:
    """Whatever its address is."""
    assert version == zero_prefix_version(destination)


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", 0), ("10", 10), ("0x1F", 31), ("010", 8), ("08", None), ("-1", None), ("", None),
     ("\u0665", None), ("1_0", None), ("x", None), (None, None)],
)  # fmt: skip
def test_a_number_is_read_as_by_c(text: str | None, value: int | None) -> None:
    """systemd's parsers take any base."""
    assert value == number(text)


def test_hidden_files_are_not_read() -> None:
    """No backend reads a file whose name begins with a dot, nor one in such a directory."""
    names = ("/etc/a", "/etc/.b", "/etc/.c.d/d", "/etc/e.f")
    assert ["/etc/a", "/etc/e.f"] == list(visible({name: File(b"") for name in names}))


@pytest.mark.parametrize("name", ["a`id`", "a b", "a/b", "", "ä", "a\n", "$x", "a;b", "'a"])
def test_a_name_that_is_not_a_plain_word_is_refused(name: str) -> None:
    """A file or a shell would take it for something else."""
    for target in (
        Target(HostLink(name), GATEWAY),
        Target(HostLink("x"), GATEWAY, (HostLink(name),)),
    ):
        with pytest.raises(CannotPersist, match="has characters other than"):
            require_plain_names(target)
    require_plain_names(Target(HostLink("br-ex_1.401:0@x"), GATEWAY))


def test_name_servers_move_once() -> None:
    """The IPv4 ones that ServiceNet's link lacks, in their order."""
    public = ["192.0.2.2", "192.0.2.1", "2001:db8::1", "", "192.0.2.2", "192.0.2.3"]
    assert ["192.0.2.2", "192.0.2.3"] == missing_name_servers(["192.0.2.1"], public)


def test_a_vendor_s_file_is_replaced_if_it_was_edited() -> None:
    """By one of ours with the same name; it stays as it is itself."""
    tree = {
        "/usr/lib/x/a": File(b"\xef\xbb\xbfone\ntwo\n"),
        "/usr/lib/x/b": File(b"one\n"),
        "/etc/x/c": File(b"one\n"),
    }
    edited = {path: Document(path, file.data) for path, file in tree.items()}
    edited["/usr/lib/x/a"].put_out([1])
    edited["/etc/x/c"].put_out([0])
    ours = replacing_vendor_files(tree, edited, "/etc/x", ("/usr/lib/x",))
    assert {"/etc/x/a": f"{HEADER}\none\n{OFF}two\n".encode()} == ours
    assert edited["/usr/lib/x/a"].data() == tree["/usr/lib/x/a"].data
    assert edited["/etc/x/c"].data() != tree["/etc/x/c"].data


def test_public_routes_need_a_gateway() -> None:
    """The first one that was configured."""
    assert GATEWAY == old_gateway("f", [GATEWAY, IPv4Address("192.0.2.1")])
    with pytest.raises(CannotPersist, match="f: 'public_routes' need the public link's"):
        old_gateway("f", [])


def test_only_ours_may_win() -> None:
    """By link, gateway and metric; routes of a higher metric lose."""
    ours = DefaultRoute("eth1", GATEWAY, METRIC, "f")
    require_no_other_winner([ours, DefaultRoute("eth0", None, 2)], "eth1", TARGET)
    for other in (
        DefaultRoute("eth1", GATEWAY, 0, "f"),
        DefaultRoute("eth0", GATEWAY, METRIC, "f"),
        DefaultRoute("eth1", None, METRIC, "f"),
    ):
        with pytest.raises(CannotPersist, match=r"f: eth[01] would still have a default"):
            require_no_other_winner([ours, other], "eth1", TARGET)
