"""The payloads of rtnetlink's answers as values of the model.

Every function takes bytes as they came and raises NetlinkError where they are not what they
should be, whatever they are.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from functools import lru_cache, wraps
from ipaddress import IPv4Address, IPv4Interface, IPv6Address
from typing import TypeVar

from rcnetd.core.model import Address, Link, Neighbour, Route, RouteLookup
from rcnetd.netlink.socket import (
    NLA_TYPE_MASK,
    NetlinkError,
    align,
    attribute_map,
    attributes,
    pack_attribute,
)

# linux/rtnetlink.h
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY = 1, 4, 5, 6
RTA_MULTIPATH, RTA_FLOW, RTA_CACHEINFO, RTA_TABLE, RTA_VIA = 9, 11, 12, 15, 18
RTA_ENCAP_TYPE, RTA_ENCAP, RTA_NH_ID = 21, 22, 30
RTNH_F_PERVASIVE, RTNH_F_ONLINK = 2, 4
RTN_UNICAST = 1
TYPE_NAMES = {2: "local", 3: "broadcast", 5: "multicast", 6: "blackhole", 7: "unreachable",
              8: "prohibit", 9: "throw", 10: "nat"}  # fmt: skip
RTA_EXPIRES = 23  # seconds, of an IPv6 route
USER_HZ = 100  # of the lifetime in rta_cacheinfo
ARPHRD_LOOPBACK = 772
# linux/if_link.h, linux/if_addr.h, linux/if.h
IFLA_ADDRESS, IFLA_IFNAME, IFLA_LINK, IFLA_MASTER = 1, 3, 5, 10
IFLA_LINKINFO, IFLA_INFO_KIND = 18, 1
IFLA_PROP_LIST, IFLA_ALT_IFNAME = 52, 53
IFA_ADDRESS, IFA_LOCAL = 1, 2
IFF_UP, IFF_LOWER_UP = 0x1, 0x10000
# linux/neighbour.h
NUD_INCOMPLETE, NUD_REACHABLE, NUD_STALE, NUD_DELAY = 0x01, 0x02, 0x04, 0x08
NUD_PROBE, NUD_FAILED, NUD_NOARP, NUD_PERMANENT = 0x10, 0x20, 0x40, 0x80

RTMSG = struct.Struct("=8BI")  # family, dst_len, src_len, tos, table, protocol, scope, type, flags
RTNEXTHOP = struct.Struct("=HBBi")  # length, flags, hops, ifindex
IFINFOMSG = struct.Struct("=BxHiII")  # family, type, ifindex, flags, change
IFADDRMSG = struct.Struct("=4Bi")  # family, prefixlen, flags, scope, ifindex
CACHEINFO = struct.Struct("=IIiI")  # rta_cacheinfo: clntref, lastuse, expires, error …
NDMSG = struct.Struct("=BxxxiHBB")  # family, ifindex, state, flags, type

# What a route's flags say of the moment (dead, linkdown, offloaded…) is not the route's own.
LASTING_FLAGS = RTNH_F_PERVASIVE | RTNH_F_ONLINK
# "Nexthop specification and nexthop id are mutually exclusive": the kernel lists both.
EXPANDED = {RTA_OIF, RTA_GATEWAY, RTA_MULTIPATH, RTA_FLOW, RTA_VIA, RTA_ENCAP_TYPE, RTA_ENCAP}

NEIGHBOURS = {
    NUD_INCOMPLETE: Neighbour.INCOMPLETE,
    NUD_PROBE: Neighbour.INCOMPLETE,
    NUD_STALE: Neighbour.STALE,
    NUD_DELAY: Neighbour.STALE,
    NUD_REACHABLE: Neighbour.REACHABLE,
    NUD_NOARP: Neighbour.REACHABLE,
    NUD_PERMANENT: Neighbour.REACHABLE,
    NUD_FAILED: Neighbour.FAILED,
}
T = TypeVar("T")


def _understood(decode: Callable[[bytes], T]) -> Callable[[bytes], T]:
    @wraps(decode)
    def decoded(data: bytes) -> T:
        try:
            return decode(data)
        except (struct.error, ValueError) as error:
            raise NetlinkError(f"the kernel's answer is not understood: {error}") from error

    return decoded


def _remembered(decode: Callable[[bytes], T]) -> Callable[[bytes], T]:
    """*decode*, once for the same bytes: what most readings show is what the last one did."""
    return lru_cache(maxsize=32)(decode)


@_remembered
@_understood
def link(data: bytes) -> Link:
    """Decode the payload of an RTM_NEWLINK message."""
    _, device_type, ifindex, flags, _ = IFINFOMSG.unpack_from(data)
    attrs = attribute_map(data, IFINFOMSG.size)
    mac = attrs.get(IFLA_ADDRESS, b"")
    kind = attribute_map(attrs.get(IFLA_LINKINFO, b"")).get(IFLA_INFO_KIND)
    altnames = attributes(attrs.get(IFLA_PROP_LIST, b""))
    up = bool(flags & IFF_UP)
    return Link(
        ifindex=ifindex,
        name=_text(attrs.get(IFLA_IFNAME, b"")),
        mac=mac.hex(":") if any(mac) else "",
        up=up,
        carrier=up and bool(flags & IFF_LOWER_UP),
        kind=_text(kind) if kind else "loopback" if device_type == ARPHRD_LOOPBACK else None,
        master=_number(attrs, IFLA_MASTER) or None,
        lower=_number(attrs, IFLA_LINK) or None,
        altnames=tuple(_text(value) for kind, value in altnames if kind == IFLA_ALT_IFNAME),
    )


@_remembered
@_understood
def address(data: bytes) -> Address:
    """Decode the payload of an IPv4 RTM_NEWADDR message.

    On a point-to-point link IFA_ADDRESS is the peer; IFA_LOCAL is always ours.
    """
    _, prefixlen, _, _, ifindex = IFADDRMSG.unpack_from(data)
    attrs = attribute_map(data, IFADDRMSG.size)
    local = attrs.get(IFA_LOCAL, attrs.get(IFA_ADDRESS, b""))
    return Address(ifindex, IPv4Interface((local, prefixlen)))


@_remembered
@_understood
def route(data: bytes) -> Route:
    """Decode the payload of an RTM_NEWROUTE message of a default route, IPv4 or IPv6."""
    _, _, _, tos, _, protocol, _, kind, _ = RTMSG.unpack_from(data)
    attrs = attribute_map(data, RTMSG.size)
    leads_on = kind == RTN_UNICAST
    cache = attrs.get(RTA_CACHEINFO, b"")
    ticks = CACHEINFO.unpack_from(cache)[2] if cache else 0
    return Route(
        ifindex=(_number(attrs, RTA_OIF) or None) if leads_on else None,
        gateway=_gateway(attrs) if leads_on else None,
        metric=_number(attrs, RTA_PRIORITY),
        protocol=protocol,
        tos=tos,
        raw=as_added(data),
        kind="" if leads_on else TYPE_NAMES.get(kind, f"type {kind}"),
        nexthop_id=_number(attrs, RTA_NH_ID),
        nexthops=tuple(_nexthops(attrs.get(RTA_MULTIPATH, b""))),
        expires=max(0, ticks) // USER_HZ,
    )


def _nexthops(data: bytes) -> Iterator[tuple[int, IPv4Address | IPv6Address | None]]:
    offset = 0
    while offset + RTNEXTHOP.size <= len(data):
        length, _, _, ifindex = RTNEXTHOP.unpack_from(data, offset)
        if not RTNEXTHOP.size <= length <= len(data) - offset:
            raise NetlinkError("the kernel's answer ends within a next hop")
        attrs = attribute_map(data[offset + RTNEXTHOP.size : offset + length])
        yield ifindex, _gateway(attrs)
        offset += align(length)


@_remembered
@_understood
def lookup(data: bytes) -> RouteLookup:
    """Decode the kernel's answer to RTM_GETROUTE."""
    _, prefixlen, _, _, table, protocol, _, _, _ = RTMSG.unpack_from(data)
    attrs = attribute_map(data, RTMSG.size)
    gateway = _gateway(attrs)
    return RouteLookup(
        prefixlen=prefixlen,
        ifindex=_number(attrs, RTA_OIF) or None,
        gateway=gateway if isinstance(gateway, IPv4Address) else None,
        metric=_number(attrs, RTA_PRIORITY),
        protocol=protocol,
        table=_number(attrs, RTA_TABLE) or table,
    )


