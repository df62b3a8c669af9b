"""The kernel by rtnetlink: what it shows and what it is told.

The rule: the kernel is the truth, and it is asked for what matters, never for the whole table.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache, partial
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any, TypeVar

from rcnetd.core.actions import AddRoute
from rcnetd.core.model import (
    TABLE_MAIN,
    Address,
    Link,
    Neighbour,
    Network,
    Query,
    Route,
    RouteLookup,
)
from rcnetd.netlink import decode
from rcnetd.netlink import socket as rtnetlink
from rcnetd.netlink.monitor import Monitor
from rcnetd.netlink.socket import (
    Interrupted,
    NetlinkError,
    NetlinkSocket,
    Sockets,
    body,
    pack_attribute,
)

__all__ = ["Kernel", "Monitor", "NetlinkError"]

# linux/rtnetlink.h, linux/neighbour.h, linux/if_link.h, linux/if.h
RT_SCOPE_UNIVERSE, RT_SCOPE_LINK = 0, 253
RTM_F_LOOKUP_TABLE, RTM_F_FIB_MATCH = 0x1000, 0x2000
RTEXT_FILTER_SKIP_STATS = 8
RTA_SRC, NDA_DST = 2, 1
NTF_USE = 0x01
IFLA_EXT_MASK = 29
IFF_UP = 0x1

HEAD = 8192  # bytes; the least that the kernel makes of a list at once (NLMSG_GOODSIZE)
MAX_READINGS = 8  # in a row, of a state that keeps changing

GONE = (errno.ESRCH, errno.ENODEV)
# How the kernel says that it has no route, or what a rule or a route does with the packets.
REFUSALS = {
    errno.ENETUNREACH: "no route",
    errno.EHOSTUNREACH: "unreachable",
    errno.EACCES: "prohibit",
    errno.EAGAIN: "throw",
}
# Neighbour states with a link-layer address, and those that are never asked for.
KNOWN = decode.NUD_REACHABLE | decode.NUD_STALE | decode.NUD_DELAY | decode.NUD_PROBE
FIXED = decode.NUD_NOARP | decode.NUD_PERMANENT

T = TypeVar("T")


class Kernel:
    """Reads and changes of this network namespace; everything raises NetlinkError.

    It holds nothing between two calls: each has a socket of its own. With *keep* it keeps its
    sockets, and the links and addresses that it read last, until `close`.
    """

    def __init__(self, *, keep: bool = False) -> None:
        self._keep = keep
        self._sockets = Sockets(keep=keep)
        self._ground: Ground | None = None

    def close(self) -> None:
        """Give back what is kept."""
        self._sockets.close()

    def prepare(self) -> None:
        """Load what changes are written with, 15 ms, while there is nothing else to do."""
        pyroute2()

    def read(self, query: Query, *, links_changed: bool = True) -> Network:
        """Read what a decision may depend on: what matters most and changes least first.

        The parts are read one after the other: a change in between shows in the `Monitor`. A list
        of links that keeps changing is no failure: what was seen of it is there, and `is_complete`
        is false.

        Routes go without a message, so they are always read. Links and addresses do not: without
        *links_changed* (`Monitor.links_changed`) those that were kept are as good as new.
        """
        ground, self._ground = self._ground, None
        if links_changed or ground is None or ground.asked != query.links:
            ground = Ground(query.links)
        network = self._ask("read the network's state", lambda: _read(self._sockets, query, ground))
        if self._keep and query.links is not None:
            self._ground = ground
        return network

    def add_route(self, action: AddRoute) -> None:
        """Add a route beside whatever is there; one that is there already is no error."""
        via = f" via {action.gateway}" if action.gateway else ""
        self._add(_route_body(action), f"add the route {_name(action.destination)}{via}")

    def restore_route(self, raw: bytes, expires: int = 0) -> None:
        """Put a route back as it was, from its `Route.raw`, after those of equal metric.

        *expires* is the rest of its lifetime in seconds, 0 for none.
        """
        if expires:
            raw += pack_attribute(decode.RTA_EXPIRES, struct.pack("=I", expires))
        self._add(raw, "put a route back")

    def remove_route(self, route: Route) -> None:
        """Remove exactly this route (IPv4 or IPv6), by its `raw`; a gone one is no error."""
        via = f" via {route.gateway}" if route.gateway else ""
        what = f"remove the route {_name(route.destination)}{via} metric {route.metric}"
        self._change(what, rtnetlink.RTM_DELROUTE, route.raw, ignore=GONE)

    def take_link_down(self, ifindex: int) -> None:
        """Set the link down and remove its addresses; its routes go with them. Gone is no error.

        Down first: whoever manages the link sees it lose its carrier before its addresses.
        """
        what = f"set link {ifindex} down"
        down = _link_body(index=ifindex, change=IFF_UP)
        if not self._change(what, rtnetlink.RTM_SETLINK, down, ignore=GONE):
            return
        for family in (socket.AF_INET, socket.AF_INET6):
            listed = _addresses_body(ifindex, family)
            for address in self._ask(what, partial(self._addresses, listed)):
                if address[0] != family:  # of another question: this family is not there
                    continue
                # The secondary addresses of a subnet go with its primary.
                ignore = (errno.EADDRNOTAVAIL, *GONE)
                self._change(what, rtnetlink.RTM_DELADDR, address, ignore=ignore)

    def bring_link_up(self, ifindex: int, addresses: Iterable[IPv4Interface]) -> None:
        """Set the link up with these addresses; one that it has already is no error."""
        what = f"set link {ifindex} up"
        up = _link_body(index=ifindex, flags=IFF_UP, change=IFF_UP)
        self._change(what, rtnetlink.RTM_SETLINK, up)
        for address in addresses:
            payload = body(
                pyroute2().ifaddrmsg,
                ("IFA_LOCAL", str(address.ip)),
                ("IFA_ADDRESS", str(address.ip)),
                ("IFA_BROADCAST", str(address.network.broadcast_address)),
                family=socket.AF_INET,
                prefixlen=address.network.prefixlen,
                index=ifindex,
            )
            create = rtnetlink.NLM_F_CREATE
            self._change(what, rtnetlink.RTM_NEWADDR, payload, create, ignore=(errno.EEXIST,))

    def probe_neighbour(self, ifindex: int, address: IPv4Address) -> None:
        """Make the kernel ask whether *address* answers, whatever it believes so far.

        An address that it knows is set to PROBE: a STALE one would go through DELAY for 5 s. One
        that it does not know, or that failed, is asked for by NTF_USE, as if a packet had to go
        there: no packet, no route and no source address are needed. Fixed entries stay.
        """
        what = f"ask for {address} on link {ifindex}"
        state = self._ask(what, partial(self._neighbour_state, ifindex, address))
        if state & FIXED:
            return
        if state & KNOWN:
            request = _probe_body(ifindex, address, state=decode.NUD_PROBE)
            flags = rtnetlink.NLM_F_REPLACE
            # Between the two it may have gone, or failed: then the other way is the right one.
            ignore = (errno.ENOENT, errno.EINVAL)
            if self._change(what, rtnetlink.RTM_NEWNEIGH, request, flags, ignore=ignore):
                return
        request = _probe_body(ifindex, address, flags=NTF_USE)
        self._change(what, rtnetlink.RTM_NEWNEIGH, request, rtnetlink.NLM_F_CREATE)

    def _add(self, payload: bytes, what: str) -> None:
        """Without NLM_F_EXCL and NLM_F_REPLACE, EEXIST means: the very same route is there."""
        flags = rtnetlink.NLM_F_CREATE | rtnetlink.NLM_F_APPEND
        self._change(what, rtnetlink.RTM_NEWROUTE, payload, flags, ignore=(errno.EEXIST,))

    def _ask(self, what: str, question: Callable[[], T]) -> T:
        """Read by *question*, again while what it reads changes meanwhile."""
        try:
            for _ in range(MAX_READINGS):
                try:
                    return question()
                except Interrupted:
                    continue
            raise NetlinkError("it keeps changing")
        except NetlinkError as error:
            raise _failed(what, error) from error

    def _addresses(self, payload: bytes) -> list[bytes]:
        with self._sockets.take() as exchange:
            return _addresses(exchange, payload)

    def _neighbour_state(self, ifindex: int, address: IPv4Address) -> int:
        with self._sockets.take() as exchange:
            return _neighbour_state(exchange, ifindex, address)

    def _change(
        self, what: str, kind: int, payload: bytes, flags: int = 0, ignore: tuple[int, ...] = ()
    ) -> bool:
        """Have the kernel change something; False where it refused for a reason in *ignore*."""
        try:
            with self._sockets.take() as exchange:
                exchange.change(kind, payload, flags)
        except NetlinkError as error:
            if error.code in ignore:
                return False
            raise _failed(what, error) from error
        return True


# Reading


class Ground:
    """The links that were asked for, each with its addresses, and those that routes named."""

    def __init__(self, asked: tuple[int, ...] | None) -> None:
        self.asked = asked
        self.links: dict[int, Link | None] = {}
        self.addresses: tuple[Address, ...] | None = None

    def read(self, exchange: NetlinkSocket, indexes: Iterable[int]) -> None:
        """Read what is not known yet of these links, and the addresses of those asked for."""
        missing = [index for index in indexes if index not in self.links]
        for index, data in zip(missing, _links(exchange, missing)):
            self.links[index] = None if data is None else decode.link(data)
        if self.addresses is None and self.asked is not None:
            bodies = map(_addresses_body, self.asked)
            listed = (data for payload in bodies for data in _addresses(exchange, payload))
            self.addresses = tuple(map(decode.address, listed))


def _read(sockets: Sockets, query: Query, ground: Ground) -> Network:
    # A lookup and the head of the routes are never interrupted; a list of 500 links that come and
    # go nearly always is.
    with sockets.take() as exchange:
        lookups, by_source = _lookups(exchange, query)
        with sockets.take(HEAD) as head:
            defaults = tuple(_defaults(head, exchange))
        neighbour = None
        if query.neighbour is not None:
            state = _neighbour_state(exchange, *query.neighbour)
            neighbour = decode.NEIGHBOURS.get(state, Neighbour.NONE)
        if query.links is None:
            listed, is_complete = _all_links()
            links = tuple(map(decode.link, listed))
            own = tuple(map(decode.address, _addresses(exchange, _addresses_body())))
        else:
            named = (hop for route in defaults for hop in (route.ifindex, *dict(route.nexthops)))
            taken = (found.ifindex for _, found in lookups)
            indexes = dict.fromkeys(filter(None, (*query.links, *named, *taken)))
            ground.read(exchange, indexes)
            shown = (ground.links[index] for index in indexes)
            links, is_complete = tuple(link for link in shown if link is not None), False
            own = ground.addresses or ()
        ipv6_defaults = tuple(_ipv6_defaults(exchange)) if query.ipv6 else ()
    if query.source not in {entry.interface.ip for entry in own}:
        by_source = None  # it has gone meanwhile
    return Network(
        links=links,
        addresses=own,
        lookups=lookups,
        source_lookup=by_source,
        neighbour=neighbour,
        ipv6_defaults=ipv6_defaults,
        defaults=defaults,
        is_complete=is_complete,
    )


def _all_links() -> tuple[list[bytes], bool]:
    """All links, and whether the list is whole: it may have kept changing while it was read."""
    seen: dict[int, bytes] = {}
    for _ in range(MAX_READINGS):
        listed: dict[int, bytes] = {}
        with NetlinkSocket() as exchange:
            try:
                for data in exchange.dump(rtnetlink.RTM_GETLINK, _links_body()):
                    listed[decode.IFINFOMSG.unpack_from(data)[2]] = data
            except Interrupted:
                seen.update(listed)
                continue
        return list(listed.values()), True
    return list(seen.values()), False


def _links(exchange: NetlinkSocket, indexes: Sequence[int]) -> Iterator[bytes | None]:
    """These links, in order; None where there is none of an index."""
    for answer in exchange.get_each(rtnetlink.RTM_GETLINK, [_links_body(i) for i in indexes]):
        if not isinstance(answer, NetlinkError):
            yield answer
        elif answer.code == errno.ENODEV:
            yield None
        else:
            raise answer


def _addresses(exchange: NetlinkSocket, payload: bytes) -> list[bytes]:
    """The addresses that *payload* asks for; none where the link is gone."""
    try:
        return list(exchange.dump(rtnetlink.RTM_GETADDR, payload))
    except NetlinkError as error:
        if error.code in GONE:
            return []
        raise


def _defaults(head: NetlinkSocket, exchange: NetlinkSocket) -> list[Route]:
    """The IPv4 default routes of table main: the head of the list, so the rest is not read.

    Nor is it listed: on a socket that never took more, the kernel lists little at once, where it
    would write 500 routes for nobody. But its list ends without a word at a route that is larger
    than that, so an end is believed only with room enough.
    """
    defaults, ended = _head(head)
    return _head(exchange)[0] if ended else defaults


def _head(exchange: NetlinkSocket) -> tuple[list[Route], bool]:
    """The default routes that come before any other, and whether there was no other.

    The kernel lists by address and of one address the longest prefix first: a VPN's 0.0.0.0/1
    comes before the defaults.
    """
    defaults: list[Route] = []
    listed = exchange.dump(rtnetlink.RTM_GETROUTE, _routes_body(socket.AF_INET))
    for data in listed:
        if any(decode.destination(data)):
            exchange.skip_rest(listed)
            return defaults, False
        if decode.prefixlen(data) == 0:
            defaults.append(decode.route(data))
    return defaults, True


def _ipv6_defaults(exchange: NetlinkSocket) -> Iterator[Route]:
    """The IPv6 default routes of table main: the tail of the list, which has to be read whole."""
    for data in exchange.dump(rtnetlink.RTM_GETROUTE, _routes_body(socket.AF_INET6)):
        # Without IPv6 the kernel answers with the routes of the families that it has.
        if decode.family(data) == socket.AF_INET6 and decode.prefixlen(data) == 0:
            yield decode.route(data)


def _lookups(
    exchange: NetlinkSocket, query: Query
) -> tuple[tuple[tuple[IPv4Address, RouteLookup], ...], RouteLookup | None]:
    """What the kernel would do for each destination, and for the first from the query's source."""
    bodies = [_lookup_body(asked, None) for asked in query.destinations]
    if query.source is not None and query.destinations:
        bodies.append(_lookup_body(query.destinations[0], query.source))
    found = list(map(_lookup, exchange.get_each(rtnetlink.RTM_GETROUTE, bodies)))
    lookups = tuple(zip(query.destinations, found))
    return lookups, found[-1] if len(found) > len(lookups) else None


