"""The kernel's routes, rules and addresses in a namespace, as values that can be compared."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import time
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface, ip_network
from typing import Any, NamedTuple, Union

from rcnetd.basic.dataclass import dataclass
from rcnetd.lab.topology import Namespace

AnyAddress = Union[IPv4Address, IPv6Address]
# The metrics that NetworkManager gives to links in the order in which they come up.
ASSIGNED = range(100, 110)
# linux/rtnetlink.h: RTMGRP_LINK, _IPV4_IFADDR, _IPV4_ROUTE, _IPV6_IFADDR, _IPV6_ROUTE
CHANGES = 0x1 | 0x10 | 0x40 | 0x100 | 0x400
QUIET = 1.5  # seconds without a change; a client may wait one before it solicits a router
# What the kernel makes by itself for each address and link.
KERNELS_OWN = ("local", "broadcast", "anycast", "multicast")


class KernelRoute(NamedTuple):
    """A route; *table* is "main" or another's number or name, *hops* has what is not single."""

    family: int
    table: str
    to: str
    gateway: AnyAddress | None
    link: str
    metric: int
    kind: str
    protocol: str
    hops: str = ""

    @property
    def is_default(self) -> bool:
        """Whether it is one of the default routes that count for whatever leaves the server."""
        return ip_network(self.to).prefixlen == 0 and self.table == "main"

    def __str__(self) -> str:
        via = f" via {self.gateway}" if self.gateway else ""
        more = "" if self.table == "main" else f" table {self.table}"
        kind = "" if self.kind == "unicast" else f"{self.kind} "
        return f"{kind}{self.to}{via} dev {self.link} metric {self.metric}{more}{self.hops}"


@dataclass(frozen=True)
class KernelState:
    """What a network manager has brought about; *addresses* and *up* are by link."""

    routes: frozenset[KernelRoute]
    rules: frozenset[str]
    addresses: frozenset[tuple[str, str]]
    up: frozenset[str]

    def defaults(self, family: int) -> list[KernelRoute]:
        """Its default routes, the winner first."""
        found = [route for route in self.routes if route.is_default and route.family == family]
        return sorted(found, key=lambda route: (route.metric, str(route)))

    def addresses_of(self, link: str, family: int = 4) -> set[str]:
        """A link's addresses with their prefix lengths."""
        return {
            address
            for name, address in self.addresses
            if name == link and ip_interface(address).version == family
        }


def read(namespace: Namespace) -> KernelState:
    """The present state."""
    routes: set[KernelRoute] = set()
    rules: set[str] = set()
    for family in (4, 6):
        for entry in _json(namespace, f"-{family}", "route", "show", "table", "all"):
            routes.update(_route(family, one) for one in _single(family, entry) if _counts(one))
        for entry in _json(namespace, f"-{family}", "rule", "show"):
            rules.add(f"{family} {json.dumps(entry, sort_keys=True)}")
    addresses, up = set(), set()
    for link in _json(namespace, "address", "show"):
        if "UP" in link["flags"]:
            up.add(str(link["ifname"]))
        for entry in link["addr_info"]:
            # Link-local ones follow from the MAC, or a secret.
            if entry["scope"] == "global":
                addresses.add((str(link["ifname"]), f"{entry['local']}/{entry['prefixlen']}"))
    return KernelState(frozenset(routes), frozenset(rules), frozenset(addresses), frozenset(up))


class Changes:
    """Whatever changes in a namespace from now on."""

    def __init__(self, namespace: Namespace) -> None:
        with namespace:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.bind((0, CHANGES))
        self._socket.setblocking(False)

    def until_quiet(self, timeout: float) -> None:
        """Wait until nothing has changed for a while: what comes late is answers of routers."""
        deadline = time.monotonic() + timeout
        while True:
            with contextlib.suppress(OSError):  # nothing more, or more than its buffer holds
                while self._socket.recv(65536):
                    pass
            if not select.select([self._socket], [], [], QUIET)[0]:
                return
            assert time.monotonic() < deadline, "the routes and addresses keep changing"

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()


@contextlib.contextmanager
def changes(namespace: Namespace) -> Iterator[Changes]:
    """The changes of a namespace while the block runs."""
    made = Changes(namespace)
    try:
        yield made
    finally:
        made.close()


def _json(namespace: Namespace, *arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(namespace.run("ip", "-json", *arguments) or "[]")
    return [entry for entry in found if entry]


def _single(family: int, entry: dict[str, Any]) -> list[dict[str, Any]]:
    """The kernel shows IPv6 routes of one metric, which came one by one, as one with hops."""
    if family == 4 or "nexthops" not in entry:
        return [entry]
    rest = {key: value for key, value in entry.items() if key != "nexthops"}
    return [{**rest, **hop} for hop in entry["nexthops"]]


def _counts(entry: dict[str, Any]) -> bool:
    if entry.get("type", "unicast") in KERNELS_OWN or str(entry.get("table")) == "local":
        return False
    return not str(entry["dst"]).startswith(("fe80::", "ff00::")) and entry.get("dev") != "lo"


def _route(family: int, entry: dict[str, Any]) -> KernelRoute:
    to = str(entry["dst"])
    if to == "default":
        to = "0.0.0.0/0" if family == 4 else "::/0"
    gateway = entry.get("gateway") or entry.get("via", {}).get("host")
    hops = entry.get("nexthops")
    metric = int(entry.get("metric", 0))
    return KernelRoute(
        family,
        str(entry.get("table", "main")),
        str(ip_network(to)),
        ip_address(gateway) if gateway else None,
        str(entry.get("dev", "")),
        ASSIGNED.start if metric in ASSIGNED else metric,
        str(entry.get("type", "unicast")),
        str(entry.get("protocol", "")),
        f" {json.dumps(hops, sort_keys=True)}" if hops else "",
    )
