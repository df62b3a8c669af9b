"""Reading and changing a real kernel, in a namespace of its own."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address

import pytest

from rcnetd.core.actions import AddRoute
from rcnetd.core.model import (
    METRIC,
    PROTOCOL,
    Address,
    Neighbour,
    Network,
    Query,
    Route,
    RouteLookup,
)
from rcnetd.lab.topology import (
    API,
    GATEWAY,
    INTERNET,
    PUBLIC,
    PUBLIC_MAC,
    PUBLIC_ROUTER,
    SERVICENET,
    SERVICENET_MAC,
    SERVICENET_ROUTER,
    Namespace,
    Topology,
)
from rcnetd.netlink import decode
from rcnetd.netlink import kernel as netlink
from rcnetd.netlink.kernel import Kernel, Monitor, NetlinkError
from rcnetd.netlink.monitor import RTNLGRP_IPV4_ROUTE
from rcnetd.netlink.socket import RTM_DELROUTE, RTM_NEWROUTE, messages, pack_attribute
from tests.netns.namespaces import open_descriptors, readable
from tests.support.waiting import until

pytestmark = pytest.mark.netns

ETH0, ETH1 = 2, 3  # the server's links: the first and the second after the loopback


@pytest.fixture(params=[False, True], ids=["", "keep"])
def kernel(request: pytest.FixtureRequest) -> Iterator[Kernel]:
    made = Kernel(keep=request.param)
    yield made
    made.close()


def routes(namespace: Namespace, *more: str) -> str:
    """All IPv4 routes of table main in every detail."""
    return namespace.run("ip", "-4", "-d", "route", "show", *more)


def defaults(kernel: Kernel) -> tuple[Route, ...]:
    return kernel.read(Query()).defaults


# Reading


def test_a_default_that_is_larger_than_the_kernel_lists_at_once(
    server: Namespace, kernel: Kernel
) -> None:
    """600 next hops: it is asked for again, with room enough."""
    (before,) = defaults(kernel)
    hop = decode.RTNEXTHOP.pack(16, 0, 0, ETH1) + pack_attribute(5, SERVICENET_ROUTER.packed)
    head = decode.RTMSG.pack(socket.AF_INET, 0, 0, 0, 254, 3, 0, 1, 0)
    metric = pack_attribute(decode.RTA_PRIORITY, (9).to_bytes(4, sys.byteorder))
    hops = pack_attribute(decode.RTA_MULTIPATH, hop * 600)
    kernel.restore_route(head + metric + hops)
    assert [0, 9] == [route.metric for route in defaults(kernel)]
    assert defaults(kernel)[0] == before


def test_the_server_as_it_boots(server: Namespace, kernel: Kernel) -> None:
    """Links, addresses, the default route and verdicts of a fresh RackConnect server."""
    network = kernel.read(Query(destinations=(INTERNET, API, GATEWAY)))
    assert [(e.ifindex, e.name, e.mac) for e in network.links] == [
        (1, "lo", ""),
        (ETH0, "eth0", PUBLIC_MAC),
        (ETH1, "eth1", SERVICENET_MAC),
    ]
    assert all(entry.up and entry.carrier for entry in network.links)
    assert Address(ETH0, PUBLIC) in network.addresses
    assert Address(ETH1, SERVICENET) in network.addresses
    (default,) = network.defaults
    assert (default.ifindex, default.gateway, default.metric) == (ETH0, PUBLIC_ROUTER, 0)
    outside, api, gateway = (verdict for _, verdict in network.lookups)
    assert outside is not None
    assert (outside.prefixlen, outside.ifindex, outside.gateway) == (0, ETH0, PUBLIC_ROUTER)
    assert api is not None
    assert (api.prefixlen, api.ifindex, api.gateway) == (12, ETH1, SERVICENET_ROUTER)
    assert gateway is not None
    assert (gateway.prefixlen, gateway.ifindex, gateway.gateway) == (19, ETH1, None)
    assert (network.neighbour, network.ipv6_defaults) == (None, ())


def test_an_empty_namespace(namespace: Namespace, kernel: Kernel) -> None:
    """No route and no default: no verdict, and no error either."""
    network = kernel.read(Query(destinations=(INTERNET,), neighbour=(7, GATEWAY), ipv6=True))
    assert network == Network(
        links=network.links,
        addresses=(Address(1, IPv4Interface("127.0.0.1/8")),),
        lookups=((INTERNET, RouteLookup(refusal="no route")),),
        neighbour=Neighbour.NONE,
    )


@pytest.mark.parametrize("name", ["a" * 15, "e%d", "ServiceNet-é", 'q"0\\', "bond0.4"])
def test_odd_link_names(namespace: Namespace, kernel: Kernel, name: str) -> None:
    """Anything up to 15 bytes without a slash or white space is a name."""
    namespace.run("ip", "link", "add", "plain", "type", "bridge")
    namespace.run("ip", "link", "set", "dev", "plain", "name", name)
    found = kernel.read(Query()).links[-1]
    # The kernel itself fills in a number for %d.
    assert (found.name, found.kind) == (name.replace("%d", "0"), "bridge")


def test_link_states(namespace: Namespace, kernel: Kernel) -> None:
    """Down, up without a carrier, up with one; the kind of each."""
    namespace.ip(
        "link add one address 02:00:00:AA:BB:01 type veth peer name two",
        "link add switch type bridge",
        "link add link one name over type macvlan",
    )

    def state(name: str) -> tuple[bool, bool, str | None]:
        network = kernel.read(Query())
        found = next(entry for entry in network.links if entry.name == name)
        return found.up, found.carrier, found.kind

    assert state("lo") == (True, True, "loopback")
    assert state("one") == (False, False, "veth")
    assert state("switch") == (False, False, "bridge")
    assert state("over") == (False, False, "macvlan")
    namespace.ip("link set one up")
    assert state("one") == (True, False, "veth")
    namespace.ip("link set two up")
    until(lambda: state("one") == (True, True, "veth"))
    macs = [entry.mac for entry in kernel.read(Query()).links if entry.name == "one"]
    assert macs == ["02:00:00:aa:bb:01"]


def test_addresses_of_all_kinds(namespace: Namespace, kernel: Kernel) -> None:
    """Secondary, of another scope, point-to-point: none is skipped, ours is the one shown."""
    namespace.ip(
        "link add one type veth peer name two",
        "address add 10.1.0.1/24 dev one",
        "address add 10.1.0.2/24 dev one",
        "address add 169.254.1.1/16 scope link dev one",
        "address add 10.2.0.1 peer 10.2.0.9/30 dev one",
        "address add 2001:db8::1/64 dev one",
    )
    found = [str(entry.interface) for entry in kernel.read(Query()).addresses if entry.ifindex != 1]
    assert sorted(found) == ["10.1.0.1/24", "10.1.0.2/24", "10.2.0.1/30", "169.254.1.1/16"]


def test_defaults_in_the_kernels_order(server: Namespace, kernel: Kernel) -> None:
    """By metric, of equal metrics the older first, other types of service before: `ip`'s order."""
    server.ip(
        f"route add default via {GATEWAY} dev eth1 metric 100 proto dhcp",
        f"route add default via {SERVICENET_ROUTER} dev eth1 metric 5",
        f"route append default via {GATEWAY} dev eth1 metric 5",
        f"route add default via {GATEWAY} dev eth1 tos 0x10 metric 300",
    )
    found = [(route.metric, route.gateway, route.tos) for route in defaults(kernel)]
    assert found == [
        (300, GATEWAY, 16),
        (0, PUBLIC_ROUTER, 0),
        (5, SERVICENET_ROUTER, 0),
        (5, GATEWAY, 0),
        (100, GATEWAY, 0),
    ]
    assert [route.protocol for route in defaults(kernel)] == [3, 3, 3, 3, 16]