def _lookup(answer: bytes | NetlinkError) -> RouteLookup:
    """The matching entry of whatever table the kernel's rules lead to, as `ip route get` shows."""
    if not isinstance(answer, NetlinkError):
        return decode.lookup(answer)
    # EINVAL is a blackhole's; with words of its own it would be about the question.
    if answer.code == errno.EINVAL and str(answer) == os.strerror(errno.EINVAL):
        return RouteLookup(refusal="blackhole")
    if answer.code in REFUSALS:
        return RouteLookup(refusal=REFUSALS[answer.code])
    raise answer


def _neighbour_state(exchange: NetlinkSocket, ifindex: int, address: IPv4Address) -> int:
    """The NUD_ state, 0 for no entry."""
    try:
        answer = exchange.get(rtnetlink.RTM_GETNEIGH, _neighbour_body(ifindex, address))
    except NetlinkError as error:
        if error.code in (errno.ENOENT, errno.ENODEV):
            return 0
        raise
    return decode.neighbour_state(answer)


# Requests


@lru_cache(maxsize=8)
def _links_body(index: int = 0) -> bytes:
    skip = struct.pack("=I", RTEXT_FILTER_SKIP_STATS)
    return _link_body(index) + pack_attribute(IFLA_EXT_MASK, skip)


