"""Which link is the public interface, and whether it can be set down. Pure.

The rule: it is decided once, before anything is changed, from what is there then, and never from
what a decision has left over: with the public default gone, a Cloud Network's default is the only
one left. What was decided is recorded, and found again at the next start.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from rcnetd.basic.dataclass import dataclass
from rcnetd.core.model import Link, Network
from rcnetd.core.servicenet import ServiceNet, foundations, has_hardware
from rcnetd.core.settings import Metadata

# RFC 1918, RFC 6598, RFC 3927: no public interface has these alone.
PRIVATE = tuple(
    map(
        IPv4Network,
        ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16"),
    )
)


@dataclass(frozen=True)
class PublicLink:
    """The public interface: its index, its name and MAC to find it again, and why it is that."""

    ifindex: int
    name: str
    mac: str
    why: str


def choose_public(
    network: Network, servicenet: ServiceNet, metadata: Metadata
) -> PublicLink | None:
    """Decide which link is the public interface; None where nothing tells.

    The platform's MAC (a port's means its bridge or bond, too), together with the platform's
    address or a default route where several links have it (a NIC and its VLANs); else the link of a
    default route, one with a public address first. Never ServiceNet's link, nor one that it stands
    on.
    """
    below = foundations(network, servicenet.link.ifindex)
    links = [link for link in network.links if link.ifindex not in below]
    if metadata.public_mac is not None:
        ports = {link.ifindex for link in links if link.mac == metadata.public_mac}
        named = [link for link in links if ports & foundations(network, link.ifindex)]
        why = "the platform names its MAC"
        return _best(network, named, metadata.public_address, why)
    with_default = [
        link
        for route in network.defaults
        for link in links
        if link.ifindex == route.ifindex and has_hardware(network, link)
    ]
    return _best(network, with_default, metadata.public_address, "it had the default route")


def _best(
    network: Network, links: list[Link], address: IPv4Address | None, why: str
) -> PublicLink | None:
    defaults = [route.ifindex for route in network.defaults]

    def rank(link: Link) -> tuple[bool, bool, bool]:
        own = [interface.ip for interface in network.own(link.ifindex)]
        return (
            address not in own,
            all(any(ip in private for private in PRIVATE) for ip in own),
            link.ifindex not in defaults,
        )

    link = min(links, key=rank, default=None)
    return PublicLink(link.ifindex, link.name, link.mac, why) if link else None


def find_public(network: Network, recorded: PublicLink) -> PublicLink | None:
    """What was *recorded*, in this *network*: the same index, and still the same name or MAC."""
    link = network.link(recorded.ifindex)
    if link is None or not (link.name == recorded.name or link.mac == recorded.mac):
        return None
    return recorded


def cannot_set_down(network: Network, public: PublicLink, servicenet: ServiceNet) -> str | None:
    """The last look before the link is set down: why that would cut the server off; None if not.

    All links of *network* have been read.
    """
    if public.ifindex in foundations(network, servicenet.link.ifindex):
        return f"ServiceNet's link '{servicenet.link.name}' stands on it"
    return None
