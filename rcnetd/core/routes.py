"""What the kernel's default routes mean for ours: pure judgement of one reading.

"What counts is what the kernel would do, not what we asked for": our route is in effect only when
the kernel's own verdict for an outside address is our route.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from rcnetd.basic.dataclass import dataclass
from rcnetd.core.model import METRIC, PROTOCOL, Network, Route, RouteLookup
from rcnetd.core.servicenet import ServiceNet

# An address outside of every private network: a.root-servers.net. Nothing is ever sent to it; the
# kernel is asked how it would go there.
OUTSIDE = IPv4Address("198.41.0.4")

# Names of route protocols for log lines: /etc/iproute2/rt_protos, linux/rtnetlink.h.
PROTOCOL_NAMES = {
    0: "unspec", 1: "redirect", 2: "kernel", 3: "boot", 4: "static", 9: "ra", 11: "zebra",
    12: "bird", 16: "dhcp", 18: "keepalived", 66: "gcp", PROTOCOL: "rcnetd", 186: "bgp",
    188: "ospf",
}  # fmt: skip


@dataclass(frozen=True)
class RouteState:
    """How our default route stands.

    *winners* are the default routes that the kernel prefers to ours, none while ours is not there:
    nothing may be removed before something better is in place. *leftovers* are routes of ours to
    another gateway. *diversion* is what takes outside traffic although no default route does: a
    VPN's 0.0.0.0/1, a policy rule.
    """

    present: bool = False
    in_effect: bool = False
    winners: tuple[Route, ...] = ()
    leftovers: tuple[Route, ...] = ()
    diversion: RouteLookup | None = None
    # A diversion does not undo what was in effect before; it is reported, never fought.
    holds: bool = False


def judge(
    network: Network, servicenet: ServiceNet | None, gateway: IPv4Address | None, *, applied: bool
) -> RouteState:
    """Judge our route to *gateway*; *applied* says whether it has been in effect before."""
    if servicenet is None or gateway is None:
        return RouteState()
    ifindex = servicenet.link.ifindex
    plain = [route for route in network.defaults if route.tos == 0]
    position = next((n for n, route in enumerate(plain) if _is_ours(route, ifindex, gateway)), None)
    leftovers = tuple(
        route
        for route in plain
        if route.protocol == PROTOCOL and not _is_ours(route, ifindex, gateway)
    )
    winners = tuple(plain[: position or 0])
    verdict = network.verdict(OUTSIDE)
    in_effect = verdict is not None and _is_verdict_ours(verdict, ifindex, gateway)
    present = position is not None
    diverted = present and not winners and not in_effect
    return RouteState(
        present=present,
        in_effect=in_effect,
        winners=winners,
        leftovers=leftovers,
        diversion=verdict if diverted else None,
        holds=in_effect or (diverted and applied),
    )


def _is_ours(route: Route, ifindex: int, gateway: IPv4Address) -> bool:
    return (route.protocol, route.metric, route.ifindex, route.gateway) == (
        PROTOCOL,
        METRIC,
        ifindex,
        gateway,
    )


def _is_verdict_ours(verdict: RouteLookup, ifindex: int, gateway: IPv4Address) -> bool:
    return (
        verdict.prefixlen == 0
        and verdict.protocol == PROTOCOL
        and verdict.ifindex == ifindex
        and verdict.gateway == gateway
    )


def probe_address(network: IPv4Network, subnet: IPv4Network) -> IPv4Address:
    """An address in *network* by which to ask for its route: its first host outside *subnet*."""
    first = network.network_address + 1
    return first if first not in subnet else network.broadcast_address - 1


def describe(route: Route, network: Network) -> str:
    """One route for people, in `ip route`'s words."""
    link = network.link(route.ifindex)
    via = f" via {route.gateway}" if route.gateway else ""
    dev = f" dev {link.name}" if link else ""
    protocol = PROTOCOL_NAMES.get(route.protocol, str(route.protocol))
    return f"default{via}{dev} proto {protocol} metric {route.metric}"
