"""Which link is the public interface, and which must never be set down."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface

import pytest

from rcnetd.basic.dataclass import replace
from rcnetd.core.actions import RecordPublic, RemoveRoutes, TakeLinkDown
from rcnetd.core.model import Address, Link, Network
from rcnetd.core.public import PublicLink, cannot_set_down, choose_public, find_public
from rcnetd.core.servicenet import ServiceNet
from rcnetd.core.settings import Metadata, PublicInterface
from tests.support.playbook import (
    ASSIGNED,
    DEPLOYED,
    ETH0,
    ETH1,
    MANAGED,
    PRIVATE,
    PUBLIC,
    SETTINGS,
    Playbook,
    World,
    foreign_default,
)

SERVICENET = ServiceNet(ETH1, PRIVATE, "")
ETH2 = Link(4, "eth2", "bc:76:4e:20:6c:5c")
CLOUD_NETWORK = Address(4, IPv4Interface("192.168.3.10/24"))
CLOUD_DEFAULT = foreign_default(1000, ifindex=4, gateway=IPv4Address("192.168.3.1"))
DOWN = replace(SETTINGS, public_interface=PublicInterface.DOWN)


def three_links() -> World:
    """A server with a Cloud Network that has a default route of its own."""
    return World(
        links=[ETH0, ETH1, ETH2],
        addresses=[Address(2, PUBLIC), Address(3, PRIVATE), CLOUD_NETWORK],
        routes=[foreign_default(), CLOUD_DEFAULT],
    ).servicenet_routes()


def test_it_is_decided_before_anything_is_changed() -> None:
    """Not from what the switch leaves over: the Cloud Network stays as it is."""
    book = Playbook(three_links(), DOWN).look().tell(MANAGED, ASSIGNED, DEPLOYED)

    assert [2] == [action.ifindex for action in book.taken(TakeLinkDown)]  # type: ignore[attr-defined]
    assert CLOUD_DEFAULT in book.world.routes
    recorded = next(n for n, action in enumerate(book.actions) if isinstance(action, RecordPublic))
    removed = next(n for n, action in enumerate(book.actions) if isinstance(action, RemoveRoutes))
    assert recorded < removed


def test_what_was_recorded_is_found_again_at_a_restart() -> None:
    """eth0's default is gone by then: without the record eth2's would be taken for public."""
    world = three_links()
    first = Playbook(world, DOWN).look().tell(MANAGED, ASSIGNED, DEPLOYED)
    (record,) = first.taken(RecordPublic)
    assert isinstance(record, RecordPublic)

    again = Playbook(world, DOWN, public=record.public).look().tell(MANAGED, ASSIGNED, DEPLOYED)

    assert again.is_ready
    assert again.taken(TakeLinkDown) == []
    assert CLOUD_DEFAULT in world.routes
    assert again.machine.facts.public == record.public


def test_a_record_of_another_link_is_not_used() -> None:
    """The index is another link's by now: with another name and another MAC."""
    network = Network((ETH0, ETH1))

    assert find_public(network, PublicLink(2, "eth0", "", "")) is not None
    assert find_public(network, PublicLink(2, "old", ETH0.mac, "")) is not None
    assert find_public(network, PublicLink(2, "old", "bc:76:4e:00:00:00", "")) is None
    assert find_public(network, PublicLink(9, "eth0", ETH0.mac, "")) is None


NIC = Link(2, "eth0", "bc:76:4e:20:6c:5a")
PUBLIC_VLAN = Link(5, "eth0.101", NIC.mac, kind="vlan", lower=2)
PRIVATE_VLAN = Link(6, "eth0.401", NIC.mac, kind="vlan", lower=2)
VLANS = Network(
    (NIC, PUBLIC_VLAN, PRIVATE_VLAN),
    (Address(5, PUBLIC), Address(6, PRIVATE)),
    (foreign_default(100, ifindex=5),),
)
ON_VLAN = ServiceNet(PRIVATE_VLAN, PRIVATE, "")


def test_a_mac_that_several_links_share() -> None:
    """The NIC under both VLANs has it, too: the one with the address or the default is meant."""
    metadata = Metadata(public_mac=NIC.mac)

    found = choose_public(VLANS, ON_VLAN, metadata)
    assert found is not None
    assert found.name == "eth0.101"
    by_address = choose_public(
        replace(VLANS, defaults=()), ON_VLAN, replace(metadata, public_address=PUBLIC.ip)
    )
    assert by_address is not None
    assert by_address.name == "eth0.101"


