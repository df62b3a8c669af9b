"""The default routes that /etc/network/interfaces sets at boot."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from rcnetd.hostconfig.renderers.interfaces_defaults import (
    in_boot_order,
    may_fail,
    reaches,
    read_defaults,
)
from rcnetd.hostconfig.renderers.interfaces_file import MAIN, read
from rcnetd.hostconfig.renderers.model import CannotPersist, File

ETH0 = "auto eth0\niface eth0 inet static\n address 203.0.113.10/24\n gateway 203.0.113.1\n"


def defaults(text: str) -> list[tuple[str, str, int]]:
    """The default routes of a file, by link, gateway and metric."""
    found = read_defaults({MAIN: File(text.encode())})
    return [(route.link, str(route.gateway), route.metric) for route in found]


@pytest.mark.parametrize(
    ("stanza", "routes"),
    [
        ("iface eth2 inet static\n gateway 192.0.2.1\n", [("eth2", "192.0.2.1", 0)]),
        ("iface eth2 inet static\n gateway 192.0.2.1\n metric 7\n", [("eth2", "192.0.2.1", 7)]),
        ("iface eth2\n gateway 192.0.2.1\n gateway fe80::1\n", [("eth2", "192.0.2.1", 0)]),
        ("iface eth2 inet tunnel\n gateway 192.0.2.1\n", [("eth2", "192.0.2.1", 0)]),
        ("iface eth2 inet6 static\n gateway fe80::1\n", []),
        ("iface eth2 inet manual\n gateway 192.0.2.1\n", []),
        ("iface eth2 inet dhcp\n gateway 192.0.2.1\n", [("eth2", "None", 0)]),
        ("iface eth2 inet bootp\n metric 5\n", [("eth2", "None", 5)]),
        ("iface eth2\n use dhcp\n", [("eth2", "None", 0)]),
        ("iface eth2 inet6 dhcp\n", []),
        ("iface eth2 inet manual\n up ip r a default dev ppp0\n", [("ppp0", "None", 0)]),
        ("iface eth2 inet manual\n up ip r a default dev $IFACE\n", [("eth2", "None", 0)]),
        ("iface eth2 inet manual\n up ip r a blackhole default\n", [("eth2", "None", 0)]),
        ("iface eth2 inet manual\n up ip r a default via fe80::1\n", []),
        ("iface eth2 inet manual\n down ip route add default dev eth2\n", []),
    ],
)
def test_a_stanza_sets_default_routes(stanza: str, routes: list[tuple[str, str, int]]) -> None:
    """Through its gateway, through DHCP, and through commands at the way up."""
    assert routes == defaults(f"auto eth2\n{stanza}")


@pytest.mark.parametrize(
    ("command", "remains"),
    [
        ("ip route del default", False),
        ("route del default gw 203.0.113.1", False),
        ("ip route del default dev eth0", False),
        ("ip route del default metric 0", False),
        ("ip route flush table main", False),
        ("ip route del default dev $IFACE", True),
        ("ip route del default via 192.0.2.1", True),
        ("ip route del default metric 5", True),
        ("ip -6 route del default", True),
    ],
)
def test_a_later_link_deletes_default_routes(command: str, remains: bool) -> None:
    """Those that its command could mean."""
    text = f"{ETH0}auto eth2\niface eth2 inet manual\n up {command}\n"
    assert remains == bool(defaults(text))


def test_del_deletes_one_and_flush_all() -> None:
    """The route with the lowest metric goes first."""
    text = f"{ETH0} up ip route add default via 203.0.113.2 metric 9\n"
    assert [("eth0", "203.0.113.2", 9)] == defaults(f"{text} up ip route del default\n")
    assert [] == defaults(f"{text} up ip route flush root 0/0\n")


def test_links_come_up_in_the_order_of_their_lines() -> None:
    """`auto` first; a template never does."""
    text = (
        "iface c inet manual\niface b inet manual\niface a inet manual\niface x inet manual\n"
        "template t\nallow-hotplug c\nauto a\nauto b=x t\n"
    )
    found = read({MAIN: File(text.encode())})
    assert ["a", "x", "c"] == [stanza.name for stanza in in_boot_order(found)]


@pytest.mark.parametrize(
    ("options", "reached"),
    [
        ("address 192.0.2.2/24", True),
        ("address 192.0.2.2\n netmask 255.255.255.0", True),
        ("netmask 24\n address 192.0.2.2", True),
        ("address 198.51.100.2/24\n address 192.0.2.2/24", True),
        ("address 198.51.100.2/24", False),
        ("address 192.0.2.2", False),
        ("address 2001:db8::2/64\n address somewhere", False),
        ("mtu 1500", False),
    ],
)
def test_an_address_reaches_a_gateway(options: str, reached: bool) -> None:
    """In the same network, with the prefix length behind the address or in a line of its own."""
    (stanza,) = read({MAIN: File(f"iface eth0 inet static\n {options}\n".encode())}).stanzas
    assert reached == reaches(stanza, IPv4Address("192.0.2.1"))


@pytest.mark.parametrize(
    ("option", "fails"),
    [
        ("up ip route add 10.0.0.0/8 dev eth0", True),
        ("pre-up modprobe x || echo no", True),
        ("post-up route add -net 10.0.0.0/8 eth0 || true", False),
        ("up false;:", False),
        ("up x || /bin/true", False),
        ("down false", False),
        ("mtu 1500", False),
    ],
)
def test_a_command_may_fail(option: str, fails: bool) -> None:
    """Unless it ends with one that never does."""
    (stanza,) = read({MAIN: File(f"iface eth0 inet static\n {option}\n".encode())}).stanzas
    assert fails == may_fail(stanza)


@pytest.mark.parametrize(
    ("option", "reason"),
    [("gateway gw", ":5: 'gw' is not an address"), ("metric x", ":5: 'x' is not a metric")],
)
def test_refuses_values_that_it_cannot_read(option: str, reason: str) -> None:
    """With the place."""
    with pytest.raises(CannotPersist, match=reason):
        defaults(f"{ETH0} {option}\n")
