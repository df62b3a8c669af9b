"""Answers into values; pyroute2's encoder is the second opinion on the wire format."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Interface, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

from rcnetd.core.model import Address, Link, Route, RouteLookup
from rcnetd.netlink import decode as decoding
from rcnetd.netlink import pyroute2
from rcnetd.netlink.decode import RTMSG
from rcnetd.netlink.socket import NetlinkError, attribute_map, body, pack_attribute
from tests.support.fuzzing import fuzz

DECODERS: list[Callable[[bytes], object]] = [
    decoding.link,
    decoding.address,
    decoding.route,
    decoding.lookup,
    decoding.neighbour_state,
    decoding.prefixlen,
    decoding.destination,
    decoding.as_added,
]


def test_link() -> None:
    """Index, name, MAC in lower case, flags and kind."""
    data = body(
        ifinfmsg,
        ("IFLA_IFNAME", "eth1"),
        ("IFLA_ADDRESS", "BC:76:4E:20:00:11"),
        ("IFLA_LINKINFO", {"attrs": [["IFLA_INFO_KIND", "bridge"]]}),
        index=3,
        flags=0x10043,
    )
    assert decoding.link(data) == Link(3, "eth1", "bc:76:4e:20:00:11", True, True, "bridge")


def test_a_link_without_much() -> None:
    """No MAC (a tunnel), all zeros (loopback), no kind (a physical link), not up."""
    data = body(ifinfmsg, ("IFLA_IFNAME", "tun0"), index=9, flags=0x10000)
    assert decoding.link(data) == Link(9, "tun0", "", up=False, carrier=False, kind=None)
    data = body(ifinfmsg, ("IFLA_ADDRESS", "00:00:00:00:00:00"), index=1, flags=0x10049)
    assert decoding.link(data) == Link(1, "", "", up=True, carrier=True)


def test_carrier_needs_the_link_up() -> None:
    """A link that is set down has no carrier, whatever the cable says."""
    for flags, carrier in ((0x1, False), (0x10000, False), (0x10001, True), (0x0, False)):
        assert decoding.link(body(ifinfmsg, flags=flags)).carrier is carrier


def test_a_strange_name_survives() -> None:
    """A name that is no UTF-8 can still be logged and written as JSON."""
    data = body(ifinfmsg) + pack_attribute(3, b"e\xff%\0")
    assert decoding.link(data).name == "e\\xff%"


def test_address() -> None:
    """The address with its prefix; on a point-to-point link ours, not the peer's."""
    local = ("IFA_LOCAL", "10.180.1.2")
    plain = body(
        pyroute2.ifaddrmsg, ("IFA_ADDRESS", "10.180.1.2"), local, family=2, prefixlen=19, index=3
    )
    assert decoding.address(plain) == Address(3, IPv4Interface("10.180.1.2/19"))
    peer = body(
        pyroute2.ifaddrmsg, ("IFA_ADDRESS", "10.9.9.9"), local, family=2, prefixlen=32, index=3
    )
    assert decoding.address(peer) == Address(3, IPv4Interface("10.180.1.2/32"))


def default_route(*attrs: tuple[str, object], **fields: int) -> bytes:
    """A default route as the kernel lists it."""
    usual = {"family": socket.AF_INET, "table": 254, "proto": 16, "type": 1}
    return body(pyroute2.rtmsg, *attrs, **{**usual, **fields})


def test_route() -> None:
    """Link, gateway, metric, protocol and type of service."""
    data = default_route(
        ("RTA_OIF", 3), ("RTA_GATEWAY", "10.180.31.254"), ("RTA_PRIORITY", 100), tos=16
    )
    expected = Route(3, IPv4Address("10.180.31.254"), 100, 16, tos=16, raw=data)
    assert decoding.route(data) == expected


def test_a_route_without_a_metric_has_metric_0() -> None:
    """The kernel leaves the attribute out."""
    assert decoding.route(default_route(("RTA_OIF", 3))).metric == 0


def test_ipv6_gateways() -> None:
    """An IPv6 default route, and an IPv4 one whose gateway has an IPv6 address (RTA_VIA)."""
    data = default_route(("RTA_GATEWAY", "fe80::1"), ("RTA_OIF", 2), family=socket.AF_INET6)
    assert decoding.route(data).gateway == IPv6Address("fe80::1")
    via = struct.pack("=H", socket.AF_INET6) + IPv6Address("fe80::2").packed
    data = default_route(("RTA_OIF", 2)) + pack_attribute(decoding.RTA_VIA, via)
    assert decoding.route(data).gateway == IPv6Address("fe80::2")