def test_a_port_means_its_bridge() -> None:
    """The platform names the port's MAC; a container has given the bridge another one."""
    links = (replace(ETH0, master=9), ETH1, Link(9, "br-pub", "02:00:00:00:00:01", kind="bridge"))
    addresses = (Address(9, PUBLIC), Address(3, PRIVATE))

    public = choose_public(Network(links, addresses), SERVICENET, Metadata(public_mac=ETH0.mac))
    assert public is not None
    assert public.name == "br-pub"


def test_the_last_look_before_a_link_is_set_down() -> None:
    """Never ServiceNet's link, nor one that it stands on."""
    nic = PublicLink(2, "eth0", NIC.mac, "")

    assert cannot_set_down(VLANS, nic, ON_VLAN) == "ServiceNet's link 'eth0.401' stands on it"
    assert cannot_set_down(VLANS, PublicLink(5, "eth0.101", NIC.mac, ""), ON_VLAN) is None
    bridge = Link(8, "br-snet", NIC.mac, kind="bridge")
    bridged = Network((replace(NIC, master=8), bridge), (Address(8, PRIVATE),))
    assert cannot_set_down(bridged, nic, ServiceNet(bridge, PRIVATE, "")) is not None


def test_a_link_that_servicenet_stands_on_is_not_set_down() -> None:
    """Even if a record names it: said, and left alone."""
    world = World(
        links=list(VLANS.links),
        addresses=list(VLANS.addresses),
        routes=[foreign_default(ifindex=5)],
    ).servicenet_routes()
    record = PublicLink(2, "eth0", NIC.mac, "by hand")
    world.routes = [
        replace(route, ifindex=6) if route.ifindex == 3 else route for route in world.routes
    ]
    book = Playbook(world, DOWN, public=record).look().tell(MANAGED, ASSIGNED, DEPLOYED)

    assert book.is_ready
    assert book.taken(TakeLinkDown) == []
    assert any("is not set down: ServiceNet's link 'eth0.401' stands" in line for line in book.said)


def test_without_any_sign_there_is_none() -> None:
    """No MAC, no default route: nothing is set down, and that is said."""
    world = World(routes=[]).servicenet_routes()
    book = Playbook(world, DOWN).look().tell(MANAGED, ASSIGNED, DEPLOYED)

    assert choose_public(Network((ETH0, ETH1)), SERVICENET, Metadata()) is None
    assert book.taken(TakeLinkDown) == []
    assert any("no link is known to be the public interface" in line for line in book.said)


@pytest.mark.parametrize("kind", ["wireguard", "tun", "dummy", "bridge"])
def test_a_link_without_hardware_is_nobodys_public_interface(kind: str) -> None:
    """A VPN's default is not the provider's."""
    vpn = Link(9, "wg0", kind=kind)
    network = Network((ETH1, vpn), defaults=(foreign_default(ifindex=9),))

    assert choose_public(network, SERVICENET, Metadata()) is None


def test_a_public_address_tells_more_than_a_metric() -> None:
    """The Cloud Network's default may be the better one."""
    network = Network(
        (ETH0, ETH1, ETH2),
        (Address(2, PUBLIC), CLOUD_NETWORK),
        (replace(CLOUD_DEFAULT, metric=0), foreign_default(100)),
    )

    found = choose_public(network, SERVICENET, Metadata())
    assert found is not None
    assert found.name == "eth0"


def test_losing_defaults_of_the_public_interface_go_whenever_they_come() -> None:
    """A policy is watched like our own route; that is no repair."""
    book = Playbook().look().tell(MANAGED, ASSIGNED, DEPLOYED)
    late = foreign_default(100, protocol=16)
    book.world.routes.append(late)
    book.look()

    assert late not in book.world.routes
    assert book.machine.guard.repairs == 0
    assert any("'public_interface' or 'public_ipv6' forbids it" in line for line in book.said)


def test_what_brings_a_forbidden_route_back_all_the_time_is_answered_seldom() -> None:
    """As in a fight: not with every message."""
    book = Playbook().look().tell(MANAGED, ASSIGNED, DEPLOYED).wait(20)
    late = foreign_default(100, protocol=16)
    before = len(book.taken(RemoveRoutes))
    for _ in range(100):
        book.wait(0.1)
        if late not in book.world.routes:
            book.world.routes.append(late)
        book.look()

    assert len(book.taken(RemoveRoutes)) - before <= 8
