"""Taking default routes out of /etc/network/interfaces, edit by edit."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from rcnetd.basic.dataclass import replace
from rcnetd.core.settings import PublicIPv6
from rcnetd.hostconfig.renderers.interfaces_edits import (
    Removal,
    editable,
    insert,
    require_plain_name,
)
from rcnetd.hostconfig.renderers.interfaces_file import MAIN, Interfaces, read
from rcnetd.hostconfig.renderers.marked_edits import BEGIN, END, OFF
from rcnetd.hostconfig.renderers.model import CannotPersist, File, Target
from tests.support.trees import GATEWAY, PUBLIC, SERVICENET

RUN = "/run/network/interfaces.d/eth0"
TARGET = Target(SERVICENET, GATEWAY, (PUBLIC,))


def interfaces(text: str, run: str = "") -> Interfaces:
    """Read a file, and one in /run if there is text for it."""
    source = b"source /run/network/interfaces.d/*\n" if run else b""
    return read({MAIN: File(text.encode() + source), RUN: File(run.encode())})


def edited(found: Interfaces) -> str:
    """The file with the edits."""
    return found.documents[MAIN].data().decode()


def test_options_go_to_the_beginning_of_a_stanza() -> None:
    """Also where the stanza's line continues."""
    found = interfaces("iface eth0 inet \\\n static\n mtu 1500\n")
    insert(found.stanzas[0], ["metric 5"])
    block = f"    {BEGIN}\n    metric 5\n    {END}\n"
    assert f"iface eth0 inet \\\n static\n{block} mtu 1500\n" == edited(found)


def test_a_file_in_run_is_not_editable() -> None:
    """It is created again at each boot."""
    found = interfaces("iface eth0 inet manual\n", "iface eth1 inet manual\n")
    here, there = (stanza.line for stanza in found.stanzas)
    assert here is editable(here)
    with pytest.raises(CannotPersist, match=f"^{RUN}:1: this file is created at each boot"):
        editable(there)


@pytest.mark.parametrize("name", ["a`id`", "a;b", "$x"])
def test_only_plain_names_are_written(name: str) -> None:
    """A shell runs our lines."""
    (stanza,) = interfaces(f"iface {name} inet manual\n").stanzas
    with pytest.raises(CannotPersist, match=r"^\S+:1: the name .* has characters other than"):
        require_plain_name(stanza)


def test_cleaning_returns_the_public_gateways() -> None:
    """In their order, those of commands included, not ServiceNet's."""
    found = interfaces(
        "iface eth0 inet static\n gateway 203.0.113.1\n up ip r a default via 203.0.113.2 m 5\n"
        "iface eth1 inet static\n gateway 10.180.0.1\n"
    )
    eth0, eth1 = found.stanzas
    gateways = Removal(found, TARGET).clean([eth0, eth1], [eth0])
    assert [("eth0", IPv4Address("203.0.113.1")), ("eth0", IPv4Address("203.0.113.2"))] == gateways
    assert 3 == edited(found).count(OFF)


@pytest.mark.parametrize(
    ("line", "left"),
    [
        ("auto lo eth0 eth1", ["auto lo eth1"]),
        ("auto eth0", []),
        ("allow-hotplug eth0 eth0:1 eth01", ["allow-hotplug eth01"]),
        ("auto eth0=home lo", ["auto lo"]),
        ("allow-ovs eth0", None),
        ("auto eth1", None),
    ],
)
def test_a_link_is_taken_out_of_what_comes_up(line: str, left: list[str] | None) -> None:
    """With its aliases; the other words of the line stay. None: the line stays as it is."""
    found = interfaces(f"{line}\n")
    Removal(found, TARGET).keep_down(PUBLIC)
    if left is None:
        assert f"{line}\n" == edited(found)
    else:
        lines = edited(found).splitlines()
        assert f"{OFF}{line}" == lines[0]
        assert left == [one for one in lines[1:] if not one.startswith("#")]


def test_ipv6_defaults_go() -> None:
    """The gateway and commands, also beside an IPv4 one in the same line."""
    found = interfaces(
        "iface eth0 inet static\n up ip r a default dev eth0; ip -6 r a default dev eth0; date\n"
        "iface eth0 inet6 static\n gateway fe80::1\n up route -6 add default eth0 || true\n"
    )
    target = replace(TARGET, public_ipv6=PublicIPv6.NO_DEFAULT)
    Removal(found, target).clean(found.stanzas, found.stanzas)
    text = edited(found)
    assert f"\n{OFF} gateway fe80::1\n{OFF} up route -6 add default eth0 || true\n" in text
    assert f"\n    {BEGIN}\n    up true; true; date\n    {END}\n" in text


def test_ipv6_defaults_stay() -> None:
    """Unless the settings say otherwise."""
    found = interfaces("iface eth0\n gateway fe80::1\n up ip r a default via fe80::2 dev eth0\n")
    Removal(found, TARGET).clean(found.stanzas, found.stanzas)
    assert OFF not in edited(found)


def test_advertisements_are_ignored() -> None:
    """In the inet6 stanza of a link, if there is one."""
    found = interfaces("iface eth0 inet static\niface eth0 inet6 auto\niface eth0.5 inet dhcp\n")
    Removal(found, TARGET).ignore_advertisements(found.stanzas)
    lines = [line for line in edited(found).splitlines() if "#" not in line]
    setting = "    pre-up sysctl -q -w net.ipv6.conf.{}.accept_ra_defrtr=0 || true"
    assert ["iface eth0 inet6 auto", setting.format("eth0")] == lines[1:3]
    assert ["iface eth0.5 inet dhcp", setting.format("eth0/5")] == lines[3:]


@pytest.mark.parametrize("line", ["up dhclient eth0", "post-up busybox udhcpc -i eth0 || true"])
def test_dhcp_clients_are_refused(line: str) -> None:
    """What they set is in no file."""
    found = interfaces(f"iface eth0 inet manual\n {line}\n down dhclient -r eth0\n")
    with pytest.raises(CannotPersist, match=f"^{MAIN}:2: '(dhclient|udhcpc)' may set a default"):
        Removal(found, TARGET).clean(found.stanzas, found.stanzas)


@pytest.mark.parametrize(("metric", "remains"), [("", False), ("metric 1", False), ("m 9", True)])
def test_a_refusing_default_of_another_link_goes_if_it_wins(metric: str, remains: bool) -> None:
    """`unreachable` without a metric beats every other default route."""
    command = f"up ip route add unreachable default {metric}"
    found = interfaces(f"auto lo\niface lo inet loopback\n {command}\n")
    Removal(found, TARGET).clean_others([])
    assert remains == (OFF not in edited(found))
