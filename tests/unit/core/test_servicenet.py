"""Which link is ServiceNet, and which address can be its gateway."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest

from rcnetd.core.model import Address, Link, Network
from rcnetd.core.servicenet import Hints, ServiceNet, choose, foundations, rejection
from rcnetd.core.settings import ServiceNetSettings

SETTINGS = ServiceNetSettings()
PRIVATE = IPv4Interface("10.180.1.2/19")


def network(*entries: tuple[Link, str]) -> Network:
    """A host with these links and an address on each."""
    return Network(
        links=tuple(dict.fromkeys(link for link, _ in entries)),
        addresses=tuple(
            Address(link.ifindex, IPv4Interface(text)) for link, text in entries if text
        ),
    )


def chosen(servicenet: ServiceNet | None) -> tuple[str, str] | None:
    """Name and address of what was chosen."""
    return (servicenet.link.name, str(servicenet.address.ip)) if servicenet else None


ETH0 = (Link(2, "eth0", "bc:76:4e:20:6c:5a"), "203.0.113.10/24")
ETH1 = (Link(3, "eth1", "bc:76:4e:20:6c:5b"), "10.180.1.2/19")


@pytest.mark.parametrize("address", ["10.176.0.5/19", "10.191.255.9/19", "10.208.4.4/17"])
def test_a_link_with_a_servicenet_address_is_found(address: str) -> None:
    """An address in 10.176.0.0/12 or 10.208.0.0/12 tells ServiceNet."""
    found = choose(network(ETH0, (ETH1[0], address)), SETTINGS)

    assert ("eth1", address.split("/")[0]) == chosen(found)
    assert found is not None
    assert "is in ServiceNet" in found.why


@pytest.mark.parametrize("address", ["10.192.0.1/19", "10.175.255.255/19", "192.168.1.2/24", ""])
def test_other_links_are_not_servicenet(address: str) -> None:
    """Any other address, or none, is not ServiceNet."""
    assert choose(network(ETH0, (ETH1[0], address)), SETTINGS) is None


def test_a_link_without_carrier_is_not_there() -> None:
    """No carrier, no ServiceNet, by whatever rule it would be chosen."""
    dead = (Link(3, "eth1", "bc:76:4e:20:6c:5b", carrier=False), "10.180.1.2/19")

    assert choose(network(dead), SETTINGS) is None
    assert choose(network(dead), SETTINGS, Hints(mac="bc:76:4e:20:6c:5b")) is None
    assert choose(network(dead), ServiceNetSettings(name="eth1")) is None


@pytest.mark.parametrize("kind", ["bridge", "veth", "tun"])
def test_physical_links_come_before_what_containers_make(kind: str) -> None:
    """A container network in ServiceNet's space does not hide the real one."""
    container = (Link(1, "docker0", "02:42:00:00:00:01", kind=kind), "10.208.0.1/16")

    assert ("eth1", "10.180.1.2") == chosen(choose(network(container, ETH1), SETTINGS))


@pytest.mark.parametrize("kind", [None, "vlan", "bond"])
def test_among_equals_the_lowest_index_is_taken(kind: str | None) -> None:
    """VLANs and bonds are as good as physical links (OnMetal's bond0.401)."""
    other = (Link(9, "bond0.401", "bc:76:4e:00:00:09", kind=kind), "10.208.1.1/20")

    assert ("eth1", "10.180.1.2") == chosen(choose(network(other, ETH1), SETTINGS))


def test_the_platforms_mac_comes_before_addresses() -> None:
    """The MAC that the platform names is right even with an address from elsewhere."""
    named = (Link(7, "eth7", "bc:76:4e:00:00:07"), "172.16.0.7/24")

    found = choose(network(ETH1, named), SETTINGS, Hints(mac="bc:76:4e:00:00:07"))

    assert ("eth7", "172.16.0.7") == chosen(found)
    assert choose(network(ETH1), SETTINGS, Hints(mac="bc:76:4e:00:00:07")) is None


def test_a_configured_name_decides_alone() -> None:
    """A name in the settings beats the metadata and the addresses."""
    settings = ServiceNetSettings(name="eth0")

    assert ("eth0", "203.0.113.10") == chosen(
        choose(network(ETH0, ETH1), settings, Hints(mac="bc:76:4e:20:6c:5b"))
    )


def test_a_configured_mac_finds_the_link_that_has_an_address() -> None:
    """A VLAN shares the MAC of the link below it; the one with the address is meant."""
    bare = (Link(2, "bond0", "bc:76:4e:20:6c:5b"), "")
    vlan = (Link(5, "bond0.401", "bc:76:4e:20:6c:5b", kind="vlan"), "10.208.1.1/20")
    settings = ServiceNetSettings(mac="bc:76:4e:20:6c:5b")

    assert ("bond0.401", "10.208.1.1") == chosen(choose(network(bare, vlan), settings))


def test_of_several_addresses_the_one_in_servicenet_is_used() -> None:
    """The API knows the server by its ServiceNet address."""
    link = ETH1[0]

    found = choose(network((link, "192.168.9.9/24"), (link, "10.180.1.2/19")), SETTINGS)

    assert ("eth1", "10.180.1.2") == chosen(found)


