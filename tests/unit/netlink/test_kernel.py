"""Reading this machine's own network without any privilege, and what goes wrong in a reading."""

from __future__ import annotations

import errno
from collections.abc import Callable
from ipaddress import IPv4Address

import pytest
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

from rcnetd.core.model import Network, Query, Route
from rcnetd.netlink import kernel as netlink
from rcnetd.netlink.kernel import MAX_READINGS, Kernel, Monitor, NetlinkError
from rcnetd.netlink.pyroute2 import ifaddrmsg, ndmsg, rtmsg
from rcnetd.netlink.socket import Interrupted, NetlinkSocket, body

LOOPBACK = IPv4Address("127.0.0.1")


def test_read_needs_no_privilege() -> None:
    """The network of this machine, with a verdict for its loopback address."""
    network = Kernel().read(Query(destinations=(LOOPBACK,), neighbour=(1, LOOPBACK), ipv6=True))
    lo = network.link(1)
    assert lo is not None
    assert lo.name == "lo"
    verdict = network.lookup(LOOPBACK)
    assert verdict is None or verdict.ifindex == 1


def failing(times: int, error: NetlinkError) -> Callable[..., Network]:
    """A reading that fails so many times."""
    left = [error] * times

    def read(*_: object) -> Network:
        if left:
            raise left.pop()
        return Network()

    return read


def test_a_reading_that_was_interrupted_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel says when a list changed while it was made."""
    monkeypatch.setattr(netlink, "_read", failing(MAX_READINGS - 1, Interrupted("changed")))
    assert Kernel().read(Query()) == Network()


def test_readings_are_repeated_a_few_times_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A state that never holds still must not hold the daemon."""
    monkeypatch.setattr(netlink, "_read", failing(MAX_READINGS, Interrupted("changed")))
    with pytest.raises(NetlinkError, match="it keeps changing"):
        Kernel().read(Query())


def test_an_error_is_one_line_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was tried, and the kernel's words; the number for whoever has to decide by it."""
    error = NetlinkError("No buffer space available", errno.ENOBUFS)
    monkeypatch.setattr(netlink, "_read", failing(1, error))
    with pytest.raises(NetlinkError) as raised:
        Kernel().read(Query())
    assert str(raised.value) == "Failed to read the network's state: No buffer space available"
    assert raised.value.code == errno.ENOBUFS


def test_a_question_that_is_refused_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    """ "No route" is an answer; "what do you want?" is an error, also by the same number."""

    def refuse(_: object, __: int, payloads: list[bytes]) -> list[NetlinkError]:
        error = NetlinkError("Invalid values in header for get request", errno.EINVAL)
        return [error for _ in payloads]

    monkeypatch.setattr(NetlinkSocket, "get_each", refuse)
    with pytest.raises(NetlinkError, match="Invalid values in header"):
        Kernel().read(Query(destinations=(LOOPBACK,)))
    with pytest.raises(NetlinkError, match="Invalid values in header"):
        Kernel().read(Query(neighbour=(1, LOOPBACK)))


def test_a_link_that_goes_while_it_is_read_has_no_addresses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The kernel's ENODEV; any other error is one."""
    codes = [errno.EIO, errno.ENODEV]

    def vanish(*_: object) -> None:
        raise NetlinkError("No such device", codes.pop())

    monkeypatch.setattr(NetlinkSocket, "change", lambda *_: None)
    monkeypatch.setattr(NetlinkSocket, "dump", vanish)
    with pytest.raises(NetlinkError, match="Failed to set link 99 down"):
        Kernel().take_link_down(99)
    assert codes == []


@pytest.mark.parametrize("code", [errno.EPERM, errno.EACCES, errno.EIO])
def test_what_was_to_be_changed_is_named(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """In `ip route`'s words."""

    def refuse(*_: object) -> None:
        raise NetlinkError("Operation not permitted", code)

    monkeypatch.setattr(NetlinkSocket, "change", refuse)
    route = Route(3, IPv4Address("10.1.2.3"), metric=5, protocol=3)
    expected = "^Failed to remove the route default via 10.1.2.3 metric 5: Operation not permitted$"
    with pytest.raises(NetlinkError, match=expected):
        Kernel().remove_route(route)


def test_questions_are_as_pyroute2_writes_them() -> None:
    """They are packed by hand, so that they need not wait for pyroute2."""
    to, source = IPv4Address("198.41.0.4"), IPv4Address("10.180.1.2")
    lookup: dict[str, int] = {"family": 2, "dst_len": 32, "flags": 0x3000}
    dst, src = ("RTA_DST", str(to)), ("RTA_SRC", str(source))
    assert netlink._lookup_body(to, None) == body(rtmsg, dst, **lookup)
    assert netlink._lookup_body(to, source) == body(rtmsg, dst, src, src_len=32, **lookup)
    assert netlink._routes_body(2) == body(rtmsg, family=2, table=254)
    assert netlink._routes_body(10) == body(rtmsg, family=10, table=254, type=1)
    assert netlink._addresses_body(7) == body(ifaddrmsg, family=2, index=7)
    assert netlink._neighbour_body(7, to) == body(ndmsg, ("NDA_DST", str(to)), family=2, ifindex=7)


def test_nothing_stays_open() -> None:
    """The monitor holds one descriptor until it is closed."""
    monitor = Monitor()
    assert monitor.fileno() >= 0
    assert not monitor.drain()
    monitor.close()
    assert monitor.fileno() == -1


def test_links_are_asked_for_as_pyroute2_would() -> None:
    """Its class for links is not loaded."""
    assert netlink._links_body() == body(ifinfmsg, ("IFLA_EXT_MASK", 8))
    assert netlink._link_body(index=7, change=1) == body(ifinfmsg, index=7, change=1)
