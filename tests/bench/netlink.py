"""Netlink for benchmarks: many changes in one system call, and who sees a route come."""

from __future__ import annotations

import contextlib
import select
import socket
import time
from ipaddress import IPv4Network

from rcnetd.core.model import TABLE_MAIN
from rcnetd.lab.topology import GATEWAY, Namespace
from rcnetd.netlink import pyroute2
from rcnetd.netlink import socket as rtnetlink
from tests.bench.lab import PATIENCE

RTNLGRP_IPV4_ROUTE = 7  # linux/rtnetlink.h
RTA_GATEWAY = 5
BOOT = 3  # RTPROT_BOOT
RECEIVE = 8 * 1024 * 1024  # bytes


def route(network: str, ifindex: int, gateway: str, *, metric: int = 0, proto: int = BOOT) -> bytes:
    """The body of a message about a route."""
    net = IPv4Network(network)
    attrs: list[tuple[str, object]] = [("RTA_OIF", ifindex), ("RTA_GATEWAY", gateway)]
    if net.prefixlen:
        attrs.append(("RTA_DST", str(net.network_address)))
    if metric:
        attrs.append(("RTA_PRIORITY", metric))
    return rtnetlink.body(
        pyroute2.rtmsg,
        *attrs,
        family=socket.AF_INET,
        dst_len=net.prefixlen,
        table=TABLE_MAIN,
        proto=proto,
        type=1,
    )


class Batch:
    """Messages for the kernel of a namespace, sent in one system call; refusals are not read."""

    def __init__(self, namespace: Namespace) -> None:
        with namespace:
            self._socket = socket.socket(
                socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
            )
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, RECEIVE)
        self._socket.bind((0, 0))
        self._messages = b""

    def add(self, kind: int, payload: bytes) -> None:
        """One message more."""
        self._messages += message(kind, payload)

    def send(self, messages: bytes = b"") -> None:
        """Have the kernel do all of it, or *messages*."""
        self._socket.send(messages or self._messages)
        with contextlib.suppress(BlockingIOError):
            while True:
                self._socket.recv(65536)

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()


def message(kind: int, payload: bytes) -> bytes:
    """A whole message: create what is new, delete what is old."""
    flags = rtnetlink.NLM_F_REQUEST
    if kind != rtnetlink.RTM_DELROUTE:
        flags |= rtnetlink.NLM_F_CREATE | rtnetlink.NLM_F_APPEND
    length = rtnetlink.HEADER.size + len(payload)
    whole = rtnetlink.HEADER.pack(length, kind, flags, 1, 0) + payload
    return whole + bytes(rtnetlink.align(length) - length)


class Routes:
    """Sees the default route by the gateway come."""

    def __init__(self, namespace: Namespace) -> None:
        with namespace:
            self._socket = socket.socket(
                socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
            )
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE)
        # linux/filter.h by the daemon's own monitor: defaults only
        from rcnetd.netlink.monitor import _attach_filter

        _attach_filter(self._socket, all_routes=False)
        self._socket.bind((0, 0))
        option = 1  # NETLINK_ADD_MEMBERSHIP
        self._socket.setsockopt(rtnetlink.SOL_NETLINK, option, RTNLGRP_IPV4_ROUTE)

    def fileno(self) -> int:
        """To wait for."""
        return self._socket.fileno()

    def forget(self) -> None:
        """Drop what came so far."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self._socket.recv(65536)

    def came(self, patience: float = PATIENCE) -> int:
        """Wait for the route: when it was seen (CLOCK_REALTIME, ns)."""
        deadline = time.monotonic() + patience
        while True:
            assert select.select([self], [], [], max(0.0, deadline - time.monotonic()))[0], "never"
            data = self._socket.recv(65536)
            at = time.time_ns()
            for found in rtnetlink.messages(data):
                if found.kind == rtnetlink.RTM_NEWROUTE and _is_ours(found.payload):
                    return at

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()


def _is_ours(payload: bytes) -> bool:
    if payload[1] != 0:  # rtm_dst_len
        return False
    return rtnetlink.attribute_map(payload, 12).get(RTA_GATEWAY) == GATEWAY.packed
