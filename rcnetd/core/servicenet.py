"""Which link is ServiceNet, which of its addresses is ours, and what can be its gateway. Pure.

The rule: the choice is made once, from evidence, and then held by the link's index. Names, MACs
and the order of addresses are changed by others while a server runs: a bridge takes the lowest MAC
of its ports, keepalived adds a /32 in front.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from rcnetd.basic.dataclass import dataclass, replace
from rcnetd.core.model import Link, Network
from rcnetd.core.settings import Metadata, ServiceNetSettings

# Kinds of links that programs make for themselves, without hardware below: containers, virtual
# machines and VPNs may use addresses of ServiceNet's space for their own.
WITHOUT_HARDWARE = frozenset(
    {
        "loopback",
        "tun",
        "dummy",
        "wireguard",
        "vxlan",
        "ipip",
        "gre",
        "sit",
        "ifb",
        "vrf",
        "geneve",
        "xfrm",
    }
)
# These have hardware below only if one of their ports or the link that they stand on has.
STACKED = frozenset({"bridge", "bond", "team", "vlan"})
# A container's own links; on its host they are a container's.
INSIDE_CONTAINERS = frozenset({"veth", "macvlan", "ipvlan"})


@dataclass(frozen=True)
class ServiceNet:
    """The link that is ServiceNet, our address on it, and why it was chosen.

    *hardware* are the MACs of the cards below a bridge, a bond or a VLAN, as they were then.
    """

    link: Link
    address: IPv4Interface
    why: str
    hardware: tuple[str, ...] = ()

    @property
    def macs(self) -> tuple[str, ...]:
        """The MACs by which it is known again, the surest first: a bridge's own changes."""
        return (*self.hardware, self.link.mac)


@dataclass(frozen=True)
class Hints:
    """What is known of ServiceNet besides the kernel's state.

    *addresses* are the addresses that this server had on ServiceNet, the surest first; *gateways*
    those that its address has to reach.
    """

    mac: str | None = None
    addresses: tuple[IPv4Address, ...] = ()
    gateways: tuple[IPv4Address, ...] = ()


def hints(metadata: Metadata, *gateways: IPv4Address | None, known: IPv4Address | None) -> Hints:
    """The hints of the platform, of the gateways, and of the address that is *known* already."""
    addresses = (metadata.servicenet_address, known)
    return Hints(
        metadata.servicenet_mac,
        tuple(address for address in addresses if address is not None),
        tuple(gateway for gateway in gateways if gateway is not None),
    )


def choose(
    network: Network,
    settings: ServiceNetSettings,
    known: Hints = Hints(),  # noqa: B008 -- frozen
    held: ServiceNet | None = None,
) -> ServiceNet | None:
    """Choose the ServiceNet link, None while there is none with carrier and an address.

    The link of *held* is kept while it can be ServiceNet. Else a configured name or MAC decides
    alone; else the MAC that the platform names; else a link with an address in one of the
    ServiceNet networks, physical links first, then the lowest index.
    """
    if held is not None:
        link = network.link(held.link.ifindex)
        again = _on(network, [link] if link else [], settings, known, held.why)
        if again:
            # Perhaps only this link was read.
            return replace(again[0], hardware=again[0].hardware or held.hardware)
    if settings.name is not None:
        named = [link for link in network.links if link.is_called(settings.name)]
        why = f"interface '{settings.name}' is configured"
        return next(iter(_on(network, named, settings, known, why)), None)
    if settings.mac is not None:
        why = f"MAC {settings.mac} is configured"
        return _with_mac(network, settings, known, settings.mac, why)
    if known.mac is not None:
        return _with_mac(network, settings, known, known.mac, "the platform names its MAC")
    return _by_address(network, settings, known)


def _with_mac(
    network: Network, settings: ServiceNetSettings, known: Hints, mac: str, why: str
) -> ServiceNet | None:
    """The link with this MAC, or the one that stands on it, whichever has ServiceNet's address.

    A VLAN, a bridge and a bond often have the MAC of a link below them; a port has no address.
    """
    below = {link.ifindex for link in network.links if link.mac == mac}
    links = [link for link in network.links if below & foundations(network, link.ifindex)]
    return next(iter(_on(network, links, settings, known, why)), None)


