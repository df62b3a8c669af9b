"""What the kernel's default routes mean for ours, from one reading. Pure.

"What counts is what the kernel would do, not what we asked for": our route is in effect only when
the kernel's own answer for an outside address is our route, also as packets from our address go.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address

from rcnetd.basic.dataclass import dataclass
from rcnetd.core.model import METRIC, PROTOCOL, TABLE_MAIN, Network, Route, RouteLookup
from rcnetd.core.servicenet import ServiceNet

# An address outside of every private network: a.root-servers.net. Nothing is ever sent to it; the
# kernel is asked how it would go there.
OUTSIDE = IPv4Address("198.41.0.4")
# One of the other half of the internet: somebody may divert 0.0.0.0/1 alone. It is nobody's name
# server, to which a route of its own would be no diversion.
OTHER_HALF = IPv4Address("62.0.0.1")

IPTOS_RT_MASK = 0x1C  # linux/ip.h: what of a TOS the routing looks at

# Names of route protocols for log lines: /etc/iproute2/rt_protos, linux/rtnetlink.h.
PROTOCOL_NAMES = {
    0: "unspec", 1: "redirect", 2: "kernel", 3: "boot", 4: "static", 9: "ra", 11: "zebra",
    12: "bird", 16: "dhcp", 18: "keepalived", 66: "gcp", PROTOCOL: "rcnetd", 186: "bgp",
    188: "ospf",
}  # fmt: skip


@dataclass(frozen=True)
class Diversion:
    """Packets to the outside that do not go by our default route, although nothing beats it.

    A VPN's 0.0.0.0/1, a policy rule, a rule for packets of one source or TOS (*selector*, in the
    words of ip-rule(8)). It is reported, never fought, and does not undo readiness.
    """

    lookup: RouteLookup
    selector: str = ""

    def describe(self, network: Network) -> str:
        """What happens to the packets, for people, in `ip route`'s words."""
        whose = f"traffic {self.selector}" if self.selector else "traffic"
        lookup = self.lookup
        if lookup.refusal:
            return f"{whose} is refused ({lookup.refusal})"
        hop = _hop(network, lookup.ifindex, lookup.gateway)
        length = f"/{lookup.prefixlen} " if lookup.prefixlen else ""
        table = table_name(lookup.table)
        return f"{whose} is diverted by a {length}route of table {table}{hop}"


@dataclass(frozen=True)
class RouteState:
    """How our default route stands.

    *competitors* are the foreign default routes that the kernel uses instead of ours or beside it,
    none while ours is not there: nothing may be removed before something better is in place.
    *leftovers* are routes of ours to another gateway. *holds*: our route is there, and no default
    route beats it; only then is it *in_effect*, and only if nothing diverts the traffic.
    """

    present: bool = False
    in_effect: bool = False
    competitors: tuple[Route, ...] = ()
    leftovers: tuple[Route, ...] = ()
    diversions: tuple[Diversion, ...] = ()
    holds: bool = False


def evaluate_route(
    network: Network, servicenet: ServiceNet | None, gateway: IPv4Address | None
) -> RouteState:
    """How our route via *gateway* stands in one reading."""
    if servicenet is None or gateway is None:
        return RouteState()
    ifindex = servicenet.link.ifindex
    plain = [route for route in network.defaults if route.tos == 0]
    ours = [route for route in plain if is_ours(route, ifindex, gateway)]
    others = [route for route in plain if not is_ours(route, ifindex, gateway)]
    leftovers = tuple(route for route in others if route.protocol == PROTOCOL)
    if not ours:
        return RouteState(leftovers=leftovers)
    # Also one that the kernel lists behind ours: of the lowest metric it uses all whose gateways
    # are REACHABLE, and a plain `ip route get` shows one of them.
    competitors = tuple(route for route in others if route.metric <= METRIC)
    lookup = network.lookup(OUTSIDE)
    holds = not competitors and lookup is not None
    answers = (lookup, network.source_lookup or lookup, network.lookup(OTHER_HALF) or lookup)
    return RouteState(
        present=True,
        in_effect=holds
        and all(found is not None and _leads_to_ours(found, ifindex, gateway) for found in answers),
        competitors=competitors,
        leftovers=leftovers,
        diversions=tuple(_diversions(network, ifindex, gateway)) if holds else (),
        holds=holds,
    )