def test_other_tables_are_not_read(server: Namespace, kernel: Kernel) -> None:
    """A default route of another table is no competitor; its rule shows in the verdict."""
    server.ip(
        f"route add default via {GATEWAY} table 1000",
        f"route add default via {GATEWAY} table default",
    )
    assert [route.gateway for route in defaults(kernel)] == [PUBLIC_ROUTER]
    server.ip("rule add priority 100 lookup 1000")
    network = kernel.read(Query(destinations=(INTERNET,)))
    assert [route.gateway for route in network.defaults] == [PUBLIC_ROUTER]
    verdict = network.lookup(INTERNET)
    assert verdict is not None
    assert (verdict.table, verdict.gateway, verdict.prefixlen) == (1000, GATEWAY, 0)


def test_half_the_world_hides_no_default(server: Namespace, kernel: Kernel) -> None:
    """A VPN's 0.0.0.0/1 comes first in the kernel's list: the defaults are still found."""
    server.ip(
        f"route add 0.0.0.0/1 via {GATEWAY}",
        f"route add 128.0.0.0/1 via {GATEWAY}",
        f"route add 0.0.0.0/8 via {GATEWAY}",
    )
    network = kernel.read(Query(destinations=(IPv4Address("99.1.1.1"), INTERNET)))
    assert [route.gateway for route in network.defaults] == [PUBLIC_ROUTER]
    assert [verdict.prefixlen for _, verdict in network.lookups if verdict] == [1, 1]


