"""Route files in both forms."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest

from rcnetd.hostconfig.renderers.ifcfg_routes import Route, Routes
from rcnetd.hostconfig.renderers.marked_edits import BEGIN, END, OFF, Document

GATEWAY = IPv4Address("10.180.31.254")
OURS = Route(IPv4Network("0.0.0.0/0"), GATEWAY, 1)
NUMBERED = (
    "ADDRESS0=10.0.0.0\nNETMASK0=255.0.0.0\nGATEWAY0=192.0.2.9\n"
    "ADDRESS1=0.0.0.0\nNETMASK1=0.0.0.0\nGATEWAY1=192.0.2.1\n"
    "ADDRESS2=11.0.0.0\nNETMASK2=255.0.0.0\nGATEWAY2=192.0.2.8\n"
)


def routes(text: str, version: int = 4) -> Routes:
    """A route file."""
    return Routes(Document("f", text.encode()), version=version)


def added(found: Routes) -> list[str]:
    """The lines of ours."""
    lines = found.document.data().decode().splitlines()
    return lines[lines.index(BEGIN) + 1 : lines.index(END)]


@pytest.mark.parametrize(
    "line",
    [
        "default via 192.0.2.1",
        "via 192.0.2.1 dev eth0 metric 0 to default",
        "unicast default via 192.0.2.1 table 254",
        "0.0.0.0/0.0.0.0 via 192.0.2.1",
        "192.0.2.0/0 via 192.0.2.1 metric 5  # why",
        "default nexthop via 192.0.2.1 dev eth0",
    ],
)
def test_default_routes_in_lines(line: str) -> None:
    """They are found in whatever order their words are."""
    found = routes(f"10.0.0.0/8 via 192.0.2.9\n{line}\n")
    assert found.remove_defaults() == [IPv4Address("192.0.2.1")]
    assert found.document.data().decode() == f"10.0.0.0/8 via 192.0.2.9\n{OFF}{line}\n"


@pytest.mark.parametrize(
    "line",
    [
        "# default via 192.0.2.1",
        "default via 192.0.2.1 table 7",
        "0.0.0.0/1 via 192.0.2.1",
        "10.0.0.0/8 via 192.0.2.1",
        "",
    ],
)
def test_other_lines_stay(line: str) -> None:
    """A route of another table competes with nothing."""
    found = routes(f"{line}\n")
    assert found.remove_defaults() == []
    assert not found.document.is_edited


def test_default_routes_of_ipv6() -> None:
    """A `route6-X` has lines only."""
    found = routes("default via fe80::1 dev eth0\n2001:db8::/32 via fe80::2\n", 6)
    assert found.remove_defaults() == []
    assert found.document.data().decode().startswith(f"{OFF}default via fe80::1")


def test_numbered_routes_move_up() -> None:
    """Both readers stop at the first number that is missing."""
    found = routes(NUMBERED)
    assert found.remove_defaults() == [IPv4Address("192.0.2.1")]
    found.add("eth1", [OURS])
    assert added(found) == [
        *("ADDRESS1=11.0.0.0", "NETMASK1=255.0.0.0", "GATEWAY1=192.0.2.8"),
        *("ADDRESS2=0.0.0.0", "NETMASK2=0.0.0.0", f"GATEWAY2={GATEWAY}", "METRIC2=1"),
    ]


@pytest.mark.parametrize(
    ("lines", "removed"),
    [
        ("NETMASK0=0.0.0.0\n", True),
        ("NETMASK0=0.0.0.0\nOPTIONS0='table 254'\n", True),
        ("NETMASK0=0.0.0.0\nOPTIONS0='table 7'\n", False),
        ("NETMASK0=255.0.0.0\n", False),
        ("", False),
    ],
)
def test_numbered_default_routes(lines: str, removed: bool) -> None:
    """The netmask decides, not the address."""
    found = routes(f"ADDRESS0=192.0.2.0\nGATEWAY0=192.0.2.1\n{lines}")
    assert (found.remove_defaults() != []) is removed


def test_a_gateway_outside_of_the_subnet() -> None:
    """A numbered route has a route to its gateway before it; the scripts read no OPTIONSn."""
    route = Route(IPv4Network("0.0.0.0/0"), GATEWAY, 1, onlink=True, table=True)
    assert route.line("eth1") == f"0.0.0.0/0 via {GATEWAY} dev eth1 metric 1 table 254 onlink"
    found = routes("ADDRESS1=\n")
    found.add("eth1", [route])
    assert added(found) == [
        *(f"ADDRESS0={GATEWAY}", "NETMASK0=255.255.255.255", "OPTIONS0='table 254'"),
        *("ADDRESS1=0.0.0.0", "NETMASK1=0.0.0.0", f"GATEWAY1={GATEWAY}", "METRIC1=1"),
        "OPTIONS1='table 254'",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"default via {GATEWAY} metric 1\n", True),
        (f"default via {GATEWAY} metric 2\n", False),
        (f"10.0.0.0/8 via {GATEWAY} metric 1\n", False),
        (f"ADDRESS0=0.0.0.0\nNETMASK0=0.0.0.0\nGATEWAY0={GATEWAY}\nMETRIC0=1\n", True),
        (f"ADDRESS0=0.0.0.0\nNETMASK0=0.0.0.0\nGATEWAY0={GATEWAY}\n", False),
    ],
)
def test_a_route_is_known_by_its_values(text: str, expected: bool) -> None:
    """The marks may be gone; what is kept is not removed."""
    found = routes(text)
    assert found.has(OURS) is expected
    found.remove_defaults(keep=OURS)
    assert not (expected and found.document.is_edited)
