"""Default routes in the arguments of `ip route add` and route(8); the kernel judges in netns/."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address

import pytest

from rcnetd.hostconfig.renderers.route_arguments import (
    DefaultArguments,
    has_destination,
    ip_default,
    route_default,
)

GATEWAY = IPv4Address("192.0.2.1")


def default(version: int = 4, gateway: str = "", link: str | None = None, metric: int | None = None,
            kind: str = "unicast", *, onlink: bool = False) -> DefaultArguments:  # fmt: skip
    """A default route with one gateway or none."""
    address = ip_address(gateway) if gateway else None
    return DefaultArguments(version, address, link, metric, kind, onlink, ((address, link),))


@pytest.mark.parametrize(
    ("words", "route"),
    [
        ("default via 192.0.2.1", default(4, "192.0.2.1")),
        ("via 192.0.2.1 dev eth0 metric 0 to default", default(4, "192.0.2.1", "eth0", 0)),
        ("default via 192.0.2.1 table 254", default(4, "192.0.2.1")),
        ("unicast default via 192.0.2.1", default(4, "192.0.2.1")),
        ("0.0.0.0/0.0.0.0 via 192.0.2.1", default(4, "192.0.2.1")),
        ("0.0.0.7/0 dev ppp0", default(4, link="ppp0")),
        ("0/0 m 0x10 oif eth1 onlink", default(link="eth1", metric=16, onlink=True)),
        ("default pri 010", default(metric=8)),
        ("unreachable default metric 4278198272", default(metric=4278198272, kind="unreachable")),
        ("to black 0/0", default(kind="blackhole")),
        ("local default dev lo table 0", default(link="lo", kind="local")),
        ("default via $GW dev $IFACE metric $M", default(link="$IFACE")),
        ("default via $GW $OPTIONS", default()),
        ("default via fe80::1 dev eth0", default(6, "fe80::1", "eth0")),
        ("dev eth0 ::/0", default(6, link="eth0")),
        ("default via inet6 $GW", default(6)),
        ("0/0 via inet6 fe80::1", default(4, "fe80::1")),
        ("default mtu lock 1400 via 192.0.2.1", default(4, "192.0.2.1")),
    ],
)  # fmt: skip
def test_ip_takes_words_in_any_order(words: str, route: DefaultArguments) -> None:
    """Abbreviations, synonyms, types, and values that only a shell knows."""
    assert route == ip_default(words.split())


def test_a_multipath_route_has_all_its_hops() -> None:
    """The first of them is the route's own gateway and link."""
    words = "default metric 5 nexthop via 192.0.2.1 dev eth0 weight 2 nexthop dev eth1"
    found = ip_default(words.split())
    hops = ((GATEWAY, "eth0"), (None, "eth1"))
    assert DefaultArguments(4, GATEWAY, "eth0", 5, hops=hops) == found


@pytest.mark.parametrize(
    "words",
    [
        *("", "via 192.0.2.1", "10.0.0.0/8 via 192.0.2.1", "0 via 192.0.2.1", "0.0.0.0 dev eth0"),
        *("default table 9", "default t 253", "default table $TABLE", "default vrf blue"),
        *("local default dev lo table 100", "::/1", "$NET via 192.0.2.1"),
    ],
)
def test_ip_has_other_routes_too(words: str) -> None:
    """Other destinations, tables that are consulted later, and what it refuses."""
    assert ip_default(words.split()) is None


def test_an_option_sets_the_family() -> None:
    """A destination of the other family is no default route of this one."""
    assert default(6) == ip_default(["default"], 6)
    assert ip_default(["0/0"], 6) is None
    assert ip_default(["::/0"], 4) is None


@pytest.mark.parametrize(
    ("words", "route"),
    [
        ("add default gw 192.0.2.1", default(4, "192.0.2.1")),
        ("add -net 0.0.0.0 netmask 0.0.0.0 gw 192.0.2.1", default(4, "192.0.2.1")),
        ("add -net 0 gw 192.0.2.1 eth0", default(4, "192.0.2.1", "eth0")),
        ("add -net 192.0.2.0/0 gateway 192.0.2.1", default(4, "192.0.2.1")),
        ("--inet add -net default device eth0 metric 3", default(4, link="eth0", metric=3)),
        ("add default reject", default(kind="unreachable")),
        ("add default mod dyn window 4 gw 192.0.2.1 -n", default(4, "192.0.2.1")),
        ("add -A inet6 default gw 2001:db8::1", default(6, "2001:db8::1")),
        ("-Ainet6 del ::/0", default(6)),
        ("add default gw 2001:db8::1 -6", default(6, "2001:db8::1")),
        ("--inet6 add default eth0", default(6, link="eth0")),
        ("-A inet add default", default()),
    ],
)
def test_route_takes_options_anywhere(words: str, route: DefaultArguments) -> None:
    """Also behind the verb and at the end."""
    assert route == route_default(words.split())


@pytest.mark.parametrize(
    "words",
    [
        *("", "add", "add -net", "add -net 0.0.0.0 netmask 255.0.0.0 gw 192.0.2.1"),
        *("add -host default gw 192.0.2.1", "add 0.0.0.0 gw 192.0.2.1", "add 0.0.0.0/0 eth0"),
        *("add default netmask 255.0.0.0", "-6 add 2001:db8::/32 eth0", "add -net 10.0.0.0/8 eth0"),
    ],
)
def test_route_has_other_routes_too(words: str) -> None:
    """A host route to 0.0.0.0 is not a default route."""
    assert route_default(words.split()) is None


def test_a_destination_is_what_is_no_keyword() -> None:
    """`flush` can do without."""
    assert has_destination(["dev", "eth0", "10/8"])
    assert not has_destination(["dev", "eth0", "table", "main", "proto", "static"])