@pytest.mark.parametrize("kind", ["blackhole", "unreachable", "prohibit", "throw"])
def test_no_way_out_has_a_word(server: Namespace, kernel: Kernel, kind: str) -> None:
    """Routes that refuse packets are default routes: they may win."""
    server.ip("route del default", f"route add {kind} default metric 4")
    network = kernel.read(Query(destinations=(INTERNET,)))
    found = network.lookup(INTERNET)
    assert found is not None
    assert found.refusal == ("no route" if kind == "throw" else kind)
    (route,) = network.defaults
    assert (route.ifindex, route.gateway, route.metric, route.kind) == (None, None, 4, kind)


def test_a_verdict_of_many_next_hops(server: Namespace, kernel: Kernel) -> None:
    """Multipath: neither one link nor one gateway."""
    server.ip(
        f"route replace default nexthop via {PUBLIC_ROUTER} dev eth0 nexthop via {GATEWAY} dev eth1"
    )
    network = kernel.read(Query(destinations=(INTERNET,)))
    verdict = network.lookup(INTERNET)
    assert verdict is not None
    assert (verdict.prefixlen, verdict.ifindex, verdict.gateway) == (0, None, None)
    assert (network.defaults[0].ifindex, network.defaults[0].gateway) == (None, None)


def test_ipv6_defaults(server: Namespace, kernel: Kernel) -> None:
    """Only when asked for, and only those that lead somewhere."""
    server.ip(
        "address add 2001:db8::10/64 dev eth0 nodad",
        "route add default via 2001:db8::1 dev eth0 metric 1024",
        "route add 2001:db8:5::/48 via 2001:db8::1",
        "route add unreachable default metric 2000",
        "route add default via 2001:db8::1 dev eth0 table 77",
    )
    assert kernel.read(Query()).ipv6_defaults == ()
    (route,) = kernel.read(Query(ipv6=True)).ipv6_defaults
    assert (route.ifindex, route.gateway) == (ETH0, IPv6Address("2001:db8::1"))
    before = server.run("ip", "-6", "route")
    kernel.remove_route(route)
    kernel.remove_route(route)
    assert kernel.read(Query(ipv6=True)).ipv6_defaults == ()
    kernel.restore_route(route.raw)
    assert server.run("ip", "-6", "route") == before


def test_a_route_of_an_advertisement_comes_back_with_its_lifetime(
    server: Namespace, kernel: Kernel
) -> None:
    """Without one it would outlive its router."""
    server.ip("address add 2001:db8::10/64 dev eth0 nodad")
    words = "default via 2001:db8::1 dev eth0 proto ra metric 1024 expires 600 pref high"
    server.run("ip", "-6", "route", "add", *words.split())
    (route,) = kernel.read(Query(ipv6=True)).ipv6_defaults
    assert 590 <= route.expires <= 600
    kernel.remove_route(route)
    kernel.restore_route(route.raw, route.expires)

    (back,) = kernel.read(Query(ipv6=True)).ipv6_defaults
    assert (back.raw, back.protocol) == (route.raw, route.protocol)
    assert route.expires - 2 <= back.expires <= route.expires


