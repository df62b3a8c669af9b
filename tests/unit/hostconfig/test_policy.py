"""What is written, and whether: the daemon's word is judged like an answer from outside."""

from __future__ import annotations

import json
from ipaddress import IPv4Address, IPv4Interface

import pytest

from rcnetd.basic.dataclass import replace
from rcnetd.core.model import METRIC, PROTOCOL, Address, Link, Network, Route, RouteLookup
from rcnetd.core.routes import OUTSIDE
from rcnetd.core.settings import Backend, Manage, Metadata, Settings
from rcnetd.hostconfig.policy import (
    changes,
    diff,
    gateway_of,
    require_in_effect,
    require_valid_gateway,
    servicenet_of,
    target,
)
from rcnetd.hostconfig.renderers.marked_edits import applied
from rcnetd.hostconfig.renderers.model import CannotPersist, File
from rcnetd.hostconfig.renderers.netplan import PATTERNS, read_defaults, read_defaults_of, render
from rcnetd.hostconfig.renderers.registry import Renderer
from rcnetd.hostconfig.undo import RevertRecord

GATEWAY = IPv4Address("10.180.31.254")
ETH0, ETH1 = Link(2, "eth0", "00:00:00:00:00:02"), Link(3, "eth1", "00:00:00:00:00:03")
OURS = Route(3, GATEWAY, METRIC, PROTOCOL, raw=b"ours")
OLD = Route(2, IPv4Address("203.0.113.1"), 0, 4, raw=b"old")
NETWORK = Network(
    links=(ETH0, ETH1),
    addresses=(
        Address(2, IPv4Interface("203.0.113.10/24")),
        Address(3, IPv4Interface("10.180.1.2/19")),
    ),
    defaults=(OURS,),
    lookups=((OUTSIDE, RouteLookup(0, 3, GATEWAY, METRIC, PROTOCOL)),),
)
NETPLAN = Renderer(Backend.NETPLAN, PATTERNS, render, read_defaults, None, read_defaults_of)
FILE = "/etc/netplan/a.yaml"
PLAIN = "network: {ethernets: {eth1: {addresses: [10.180.1.2/19]}}}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "5",
        "{}",
        '{"version": 2, "gateway": "10.0.0.1"}',
        '{"version": 1, "gateway": 5}',
        '{"version": 1, "gateway": "::1"}',
        '{"version": 1, "gateway": "10.0.0.1; x"}',
        "[" * 5000,
        "\udcff",
    ],
)
def test_a_damaged_route_is_refused(text: str) -> None:
    """In one line."""
    with pytest.raises(CannotPersist, match=r"route.json is damaged"):
        gateway_of(text.encode("utf-8", "surrogateescape"))


def test_the_route_names_a_gateway() -> None:
    """As the daemon writes it."""
    assert GATEWAY == gateway_of(json.dumps({"version": 1, "gateway": str(GATEWAY)}).encode())


@pytest.mark.parametrize(
    ("settings", "metadata", "network", "reason"),
    [
        (Settings(), Metadata(roles=("rackconnect:v3",)), NETWORK, "RackConnect v3"),
        (Settings(manage=Manage.NEVER), Metadata(), NETWORK, "'manage: never' is set"),
        (Settings(), Metadata(), Network(), "there is no ServiceNet interface"),
    ],
)
def test_refuses_where_rcnetd_sets_no_route(
    settings: Settings, metadata: Metadata, network: Network, reason: str
) -> None:
    """Whatever route.json says."""
    with pytest.raises(CannotPersist, match=reason):
        servicenet_of(network, settings, metadata)


def test_refuses_a_gateway_that_is_none() -> None:
    """The same objections as the daemon's; and the kernel must use it."""
    servicenet = servicenet_of(NETWORK, Settings(), Metadata())
    require_valid_gateway(GATEWAY, servicenet, NETWORK, Settings())
    require_in_effect(GATEWAY, servicenet, NETWORK)
    for text in ("10.180.1.2", "192.0.2.1", "10.180.0.0", "224.0.0.1"):
        with pytest.raises(CannotPersist, match="nothing is written"):
            require_valid_gateway(IPv4Address(text), servicenet, NETWORK, Settings())
    for network in (replace(NETWORK, lookups=()), replace(NETWORK, defaults=())):
        with pytest.raises(CannotPersist, match="the kernel's default route is not by"):
            require_in_effect(GATEWAY, servicenet, network)
    diverted = replace(NETWORK, lookups=((OUTSIDE, RouteLookup(1, 9, None, 0, 3)),))
    require_in_effect(GATEWAY, servicenet, diverted)
    with pytest.raises(CannotPersist, match="the kernel's default route is not by"):
        require_in_effect(IPv4Address("10.180.31.253"), servicenet, NETWORK)


@pytest.mark.parametrize(
    ("text", "mac", "public"),
    [
        (PLAIN, None, []),
        (PLAIN, ETH0.mac, ["eth0"]),
        ("network: {ethernets: {eth0: {gateway4: 203.0.113.1}}}", None, ["eth0"]),
        ("network: {ethernets: {eth1: {gateway4: 203.0.113.1}}}", None, []),
        ("network: {ethernets: {a: {match: {name: 'eth?'}, dhcp4: true}}}", None, ["eth0"]),
        (
            "network: {ethernets: {z: {match: {name: 'eth?'}, dhcp4: true}, eth0: {}}}",
            None,
            [],
        ),
    ],
)
def test_the_public_links_are_found(text: str, mac: str | None, public: list[str]) -> None:
    """Named by the platform, or with a default route in the files; also when we have edited it."""
    servicenet = servicenet_of(NETWORK, Settings(), Metadata())
    tree = {FILE: File(text.encode())}
    metadata = Metadata(public_mac=mac)
    made = target(tree, NETPLAN, GATEWAY, servicenet, NETWORK, Settings(), metadata)
    assert public == [nic.name for nic in made.public]
    assert (made.onlink, made.servicenet.name) == (False, "eth1")


def test_a_host_that_comes_up_so_by_itself_is_left_alone() -> None:
    """Somebody has configured this very gateway; edits of ours are taken back then."""
    servicenet = servicenet_of(NETWORK, Settings(), Metadata())
    text = PLAIN.replace("]}", "], gateway4: 10.180.31.254}")
    tree = {FILE: File(text.encode())}
    wanted = target(tree, NETPLAN, GATEWAY, servicenet, NETWORK, Settings(), Metadata())
    assert {} == changes(tree, tree, NETPLAN, wanted)
    edited = applied(tree, render(tree, wanted))
    assert tree == RevertRecord().without_ours(edited)
    assert applied(edited, changes(edited, tree, NETPLAN, wanted)) == tree
    other = replace(wanted, gateway=IPv4Address("10.180.31.253"))
    assert changes(tree, tree, NETPLAN, other)


def test_a_difference_is_shown() -> None:
    """Of a new file, one that goes, and one without a last newline."""
    assert ["--- /dev/null\n", "+++ f\n"] == list(diff("f", None, b"a\n"))[:2]
    assert ["--- f\n", "+++ /dev/null\n"] == list(diff("f", b"a\n", None))[:2]
    assert list(diff("f", b"a", b"b"))[-1].endswith("+b\n\\ No newline at end of file\n")