def test_a_blackhole_leads_nowhere() -> None:
    """No link and no gateway, also where the kernel names its loopback link."""
    route = decoding.route(default_route(("RTA_OIF", 1), ("RTA_PRIORITY", 7), type=6))
    assert (route.ifindex, route.gateway, route.metric) == (None, None, 7)


def test_what_is_of_the_moment_is_cleared() -> None:
    """Dead, linkdown and offload flags and the cache information go; on-link stays."""
    data = default_route(("RTA_OIF", 3), flags=0x4000 | 0x10 | 0x4 | 0x1)
    data += pack_attribute(decoding.RTA_CACHEINFO, bytes(32))
    assert decoding.as_added(data) == default_route(("RTA_OIF", 3), flags=0x4)


def test_flags_of_every_next_hop_are_cleared() -> None:
    """A multipath route's flags of the moment are inside, one set for each next hop."""
    gateway = pack_attribute(decoding.RTA_GATEWAY, IPv4Address("10.1.2.3").packed)
    hops = [struct.pack("=HBBi", 8 + len(gateway), flags, 2, 3) + gateway for flags in (0x15, 0x11)]
    data = default_route() + pack_attribute(decoding.RTA_MULTIPATH, b"".join(hops))
    kept = attribute_map(decoding.as_added(data), RTMSG.size)[decoding.RTA_MULTIPATH]
    assert (kept[2], kept[len(hops[0]) + 2]) == (0x4, 0)
    assert len(kept) == len(b"".join(hops))
    assert decoding.route(data).ifindex is None


def test_a_next_hop_object_is_kept_by_its_number() -> None:
    """The kernel lists the object's content too, and would refuse both together."""
    data = default_route(("RTA_OIF", 3), ("RTA_GATEWAY", "10.1.2.3"), ("RTA_PRIORITY", 5), type=6)
    data += pack_attribute(decoding.RTA_NH_ID, struct.pack("=I", 8))
    kept = attribute_map(decoding.as_added(data), RTMSG.size)
    assert set(kept) == {decoding.RTA_PRIORITY, decoding.RTA_NH_ID}
    assert decoding.as_added(data)[7] == decoding.RTN_UNICAST


def test_verdict() -> None:
    """The matching entry: prefix length, link, gateway, metric, protocol and table."""
    data = default_route(("RTA_OIF", 3), ("RTA_GATEWAY", "10.1.2.3"), ("RTA_PRIORITY", 1), proto=82)
    assert decoding.lookup(data) == RouteLookup(0, 3, IPv4Address("10.1.2.3"), 1, 82, 254)
    data = default_route(("RTA_TABLE", 1000), dst_len=1, table=252)
    assert decoding.lookup(data) == RouteLookup(1, None, None, 0, 16, 1000)


def test_a_verdict_by_an_ipv6_gateway_has_none() -> None:
    """No RackConnect gateway has one."""
    via = struct.pack("=H", socket.AF_INET6) + IPv6Address("fe80::2").packed
    data = default_route(("RTA_OIF", 2)) + pack_attribute(decoding.RTA_VIA, via)
    assert decoding.lookup(data).gateway is None


def test_neighbour() -> None:
    """The state's number, which `NEIGHBOURS` names."""
    assert decoding.neighbour_state(body(pyroute2.ndmsg, ifindex=3, state=0x20)) == 0x20
    assert len(decoding.NEIGHBOURS) == 8


@pytest.mark.parametrize("decode", DECODERS, ids=lambda decode: str(decode.__name__))
@fuzz(200)
@given(data=st.binary(max_size=100))
def test_hostile_bytes_raise_nothing_but_netlink_errors(
    decode: Callable[[bytes], object], data: bytes
) -> None:
    """Whatever comes, it is a value or a NetlinkError."""
    with contextlib.suppress(NetlinkError):
        decode(data)


WELL_FORMED = st.lists(
    st.tuples(
        st.sampled_from([1, 2, 3, 4, 5, 6, 9, 12, 15, 18, 30, 0x8009]), st.binary(max_size=20)
    ),
    max_size=6,
)


@pytest.mark.parametrize("decode", DECODERS, ids=lambda decode: str(decode.__name__))
@fuzz(200)
@given(head=st.binary(min_size=16, max_size=16), attrs=WELL_FORMED)
def test_hostile_attributes_raise_nothing_but_netlink_errors(
    decode: Callable[[bytes], object], head: bytes, attrs: list[tuple[int, bytes]]
) -> None:
    """Well-formed attributes with any content reach deeper than random bytes do."""
    packed = b"".join(pack_attribute(kind, value) for kind, value in attrs)
    for size in (8, 12, 16):
        with contextlib.suppress(NetlinkError):
            decode(head[:size] + packed)
