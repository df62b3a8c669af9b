"""What wakes us, and what does not: a real kernel, in a namespace of its own."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator

import pytest

from rcnetd.core.actions import AddRoute
from rcnetd.core.model import Query, Route
from rcnetd.lab.topology import (
    GATEWAY,
    INTERNET,
    PUBLIC_ROUTER,
    SERVICENET_ROUTER,
    Namespace,
    Topology,
)
from rcnetd.netlink import monitor as module
from rcnetd.netlink.kernel import Kernel, NetlinkError
from rcnetd.netlink.monitor import Monitor
from rcnetd.netlink.socket import HEADER
from tests.netns.namespaces import readable
from tests.support.waiting import LONG, until

pytestmark = pytest.mark.netns

ETH1 = 3
OURS = AddRoute(ETH1, GATEWAY)


def quiet(monitor: Monitor) -> None:
    """Read on until nothing has come for a while: new links have news of their own."""
    while readable(monitor.fileno(), 0.05):
        monitor.drain()


@pytest.fixture
def monitor(server: Namespace) -> Iterator[Monitor]:
    """Subscribed in a server whose default route is ours alone, and quiet."""
    made = Monitor()
    kernel = Kernel()
    kernel.add_route(OURS)
    kernel.remove_route(kernel.read(Query()).defaults[0])
    server.ip(f"route add default via {PUBLIC_ROUTER} dev eth0 table 9")
    quiet(made)
    yield made
    made.close()


def ours(route: Route) -> bool:
    return (route.gateway, route.protocol) == (GATEWAY, 82)


def loses(kernel: Kernel) -> bool:
    """Whether our route is not what the kernel would use."""
    verdict = kernel.read(Query(destinations=(INTERNET,))).lookup(INTERNET)
    return verdict is None or (verdict.gateway, verdict.protocol) != (GATEWAY, 82)


LOSSES = {
    "deleted": ["route del default"],
    "link flap": ["link set eth1 down", "link set eth1 up"],
    "link down": ["link set eth1 down"],
    "address flush": ["address flush dev eth1"],
    "link removed": ["link del eth1"],
    "replaced": [f"route replace default via {SERVICENET_ROUTER} dev eth1 metric 1"],
    "lower metric": [f"route add default via {PUBLIC_ROUTER} dev eth0"],
    "policy rule": ["rule add priority 9 lookup 9"],
}


@pytest.mark.parametrize("commands", LOSSES.values(), ids=LOSSES)
def test_every_loss_wakes_us(monitor: Monitor, server: Namespace, commands: list[str]) -> None:
    """Whatever another agent does to our route, we wake, and reading shows it.

    The kernel says nothing of a route that goes with its link or its last address.
    """
    kernel = Kernel()
    assert not loses(kernel)
    server.ip(*commands)
    assert readable(monitor.fileno(), LONG)
    assert monitor.drain()
    assert loses(kernel)


def test_a_loss_by_the_source_address_wakes_us(monitor: Monitor, server: Namespace) -> None:
    """A route with `src` goes, silently, with that address."""
    server.ip(
        "address add 10.180.1.3/32 dev eth1",
        f"route add default via {GATEWAY} dev eth1 src 10.180.1.3 metric 0",
    )
    quiet(monitor)
    kernel = Kernel()
    assert len(kernel.read(Query()).defaults) == 2
    server.ip("address del 10.180.1.3/32 dev eth1")
    assert readable(monitor.fileno(), LONG)
    assert monitor.drain()
    assert len(kernel.read(Query()).defaults) == 1


def test_a_lost_address_wakes_us(monitor: Monitor, server: Namespace) -> None:
    """Without its subnet's address, while another address stays, the route stays and is dead."""
    server.ip("address add 192.0.2.1/32 dev eth1")
    quiet(monitor)
    server.ip("address del 10.180.1.2/19 dev eth1")
    assert readable(monitor.fileno(), LONG)
    assert monitor.drain()
    network = Kernel().read(Query())
    assert [ours(route) for route in network.defaults] == [True]
    assert "10.180.1.2" not in {str(entry.interface.ip) for entry in network.addresses}


def test_carrier_loss_wakes_us(topology: Topology, monitor: Monitor) -> None:
    """The route stays, flagged linkdown; the link has no carrier."""
    kernel = Kernel()
    topology.servicenet.ip("link set server down")
    assert readable(monitor.fileno(), LONG)
    assert monitor.drain()
    until(lambda: not kernel.read(Query()).links[2].carrier)
    network = kernel.read(Query())
    assert network.links[2].up
    assert [ours(route) for route in network.defaults] == [True]
    quiet(monitor)
    topology.servicenet.ip("link set server up")
    assert readable(monitor.fileno(), LONG)
    until(lambda: kernel.read(Query()).links[2].carrier)


CHANGED = {
    "carrier": (True, "link set eth1 down"),
    "name": (True, "link set eth0 alias other"),
    "address": (True, "address add 192.0.2.1/32 dev eth1"),
    "address gone": (True, "address flush dev eth1"),
    "link gone": (True, "link del eth1"),
    "route": (False, f"route add default via {PUBLIC_ROUTER} dev eth0"),
    "rule": (False, "rule add priority 9 lookup 9"),
}


@pytest.mark.parametrize(("expected", "command"), CHANGED.values(), ids=CHANGED)
def test_links_are_read_again_after_a_message_about_them(
    monitor: Monitor, server: Namespace, expected: bool, command: str
) -> None:
    """A route's message leaves what was read of links as good as new, any other one does not.

    Without a message they stay as they are: what a reading with them shows is the present.
    """
    query = Query(destinations=(INTERNET,), links=(ETH1,))
    kernel = Kernel(keep=True)
    kernel.read(query)
    monitor.links_changed = False
    server.ip(command)
    assert readable(monitor.fileno(), LONG)
    quiet(monitor)
    assert monitor.links_changed is expected
    after = kernel.read(query, links_changed=monitor.links_changed)
    fresh = Kernel().read(query)
    assert after == fresh
    kernel.close()