def test_a_host_with_many_routes_costs_no_more(server: Namespace, kernel: Kernel) -> None:
    """The reading stops behind the defaults: ten times the routes take the same time."""

    def add(first: int, last: int) -> float:
        """Add routes; returns how long a reading takes then."""
        server.ip(*(f"route add 44.{n >> 8}.{n & 255}.0/24 dev eth1" for n in range(first, last)))
        return min(_seconds(lambda: kernel.read(Query())) for _ in range(20))

    few = add(0, 1_000)
    assert add(1_000, 10_000) < 2 * few  # the whole list takes ten times as long
    assert len(defaults(kernel)) == 1


def _seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def test_links_and_addresses_in_many_parts(namespace: Namespace, kernel: Kernel) -> None:
    """What does not fit into one datagram comes in several."""
    namespace.ip(
        *(f"link add bridge{n} type bridge" for n in range(60)),
        *(f"address add 10.{n}.0.1/24 dev bridge{n}" for n in range(60)),
    )
    network = kernel.read(Query())
    assert (len(network.links), len(network.addresses)) == (61, 61)


# Changing


def ours(**changes: object) -> AddRoute:
    """Our default route, or another by *changes*."""
    values: dict[str, object] = {"ifindex": ETH1, "gateway": GATEWAY, **changes}
    return AddRoute(**values)  # type: ignore[arg-type]


def test_our_route_comes_beside_the_others(server: Namespace, kernel: Kernel) -> None:
    """Table main, metric 1, protocol 82; what was there stays; twice is once."""
    kernel.add_route(ours())
    kernel.add_route(ours())
    first, second = defaults(kernel)
    assert (first.gateway, first.metric) == (PUBLIC_ROUTER, 0)
    assert (second.gateway, second.metric, second.protocol) == (GATEWAY, METRIC, PROTOCOL)
    assert f"default via {GATEWAY} dev eth1 proto 82 metric 1" in server.ip("route")
    kernel.remove_route(first)
    verdict = kernel.read(Query(destinations=(INTERNET,))).lookup(INTERNET)
    assert verdict is not None
    assert (verdict.gateway, verdict.protocol) == (GATEWAY, PROTOCOL)


def test_another_route_of_our_metric_survives(server: Namespace, kernel: Kernel) -> None:
    """Appended, never replaced: a foreign default of metric 1 stays, and shows as the winner."""
    server.ip(f"route add default via {SERVICENET_ROUTER} dev eth1 metric 1")
    kernel.add_route(ours())
    assert [route.gateway for route in defaults(kernel)] == [
        PUBLIC_ROUTER,
        SERVICENET_ROUTER,
        GATEWAY,
    ]


def test_a_servicenet_route(server: Namespace, kernel: Kernel) -> None:
    """Also another destination than the default."""
    server.ip("route del 10.208.0.0/12")
    kernel.add_route(ours(gateway=SERVICENET_ROUTER, destination=IPv4Network("10.208.0.0/12")))
    verdict = kernel.read(Query(destinations=(API,))).lookup(API)
    assert verdict is not None
    assert (verdict.prefixlen, verdict.gateway, verdict.protocol) == (12, SERVICENET_ROUTER, 82)


def test_a_gateway_outside_the_subnet(server: Namespace, kernel: Kernel) -> None:
    """The kernel refuses it in its own words, unless it is said to be on the link."""
    outside = IPv4Address("192.0.2.99")
    server.ip("route del default")
    expected = r"^Failed to add the route default via 192.0.2.99: Nexthop has invalid gateway$"
    with pytest.raises(NetlinkError, match=expected):
        kernel.add_route(ours(gateway=outside))
    kernel.add_route(ours(gateway=outside, onlink=True))
    assert "onlink" in server.ip("route show default")


def test_a_link_that_is_down_or_gone(server: Namespace, kernel: Kernel) -> None:
    """One plain line."""
    server.ip("link set eth1 down")
    with pytest.raises(NetlinkError, match="Failed to add the route default via"):
        kernel.add_route(ours())
    with pytest.raises(NetlinkError, match="Failed to add the route default via"):
        kernel.add_route(ours(ifindex=99))