@_understood
def neighbour_state(data: bytes) -> int:
    """The NUD_ state in the payload of an RTM_NEWNEIGH message."""
    return int(NDMSG.unpack_from(data)[2])


@_understood
def family(data: bytes) -> int:
    """The address family of a route: the kernel answers with another's where one is absent."""
    return int(RTMSG.unpack_from(data)[0])


@_understood
def prefixlen(data: bytes) -> int:
    """How long the prefix is in the payload of an RTM_NEWROUTE message."""
    return int(RTMSG.unpack_from(data)[1])


@_understood
def destination(data: bytes) -> bytes:
    """The destination address in the payload of an RTM_NEWROUTE message, empty for none."""
    return attribute_map(data, RTMSG.size).get(RTA_DST, b"")


@_understood
def as_added(data: bytes) -> bytes:
    """Strip what is transient from a listed route, so that it can be added again."""
    *head, route_type, flags = RTMSG.unpack_from(data)
    attrs = attributes(data, RTMSG.size)
    left_out = {RTA_CACHEINFO}
    if any(kind & NLA_TYPE_MASK == RTA_NH_ID for kind, _ in attrs):
        left_out |= EXPANDED
        route_type = RTN_UNICAST  # the kernel shows the next hop's type: blackhole
    packed = [RTMSG.pack(*head, route_type, flags & LASTING_FLAGS)]
    for kind, value in attrs:
        plain = kind & NLA_TYPE_MASK
        if plain not in left_out:
            kept = _nexthops_as_added(value) if plain == RTA_MULTIPATH else value
            packed.append(pack_attribute(kind, kept))
    return b"".join(packed)


def _nexthops_as_added(data: bytes) -> bytes:
    changed, offset = bytearray(data), 0
    while offset + RTNEXTHOP.size <= len(data):
        length, flags, _, _ = RTNEXTHOP.unpack_from(data, offset)
        if not RTNEXTHOP.size <= length <= len(data) - offset:
            raise NetlinkError("the kernel's answer ends within a next hop")
        changed[offset + 2] = flags & LASTING_FLAGS
        offset += align(length)
    return bytes(changed)


def _gateway(attrs: dict[int, bytes]) -> IPv4Address | IPv6Address | None:
    packed = attrs.get(RTA_GATEWAY) or attrs.get(RTA_VIA, b"")[2:]  # rtvia: family, address
    if not packed:
        return None
    return IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed)


def _number(attrs: dict[int, bytes], kind: int) -> int:
    value = attrs.get(kind)
    return int(struct.unpack("=I", value)[0]) if value is not None else 0


def _text(value: bytes) -> str:
    return value.split(b"\0")[0].decode(errors="backslashreplace")
