"""Which link is ServiceNet: pure, from one reading of the kernel."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from rcnetd.basic.dataclass import dataclass
from rcnetd.core.model import Link, Network
from rcnetd.core.settings import ServiceNetSettings

# Kinds of links that programs on this host make for themselves: containers and virtual machines
# may use addresses of ServiceNet's space for their own.
MADE_HERE = frozenset({"bridge", "veth", "tun", "dummy", "macvlan", "ipvlan", "wireguard", "vxlan"})


@dataclass(frozen=True)
class ServiceNet:
    """The link that is ServiceNet, our address on it, and why it was chosen."""

    link: Link
    address: IPv4Interface
    why: str


def choose(
    network: Network, settings: ServiceNetSettings, metadata_mac: str | None
) -> ServiceNet | None:
    """Choose the ServiceNet link, None while there is none with carrier and an address.

    A configured name or MAC decides alone; else the MAC that the metadata names; else a link
    with an address in one of the ServiceNet networks, physical links first, then the lowest index.
    """
    if settings.name is not None:
        return _named(
            network, settings, f"interface '{settings.name}' is configured", settings.name
        )
    if settings.mac is not None:
        return _with_mac(network, settings, f"MAC {settings.mac} is configured", settings.mac)
    if metadata_mac is not None:
        return _with_mac(network, settings, "the metadata names its MAC", metadata_mac)
    found = []
    for link in network.links:
        address = _address(network, link, settings.networks)
        if link.carrier and address is not None and _inside(address.ip, settings.networks):
            found.append(ServiceNet(link, address, f"its address {address.ip} is in ServiceNet"))
    return min(found, key=_rank, default=None)


def _rank(servicenet: ServiceNet) -> tuple[bool, int]:
    return servicenet.link.kind in MADE_HERE, servicenet.link.ifindex


def _named(
    network: Network, settings: ServiceNetSettings, why: str, name: str
) -> ServiceNet | None:
    return _first(network, settings, why, [link for link in network.links if link.name == name])


def _with_mac(
    network: Network, settings: ServiceNetSettings, why: str, mac: str
) -> ServiceNet | None:
    # VLANs and bridges often have the MAC of the link below them; the one with ServiceNet's address
    # is meant.
    return _first(network, settings, why, [link for link in network.links if link.mac == mac])


def _first(
    network: Network, settings: ServiceNetSettings, why: str, links: list[Link]
) -> ServiceNet | None:
    """The first of *links* with an address, one in the ServiceNet networks before others."""
    found = []
    for link in links:
        address = _address(network, link, settings.networks)
        if link.carrier and address is not None:
            found.append(ServiceNet(link, address, why))
    return min(found, key=lambda one: not _inside(one.address.ip, settings.networks), default=None)


def _address(
    network: Network, link: Link, networks: tuple[IPv4Network, ...]
) -> IPv4Interface | None:
    """The link's address to ask from: one in the ServiceNet networks, else its first."""
    own = [entry.interface for entry in network.addresses if entry.ifindex == link.ifindex]
    inside = [interface for interface in own if _inside(interface.ip, networks)]
    return next(iter(inside + own), None)


def _inside(address: IPv4Address, networks: tuple[IPv4Network, ...]) -> bool:
    return any(address in network for network in networks)


def objection(
    gateway: IPv4Address, own: tuple[IPv4Interface, ...], address: IPv4Interface, *, onlink: bool
) -> str | None:
    """Why *gateway* must not become the default gateway; None if nothing speaks against it.

    *own* are all of this host's addresses, *address* is ServiceNet's. ".255" is no objection by
    itself: real gateways are 10.176.60.255 in 10.176.32.0/19.
    """
    if gateway.is_multicast:
        return "is a multicast address"
    if (
        gateway.is_unspecified
        or gateway.is_loopback
        or gateway.is_link_local
        or gateway.is_reserved
    ):
        return "is not an address of a host"
    if any(gateway == interface.ip for interface in own):
        return "is this server's own address"
    subnet = address.network
    if gateway not in subnet:
        return None if onlink else f"is not in the ServiceNet subnet {subnet}"
    if subnet.prefixlen < 31 and gateway == subnet.network_address:
        return f"is the network address of {subnet}"
    if subnet.prefixlen < 31 and gateway == subnet.broadcast_address:
        return f"is the broadcast address of {subnet}"
    return None