def test_removing_takes_exactly_this_route(server: Namespace, kernel: Kernel) -> None:
    """Of two that differ in one point only the right one goes; a gone one is no error."""
    server.ip(
        f"route add default via {GATEWAY} dev eth1 metric 7",
        f"route append default via {GATEWAY} dev eth1 metric 7 proto dhcp",
        f"route append default via {SERVICENET_ROUTER} dev eth1 metric 7",
    )
    middle = defaults(kernel)[2]
    assert middle.protocol == 16
    kernel.remove_route(middle)
    kernel.remove_route(middle)
    assert [(route.gateway, route.protocol) for route in defaults(kernel)] == [
        (PUBLIC_ROUTER, 3),
        (GATEWAY, 3),
        (SERVICENET_ROUTER, 3),
    ]


def test_removing_after_the_link_is_gone(server: Namespace, kernel: Kernel) -> None:
    """The route went with the link: no error."""
    (route,) = defaults(kernel)
    server.ip("link del eth0")
    kernel.remove_route(route)


ROUTES = [
    "via 10.180.31.254 metric 5 mtu 1400 advmss 1300 initcwnd 4",
    "metric 6 nexthop via 10.180.31.254 dev eth1 weight 3 nexthop via 192.0.2.1 dev eth0 onlink",
    "via inet6 fe80::1 dev eth1 metric 7",
    "via 10.180.31.254 src 10.180.1.2 metric 8",
    "via 10.180.31.254 metric 9 realm 7",
    "via 10.180.31.254 tos 0x10 metric 10",
    "dev eth1 scope link metric 11",
    "via 192.0.2.9 dev eth1 onlink metric 12",
    "via 10.180.31.254 metric 13 congctl cubic features ecn quickack 1 rto_min 30ms",
    "via 10.180.31.254 metric 14 mtu lock 1200 proto dhcp",
    "metric 15 nexthop via inet6 fe80::2 dev eth1 nexthop via 10.180.0.1 dev eth1 realm 3",
    "nhid 5 metric 16",
    "nhid 6 metric 17",
    "nhid 8 metric 18",
]
NEXT_HOPS = [
    "nexthop add id 5 via 10.180.31.250 dev eth1",
    "nexthop add id 6 blackhole",
    "nexthop add id 7 via 10.180.31.251 dev eth1",
    "nexthop add id 8 group 5/7",
]


def test_every_kind_of_route_comes_back_as_it_was(server: Namespace, kernel: Kernel) -> None:
    """Metrics, multipath, IPv6 gateways, next hop objects…: removed and put back, in order."""
    server.ip(*NEXT_HOPS)
    for words in ROUTES:
        server.run("ip", "-4", "route", "add", "default", *words.split())
    for kind in ("blackhole", "unreachable", "prohibit", "throw"):
        server.ip(f"route add {kind} default metric 2{len(kind)}")
    server.ip(f"route append default via {SERVICENET_ROUTER} dev eth1 metric 5")
    before = routes(server)
    found = defaults(kernel)
    assert len(found) == 1 + len(ROUTES) + 4 + 1
    for left, route in enumerate(reversed(found)):
        assert len(defaults(kernel)) == len(found) - left
        kernel.remove_route(route)
    assert defaults(kernel) == ()
    for route in found:
        kernel.restore_route(route.raw)
        kernel.restore_route(route.raw)
    until(lambda: routes(server) == before)  # the kernel is late with `linkdown`
    assert defaults(kernel) == found


def test_a_tunnelled_default_comes_back(server: Namespace, kernel: Kernel) -> None:
    """Lightweight tunnels (`encap`) are nested twice."""
    server.ip("route add default encap ip id 5 dst 10.180.0.1 dev eth1 metric 18")
    before, route = routes(server), defaults(kernel)[-1]
    kernel.remove_route(route)
    assert len(defaults(kernel)) == 1
    kernel.restore_route(route.raw)
    assert routes(server) == before


