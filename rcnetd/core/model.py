"""The words of the core: what the kernel shows and what the RackConnect API can answer.

Values only. Addresses are `ipaddress` objects from the border inward; a `str` address never gets
here.
"""

from __future__ import annotations

import enum
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address

from rcnetd.basic.dataclass import dataclass, field

# A number of our own in the kernel's route protocol field, so that every tool can tell our default
# route from others'. `rt_protos.d/rcnetd.conf` gives it a name for `ip route`. Other routes that we
# add are as an administrator's: by our number there is no gateway but those that the API gave.
PROTOCOL = 82
STATIC = 4  # RTPROT_STATIC, rtnetlink(7): "installed by the administrator"
# Metric 0 makes `ifup` and other agents fail with "File exists", and a netlink replace at metric 0
# destroys or misses their route; 1 still wins over every DHCP client and network manager.
METRIC = 1
TABLE_MAIN = 254  # RT_TABLE_MAIN, linux/rtnetlink.h
DEFAULT = IPv4Network("0.0.0.0/0")


class Operation(enum.Enum):
    """The four operations of the API page; the value is the path below `/v1/`."""

    STATUS = "automation_status"
    DETAILS = "automation_status/details"
    GATEWAY = "gateway_ip"
    FEATURES = "automation_features"


class ConfiguredBy(enum.Enum):
    """Who configures the network of this server."""

    RCNETD = "rcnetd"
    RACKCONNECT = "rackconnect"  # its automation does: "Configure Network Stack" is enabled


class AutomationStatus(enum.Enum):
    """What RackConnect says of this server's automation.

    "Returns the automation status of the cloud server (DEPLOYING, DEPLOYED, or FAILED)" says the
    API page; the Cloud Servers metadata adds UNPROCESSABLE. Any other word is UNKNOWN, which is
    never taken for DEPLOYED.
    """

    DEPLOYING = "DEPLOYING"
    DEPLOYED = "DEPLOYED"
    FAILED = "FAILED"
    UNPROCESSABLE = "UNPROCESSABLE"
    UNKNOWN = "UNKNOWN"


class Neighbour(enum.Enum):
    """The state of one neighbour entry: the kernel's NUD states, grouped by their meaning."""

    NONE = "none"
    INCOMPLETE = "incomplete"  # INCOMPLETE or PROBE: the kernel is asking now
    STALE = "stale"  # STALE or DELAY: it answered once; its present state is unknown
    REACHABLE = "reachable"  # REACHABLE, PERMANENT or NOARP
    FAILED = "failed"


@dataclass(frozen=True)
class Link:
    """A network link. *mac* is lower case, empty where the link has none.

    *carrier* is true when the link is up and the lower layer is too (IFF_UP and IFF_LOWER_UP).
    *kind* is rtnetlink's IFLA_INFO_KIND ("bridge", "veth", "vlan"…), None for a physical link.
    *master* is the index of the bridge or bond that the link is a port of (IFLA_MASTER), *lower*
    that of the link it stands on in this namespace (IFLA_LINK: a VLAN's parent). *altnames* are
    the names that udev or a person gave it besides (IFLA_ALT_IFNAME).
    """

    ifindex: int
    name: str
    mac: str = ""
    up: bool = True
    carrier: bool = True
    kind: str | None = None
    master: int | None = None
    lower: int | None = None
    altnames: tuple[str, ...] = ()

    def is_called(self, name: str) -> bool:
        """Whether *name* is the link's name or one of its alternative names."""
        return name == self.name or name in self.altnames


@dataclass(frozen=True)
class Address:
    """An IPv4 address with its prefix on a link."""

    ifindex: int
    interface: IPv4Interface


@dataclass(frozen=True)
class Route:
    """A route that is in the kernel.

    *raw* is the kernel's own description (the payload of an RTM_NEWROUTE message, flags of the
    moment cleared), good for removing exactly this route and for putting it back as it was.
    *ifindex* and *gateway* are None for multipath, blackhole and device-less routes: *kind* is then
    the type, in `ip route`'s word ("blackhole", "unreachable" …, "" for unicast), *nexthop_id* that
    of a nexthop object, and *nexthops* are the links and gateways of several. *expires* is the rest
    of a lifetime in seconds, 0 for none.
    """

    ifindex: int | None
    gateway: IPv4Address | IPv6Address | None
    metric: int
    protocol: int
    destination: IPv4Network = DEFAULT
    tos: int = 0
    raw: bytes = field(default=b"", repr=False)
    kind: str = ""
    nexthop_id: int = 0
    nexthops: tuple[tuple[int, IPv4Address | IPv6Address | None], ...] = ()
    expires: int = field(default=0, compare=False)


@dataclass(frozen=True)
class RouteLookup:
    """The route that the kernel would use for one address, by its own answer (`ip route get`).

    *refusal* is what the kernel does with such packets where no route takes them: "unreachable",
    "blackhole", "prohibit", "no route"; the other members say nothing then.
    """

    prefixlen: int = 0
    ifindex: int | None = None
    gateway: IPv4Address | None = None
    metric: int = 0
    protocol: int = 0
    table: int = TABLE_MAIN
    refusal: str = ""


@dataclass(frozen=True)
class Query:
    """What the core wants to know of the kernel: input of a read.

    A route is looked up for each of *destinations*, the first of them also as packets from
    *source* would go; the neighbour state for *neighbour* (a link and an address); the IPv6 default
    routes only when *ipv6*. *links* are the indexes of the links, and of their addresses, that
    matter; None: all, for who has yet to find them.
    """

    destinations: tuple[IPv4Address, ...] = ()
    source: IPv4Address | None = None
    neighbour: tuple[int, IPv4Address] | None = None
    ipv6: bool = False
    links: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Network:
    """One reading of the kernel's state: all that a decision may depend on.

    *defaults* are the IPv4 default routes of table main in the kernel's order (by metric, and of
    equal metrics the one that came first). *lookups* has an entry for every destination of the
    query, *source_lookup* is the one from the query's source. *is_complete* is false if *links* may
    lack some: only those of the query were read, or the list kept changing while it was read.
    """

    links: tuple[Link, ...] = ()
    addresses: tuple[Address, ...] = ()
    defaults: tuple[Route, ...] = ()
    lookups: tuple[tuple[IPv4Address, RouteLookup], ...] = ()
    source_lookup: RouteLookup | None = None
    neighbour: Neighbour | None = None
    ipv6_defaults: tuple[Route, ...] = ()
    is_complete: bool = True

    def link(self, ifindex: int | None) -> Link | None:
        """The link with this index, None where there is none."""
        return next((link for link in self.links if link.ifindex == ifindex), None)

    def own(self, ifindex: int) -> tuple[IPv4Interface, ...]:
        """The addresses of one link, in the kernel's order."""
        return tuple(entry.interface for entry in self.addresses if entry.ifindex == ifindex)

    def lookup(self, destination: IPv4Address) -> RouteLookup | None:
        """The kernel's answer for *destination*; None if it was not asked."""
        return next((found for asked, found in self.lookups if asked == destination), None)