@pytest.mark.parametrize(
    ("gateway", "reason"),
    [
        ("10.180.1.2", "is this server's own address"),
        ("203.0.113.10", "is this server's own address"),
        ("10.180.0.0", "is the network address of 10.180.0.0/19"),
        ("10.180.31.255", "is the broadcast address of 10.180.0.0/19"),
        ("10.180.32.1", "is not in the ServiceNet subnet 10.180.0.0/19"),
        ("8.8.8.8", "is not in the ServiceNet subnet 10.180.0.0/19"),
        ("224.0.0.1", "is a multicast address"),
        ("0.0.0.0", "is not an address of a host"),
        ("127.0.0.1", "is not an address of a host"),
        ("169.254.1.1", "is not an address of a host"),
        ("255.255.255.255", "is not an address of a host"),
    ],
)
def test_a_doubtful_gateway_is_refused_with_its_reason(gateway: str, reason: str) -> None:
    """Whatever cannot be a gateway on ServiceNet changes no route."""
    own = (PRIVATE, IPv4Interface("203.0.113.10/24"))

    assert reason == rejection(IPv4Address(gateway), own, PRIVATE, onlink=False)


@pytest.mark.parametrize("gateway", ["10.180.31.254", "10.180.20.255", "10.180.20.0"])
def test_a_gateway_inside_the_subnet_is_accepted(gateway: str) -> None:
    """ ".255" and ".0" inside a /19 are real hosts."""
    assert rejection(IPv4Address(gateway), (PRIVATE,), PRIVATE, onlink=False) is None


def test_outside_the_subnet_only_with_onlink() -> None:
    """`gateway.onlink: true` allows a gateway outside the subnet, nothing else."""
    assert rejection(IPv4Address("10.180.32.1"), (PRIVATE,), PRIVATE, onlink=True) is None
    assert rejection(IPv4Address("224.0.0.1"), (PRIVATE,), PRIVATE, onlink=True) is not None


def test_a_subnet_of_two_has_no_broadcast_address() -> None:
    """RFC 3021: both addresses of a /31 are hosts."""
    pair = IPv4Interface("10.180.1.2/31")

    assert rejection(IPv4Address("10.180.1.3"), (pair,), pair, onlink=False) is None


def test_networks_are_a_setting() -> None:
    """A lab names its own networks."""
    settings = ServiceNetSettings(networks=(IPv4Network("192.168.0.0/16"),))

    assert ("eth0", "192.168.1.2") == chosen(
        choose(network((ETH0[0], "192.168.1.2/24"), ETH1), settings)
    )


def test_an_alternative_name_is_a_name() -> None:
    """udev gives every link such names; `ip` takes them, too."""
    named = (Link(3, "eth1", "bc:76:4e:20:6c:5b", altnames=("enp1s0",)), "10.180.1.2/19")

    settings = ServiceNetSettings(name="enp1s0")
    assert ("eth1", "10.180.1.2") == chosen(choose(network(ETH0, named), settings))


def test_a_port_stands_for_its_bridge() -> None:
    """The MAC that the platform names is a port's; the bridge has the address, and other MACs."""
    port = (Link(3, "eth1", "bc:76:4e:20:6c:5b", master=7), "")
    bridge = (Link(7, "br-snet", "02:00:00:00:00:01", kind="bridge"), "10.180.1.2/19")

    found = choose(network(port, bridge), SETTINGS, Hints(mac="bc:76:4e:20:6c:5b"))
    assert ("br-snet", "10.180.1.2") == chosen(found)
    assert ("br-snet", "10.180.1.2") == chosen(choose(network(port, bridge), SETTINGS))


def test_a_bridge_of_containers_is_not_servicenet() -> None:
    """Nothing below it leaves the server."""
    bridge = (Link(7, "docker0", "02:42:00:00:00:01", kind="bridge"), "10.208.0.1/16")
    vlan = (Link(8, "docker0.5", "02:42:00:00:00:01", kind="vlan", lower=7), "10.208.9.1/24")
    lost = (Link(9, "eth9.5", "02:42:00:00:00:09", kind="vlan", lower=99), "10.208.8.1/24")

    assert choose(network(bridge, vlan, lost), SETTINGS) is None


def test_a_choice_is_told_with_what_was_passed_over() -> None:
    """Two links have ServiceNet addresses: which, over which others, and why."""
    other = (Link(9, "eth9", "bc:76:4e:00:00:09"), "10.208.1.1/20")

    found = choose(network(other, ETH1), SETTINGS)
    assert found is not None
    assert "as is 'eth9' 10.208.1.1/20; physical links come first" in found.why


def test_links_in_a_circle_are_walked_once() -> None:
    """A VLAN whose port's master is itself, as a damaged reading may have it."""
    odd = Network(links=(Link(1, "a", master=2), Link(2, "b", kind="vlan", lower=1)))

    assert {1, 2} == foundations(odd, 2)