def test_a_route_that_was_dead_comes_back(
    topology: Topology, server: Namespace, kernel: Kernel
) -> None:
    """Recorded while the cable was out, its flags would make the kernel refuse it."""
    server.ip(
        "route add default metric 6"
        f" nexthop via {PUBLIC_ROUTER} dev eth0 nexthop via {GATEWAY} dev eth1"
    )
    before = routes(server)
    topology.public_router.ip("link set server down")
    until(lambda: "linkdown" in routes(server))
    found = defaults(kernel)
    for route in found:
        kernel.remove_route(route)
    topology.public_router.ip("link set server up")
    until(lambda: kernel.read(Query()).links[1].carrier and "linkdown" not in routes(server))
    for route in found:
        kernel.restore_route(route.raw)
    assert routes(server) == before


def test_make_before_break(server: Namespace, kernel: Kernel) -> None:
    """Ours added, then the other removed: a witness sees them in this order, and nothing else."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as witness:
        witness.bind((0, 1 << RTNLGRP_IPV4_ROUTE - 1))
        kernel.add_route(ours())
        kernel.remove_route(defaults(kernel)[0])
        seen = []
        while readable(witness.fileno()):
            for message in messages(witness.recv(65536)):
                seen.append((message.kind, decode.route(message.payload).gateway))
    assert seen == [(RTM_NEWROUTE, GATEWAY), (RTM_DELROUTE, PUBLIC_ROUTER)]


def test_taking_a_link_down(server: Namespace, kernel: Kernel) -> None:
    """No address of either family, no route, not up; another link keeps everything."""
    server.set(ipv6__conf__eth0__keep_addr_on_down=1)
    server.ip(
        "address add 203.0.113.11/24 dev eth0",
        "address add 203.0.113.12/32 dev eth0",
        "address add 2001:db8::10/64 dev eth0 nodad",
    )
    kernel.add_route(ours())
    kernel.take_link_down(ETH0)
    network = kernel.read(Query())
    public = network.link(ETH0)
    assert public is not None
    assert not public.up
    assert "inet" not in server.ip("address show dev eth0")
    assert {entry.ifindex for entry in network.addresses} == {1, ETH1}
    assert [route.gateway for route in network.defaults] == [GATEWAY]
    kernel.take_link_down(ETH0)


def test_a_link_that_is_gone_is_down(namespace: Namespace, kernel: Kernel) -> None:
    """Nothing left to do is no error."""
    kernel.take_link_down(99)


# Neighbours


WRONG_MAC = "02:00:00:00:00:99"


class Neighbours:
    """The server's view of two addresses on ServiceNet, one alive and one dead."""

    def __init__(self, kernel: Kernel, server: Namespace) -> None:
        self.dead = IPv4Address("10.180.31.253")
        self._kernel = kernel
        self._server = server
        self._monitor = Monitor()
        self._monitor.watch_neighbours(True)

    def state(self, address: IPv4Address) -> Neighbour | None:
        return self._kernel.read(Query(neighbour=(ETH1, address))).neighbour

    def believe(self, address: IPv4Address, state: str, mac: str = WRONG_MAC) -> None:
        """Have the kernel believe something of an address."""
        self._server.ip(f"neigh replace {address} dev eth1 lladdr {mac} nud {state}")

    def forget(self, address: IPv4Address) -> None:
        """Have no entry for an address."""
        self._server.ip(f"neigh del {address} dev eth1")

    def lookup(self, address: IPv4Address) -> tuple[Neighbour | None, float]:
        """Probe and wait, by the monitor alone, for an answer or silence; with the time it took."""
        started = time.monotonic()
        self._kernel.probe_neighbour(ETH1, address)
        while self.state(address) not in (Neighbour.REACHABLE, Neighbour.FAILED):
            assert readable(self._monitor.fileno(), 10.0), "nothing woke us"
            self._monitor.drain()
        return self.state(address), time.monotonic() - started

    def close(self) -> None:
        self._monitor.close()


@pytest.fixture
def neighbours(kernel: Kernel, server: Namespace) -> Iterator[Neighbours]:
    made = Neighbours(kernel, server)
    yield made
    made.close()