def _link_body(index: int = 0, flags: int = 0, change: int = 0) -> bytes:
    """What pyroute2's class for links would write (see `messages`)."""
    return decode.IFINFOMSG.pack(socket.AF_UNSPEC, 0, index, flags, change)


def _addresses_body(index: int = 0, family: int = socket.AF_INET) -> bytes:
    return decode.IFADDRMSG.pack(family, 0, 0, 0, index)


def _routes_body(family: int) -> bytes:
    kind = decode.RTN_UNICAST if family == socket.AF_INET6 else 0  # IPv4: a blackhole may win, too
    return decode.RTMSG.pack(family, 0, 0, 0, TABLE_MAIN, 0, 0, kind, 0)


@lru_cache(maxsize=16)
def _lookup_body(destination: IPv4Address, source: IPv4Address | None) -> bytes:
    flags = RTM_F_LOOKUP_TABLE | RTM_F_FIB_MATCH
    source_length, attrs = 0, pack_attribute(decode.RTA_DST, destination.packed)
    if source is not None:
        source_length, attrs = 32, attrs + pack_attribute(RTA_SRC, source.packed)
    return decode.RTMSG.pack(socket.AF_INET, 32, source_length, 0, 0, 0, 0, 0, flags) + attrs


def _neighbour_body(ifindex: int, address: IPv4Address) -> bytes:
    return decode.NDMSG.pack(socket.AF_INET, ifindex, 0, 0, 0) + pack_attribute(
        NDA_DST, address.packed
    )