def _diversions(network: Network, ifindex: int, gateway: IPv4Address) -> Iterator[Diversion]:
    lookup, by_source = network.lookup(OUTSIDE), network.source_lookup
    if lookup is not None and not _leads_to_ours(lookup, ifindex, gateway):
        yield Diversion(lookup)
    elif by_source is not None and not _leads_to_ours(by_source, ifindex, gateway):
        yield Diversion(by_source, "from ServiceNet's address")
    other = network.lookup(OTHER_HALF)
    if other is not None and other != lookup and not _leads_to_ours(other, ifindex, gateway):
        half = IPv4Network((OTHER_HALF, other.prefixlen or 32), strict=False)
        yield Diversion(other, f"to {half}")
    for route in network.defaults:
        # The kernel compares TOS before metric, and only the bits of IPTOS_RT_MASK: a default with
        # any other bit is listed, but never used.
        if route.tos and not route.tos & ~IPTOS_RT_MASK and not _is_by(route, ifindex, gateway):
            via = route.gateway if isinstance(route.gateway, IPv4Address) else None
            found = RouteLookup(0, route.ifindex, via, route.metric, route.protocol)
            yield Diversion(found, f"with TOS {route.tos:#04x}")


def is_ours(route: Route, ifindex: int, gateway: IPv4Address) -> bool:
    """Whether *route* does what our default route does, whoever put it there.

    The host's network configuration sets the route that we have persisted, with a protocol of its
    own.
    """
    return route.metric == METRIC and route.tos == 0 and _is_by(route, ifindex, gateway)


def _is_by(route: Route, ifindex: int, gateway: IPv4Address) -> bool:
    return (route.ifindex, route.gateway) == (ifindex, gateway)


def _leads_to_ours(lookup: RouteLookup, ifindex: int, gateway: IPv4Address) -> bool:
    return (lookup.refusal, lookup.prefixlen, lookup.ifindex, lookup.gateway) == (
        "",
        0,
        ifindex,
        gateway,
    )


def probe_address(network: IPv4Network, subnet: IPv4Network) -> IPv4Address:
    """An address in *network* by which to look up its route: its first host outside *subnet*."""
    first = network.network_address + 1
    return first if first not in subnet else network.broadcast_address - 1


def table_name(table: int) -> str:
    """A routing table for people: by name where rt_tables(5) has one everywhere."""
    return {253: "default", TABLE_MAIN: "main", 255: "local"}.get(table, str(table))


def describe(route: Route, network: Network) -> str:
    """One route for people, in `ip route`'s words."""
    kind = f"{route.kind} " if route.kind else ""
    by_id = f" nhid {route.nexthop_id}" if route.nexthop_id else ""
    hops = ",".join(_hop(network, *hop) for hop in route.nexthops)
    several = f" ({hops.lstrip()})" if hops else ""
    tos = f" tos {route.tos:#04x}" if route.tos else ""
    protocol = PROTOCOL_NAMES.get(route.protocol, str(route.protocol))
    hop = _hop(network, route.ifindex, route.gateway)
    return f"{kind}default{by_id}{several}{hop}{tos} proto {protocol} metric {route.metric}"


def _hop(network: Network, ifindex: int | None, gateway: IPv4Address | IPv6Address | None) -> str:
    link = network.link(ifindex)
    via = f" via {gateway}" if gateway else ""
    return f"{via} dev {link.name}" if link else f"{via} dev #{ifindex}" if ifindex else via