def _by_address(network: Network, settings: ServiceNetSettings, known: Hints) -> ServiceNet | None:
    links = [link for link in network.links if has_hardware(network, link)]
    found = [
        replace(entry, why=f"its address {entry.address.ip} is in ServiceNet")
        for entry in _on(network, links, settings, known, "")
        if _inside(entry.address.ip, settings.networks)
    ]
    found.sort(key=lambda entry: (entry.link.kind is not None, entry.link.ifindex))
    if not found:
        return None
    first, *others = found
    if not others:
        return first
    names = ", ".join(f"'{entry.link.name}' {entry.address}" for entry in others)
    rule = "physical links come first, then the lowest index"
    return replace(first, why=f"{first.why}, as is {names}; {rule}")


def _on(
    network: Network, links: list[Link], settings: ServiceNetSettings, known: Hints, why: str
) -> list[ServiceNet]:
    """Those of *links* that have carrier and an address; addresses in ServiceNet come first."""
    found = []
    for link in links:
        address = choose_address(network.own(link.ifindex), settings.networks, known)
        if link.carrier and address is not None:
            found.append(ServiceNet(link, address, why, _hardware(network, link)))
    return sorted(found, key=lambda entry: not _inside(entry.address.ip, settings.networks))


def choose_address(
    own: tuple[IPv4Interface, ...], networks: tuple[IPv4Network, ...], known: Hints
) -> IPv4Interface | None:
    """The address to send from and to reach the gateway by; None without any.

    The subnet has to hold the gateway. Of several such, the address that is known comes first, then
    those in ServiceNet, then those that have a subnet at all (a /32 of keepalived's has none).
    """

    def rank(interface: IPv4Interface) -> tuple[bool, int, bool, bool]:
        known_at = known.addresses.index(interface.ip) if interface.ip in known.addresses else 99
        return (
            not any(gateway in interface.network for gateway in known.gateways),
            known_at,
            not _inside(interface.ip, networks),
            interface.network.prefixlen == 32,
        )

    return min(own, key=rank, default=None)


def foundations(network: Network, ifindex: int) -> set[int]:
    """The link itself and all that it stands on: its ports, and what they and it are above of."""
    found: set[int] = set()
    todo = [ifindex]
    while todo:
        index = todo.pop()
        if index in found:
            continue
        found.add(index)
        link = network.link(index)
        if link is not None and link.lower is not None and link.kind != "veth":
            todo.append(link.lower)  # of a veth it is the other end, perhaps another namespace's
        todo += [port.ifindex for port in network.links if port.master == index]
    return found


def has_hardware(network: Network, link: Link) -> bool:
    """Whether packets of this link leave the server: by hardware, its own or below.

    From inside, a container's veth is as good as hardware.
    """
    if link.kind in WITHOUT_HARDWARE:
        return False
    if link.kind not in STACKED:
        return True
    below = foundations(network, link.ifindex) - {link.ifindex}
    return any(
        found is not None and found.kind not in WITHOUT_HARDWARE | STACKED
        for found in map(network.link, below)
    )


def _hardware(network: Network, link: Link) -> tuple[str, ...]:
    """The MACs of the cards that *link* stands on, physical ones first; () for a card itself."""
    if link.kind not in STACKED:
        return ()
    below = [
        found for found in network.links if found.ifindex in foundations(network, link.ifindex)
    ]
    cards = [found for found in below if found.kind not in WITHOUT_HARDWARE | STACKED and found.mac]
    cards.sort(key=lambda card: (card.kind is not None, card.ifindex))
    return tuple(card.mac for card in cards)


def _inside(address: IPv4Address, networks: tuple[IPv4Network, ...]) -> bool:
    return any(address in network for network in networks)


def rejection(
    gateway: IPv4Address, own: tuple[IPv4Interface, ...], address: IPv4Interface, *, onlink: bool
) -> str | None:
    """Why *gateway* must not become the default gateway; None if it may.

    *own* are all of this host's addresses, *address* is ServiceNet's. ".255" is no reason by
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