def test_what_was_kept_of_links_is_used(server: Namespace) -> None:
    """Without a message a reading asks for routes only; for other links it asks for all."""
    kernel = Kernel(keep=True)
    before = kernel.read(Query(links=(ETH1,)))
    server.ip("address flush dev eth1")
    assert kernel.read(Query(links=(ETH1,)), links_changed=False).addresses == before.addresses
    assert kernel.read(Query(links=(1, ETH1)), links_changed=False).own(ETH1) == ()
    assert kernel.read(Query(links=(ETH1,)), links_changed=True).addresses == ()
    kernel.close()


def test_our_own_change_wakes_us_too(monitor: Monitor) -> None:
    """There is no difference between our change and another's."""
    Kernel().add_route(AddRoute(ETH1, SERVICENET_ROUTER, metric=9))
    assert readable(monitor.fileno())
    assert monitor.drain()
    assert not monitor.drain()


def test_a_nexthop_object_that_vanishes_wakes_us(monitor: Monitor, server: Namespace) -> None:
    """Its routes go with it, and the kernel says nothing of them."""
    server.ip(
        f"nexthop add id 7 via {PUBLIC_ROUTER} dev eth0", "route add 192.0.2.0/24 nhid 7 metric 9"
    )
    quiet(monitor)
    monitor.links_changed = False
    server.ip("nexthop del id 7")
    assert readable(monitor.fileno(), LONG)
    assert monitor.drain()
    assert not monitor.links_changed


def test_other_routes_do_not_wake_us(monitor: Monitor, server: Namespace) -> None:
    """200 unrelated routes come and go: not once. Half of the internet, or a default: at once."""
    changes = [f"44.0.{n}.0/24 via {GATEWAY}" for n in range(200)]
    server.ip(*(f"route add {change}" for change in changes))
    server.ip(*(f"route del {change}" for change in changes))
    server.ip("route add 10.160.0.0/13 dev eth1")
    assert not readable(monitor.fileno())
    assert not monitor.drain()
    for wide in ("0.0.0.0/1", "10.176.0.0/12", f"default via {GATEWAY}"):
        server.ip(f"route add {wide} dev eth1 metric 77")
        assert readable(monitor.fileno())
        assert monitor.drain()


def test_ipv6_does_not_wake_us(monitor: Monitor, server: Namespace) -> None:
    """The guarded route is an IPv4 one."""
    server.ip("route add 2001:db8::/64 dev eth1")
    server.ip("route add default via 2001:db8::1 dev eth1")
    assert not readable(monitor.fileno())


def test_an_overrun_is_a_message(
    monitor: Monitor, server: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More messages than the buffer holds: read again, no error, and then go on as usual."""
    other = Monitor()
    for verb in ("add", "del"):
        server.ip(*(f"address {verb} 10.{n >> 8}.{n & 255}.1/32 dev lo" for n in range(1000)))
    with pytest.raises(OSError, match="No buffer space") as overrun:
        other._socket.recv(1)
    assert overrun.value.errno == errno.ENOBUFS
    other.close()
    with monkeypatch.context() as patch:
        patch.setattr(module, "MAX_MESSAGES", 1)  # the overrun itself, before any message
        assert monitor.drain()
    quiet(monitor)
    assert not monitor.drain()
    server.ip("route del default")
    assert monitor.drain()


def test_draining_is_bounded(
    monitor: Monitor, server: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flood cannot hold the loop: what is left makes the descriptor readable again."""
    monkeypatch.setattr(module, "MAX_MESSAGES", 2)
    server.ip(*(f"address add 192.0.2.{n}/32 dev lo" for n in range(1, 4)))
    assert monitor.drain()
    assert readable(monitor.fileno())
    assert monitor.drain()
    assert not readable(monitor.fileno())


def test_neighbours_wake_us_when_wanted(monitor: Monitor, server: Namespace) -> None:
    """Only while somebody waits for one."""

    def change(state: str) -> None:
        server.ip(f"neigh replace 10.180.9.9 dev eth1 lladdr 02:00:00:00:00:01 nud {state}")

    change("stale")
    assert not readable(monitor.fileno())
    for _ in range(2):
        monitor.watch_neighbours(True)
    change("reachable")
    assert monitor.drain()
    for _ in range(2):
        monitor.watch_neighbours(False)
    change("permanent")
    assert not monitor.drain()


def test_only_the_kernel_wakes_us(monitor: Monitor) -> None:
    """Another process may send to our port; that says nothing of the network."""
    port = monitor._socket.getsockname()[0]
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as other:
        other.sendto(HEADER.pack(HEADER.size, 16, 0, 0, 0), (port, 0))
    assert readable(monitor.fileno())
    assert not monitor.drain()
    assert not readable(monitor.fileno())


@pytest.mark.parametrize("call", ["socket", "setsockopt"])
def test_no_subscription_is_an_error(monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """Out of descriptors, forbidden by a sandbox: one plain line."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    if call == "socket":
        monkeypatch.setattr(socket, "socket", refuse)
    else:
        monkeypatch.setattr(module, "_attach_filter", refuse)
    expected = "^Failed to subscribe to the kernel's messages: Operation not permitted$"
    with pytest.raises(NetlinkError, match=expected):
        Monitor()