@pytest.mark.parametrize("believed", ["", "stale", "delay", "reachable", "probe", "failed"])
def test_a_live_gateway_answers_at_once(
    topology: Topology, neighbours: Neighbours, believed: str
) -> None:
    """Whatever the kernel believed: asked anew, answered in milliseconds."""
    if believed:
        with topology.gateway:
            links = Kernel().read(Query()).links
        (mac,) = (entry.mac for entry in links if entry.name == "eth1")
        neighbours.believe(GATEWAY, believed, mac)
    state, took = neighbours.lookup(GATEWAY)
    assert state is Neighbour.REACHABLE
    assert took < 0.5


def test_a_gateway_with_a_new_mac(neighbours: Neighbours) -> None:
    """The old MAC is asked first: silence, after which everybody is asked, and it answers."""
    neighbours.believe(GATEWAY, "stale")
    assert neighbours.lookup(GATEWAY)[0] is Neighbour.FAILED
    state, took = neighbours.lookup(GATEWAY)
    assert state is Neighbour.REACHABLE
    assert took < 0.5


def test_a_dead_gateway_is_found_out(neighbours: Neighbours) -> None:
    """Never seen: FAILED after three questions; asked again: three more."""
    assert neighbours.state(neighbours.dead) is Neighbour.NONE
    for _ in range(2):
        state, took = neighbours.lookup(neighbours.dead)
        assert state is Neighbour.FAILED
        assert 2.0 < took < 4.5


def test_a_stale_entry_is_not_believed(neighbours: Neighbours) -> None:
    """It answered once and is dead now: FAILED after 3 s, not after the kernel's own 8 s."""
    neighbours.believe(neighbours.dead, "stale")
    assert neighbours.state(neighbours.dead) is Neighbour.STALE
    state, took = neighbours.lookup(neighbours.dead)
    assert state is Neighbour.FAILED
    assert took < 4.5


@pytest.mark.parametrize("state", ["permanent", "noarp"])
def test_a_fixed_entry_stays(neighbours: Neighbours, server: Namespace, state: str) -> None:
    """An administrator's own entry answers by definition and is left as it is."""
    neighbours.believe(neighbours.dead, state)
    before = server.ip("neigh show dev eth1")
    assert neighbours.lookup(neighbours.dead)[0] is Neighbour.REACHABLE
    assert server.ip("neigh show dev eth1") == before


def test_probing_needs_no_route(neighbours: Neighbours, kernel: Kernel, server: Namespace) -> None:
    """The gateway is asked for on the link also where no route leads to it: no packet is sent."""
    server.ip("address flush dev eth1")
    server.ip("address add 10.180.1.2/32 dev eth1")
    assert neighbours.lookup(GATEWAY)[0] is Neighbour.REACHABLE


def test_an_entry_that_goes_just_before_it_is_probed(
    neighbours: Neighbours, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen as STALE, gone or failed when it is to be probed: then it is asked for anew."""
    for believed in ("", "failed"):
        if believed:
            neighbours.believe(GATEWAY, believed)
        with monkeypatch.context() as patch:
            patch.setattr(netlink, "_neighbour_state", lambda *_: decode.NUD_STALE)
            Kernel().probe_neighbour(ETH1, GATEWAY)
        until(lambda: neighbours.state(GATEWAY) is Neighbour.REACHABLE)
        neighbours.forget(GATEWAY)


def test_probing_on_a_link_that_is_gone(namespace: Namespace, kernel: Kernel) -> None:
    """One plain line."""
    with pytest.raises(NetlinkError, match="on link 99: No such device"):
        kernel.probe_neighbour(99, GATEWAY)


def test_nothing_leaks(server: Namespace, kernel: Kernel) -> None:
    """Every call leaves as many descriptors as it found, or `close` does."""
    before = open_descriptors()
    for _ in range(5):
        kernel.read(Query(destinations=(INTERNET,), neighbour=(ETH1, GATEWAY), ipv6=True))
        kernel.add_route(ours())
        kernel.probe_neighbour(ETH1, GATEWAY)
        with pytest.raises(NetlinkError):
            kernel.add_route(ours(ifindex=99))
    kernel.close()
    assert open_descriptors() == before