# Changes; pyroute2 takes longer to write one than the kernel to carry it out, so ours is kept.


def pyroute2() -> Any:
    """The module with pyroute2's classes, loaded by the first change (`Kernel.prepare`)."""
    from rcnetd.netlink import pyroute2

    return pyroute2


@lru_cache(maxsize=8)
def _route_body(action: AddRoute) -> bytes:
    attrs: list[tuple[str, Any]] = [("RTA_OIF", action.ifindex)]
    if action.gateway is not None:
        attrs.append(("RTA_GATEWAY", str(action.gateway)))
    if action.source is not None:
        attrs.append(("RTA_PREFSRC", str(action.source)))
    if action.metric:
        attrs.append(("RTA_PRIORITY", action.metric))
    if action.destination.prefixlen:
        attrs.append(("RTA_DST", str(action.destination.network_address)))
    return body(
        pyroute2().rtmsg,
        *attrs,
        family=socket.AF_INET,
        dst_len=action.destination.prefixlen,
        table=TABLE_MAIN,
        proto=action.protocol,
        scope=RT_SCOPE_LINK if action.gateway is None else RT_SCOPE_UNIVERSE,
        type=decode.RTN_UNICAST,
        flags=decode.RTNH_F_ONLINK if action.onlink else 0,
    )


def _probe_body(ifindex: int, address: IPv4Address, state: int = 0, flags: int = 0) -> bytes:
    attrs = ("NDA_DST", str(address))
    fields = {"family": socket.AF_INET, "ifindex": ifindex, "state": state, "flags": flags}
    return body(pyroute2().ndmsg, attrs, **fields)


def _name(destination: IPv4Network) -> str:
    return str(destination) if destination.prefixlen else "default"


def _failed(what: str, error: NetlinkError) -> NetlinkError:
    return NetlinkError(f"Failed to {what}: {error}", error.code)
