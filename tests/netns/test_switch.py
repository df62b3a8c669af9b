"""The switch of the default route, as the kernel's messages tell it: never without a default."""

from __future__ import annotations

import socket
import struct
import time

import pytest

from rcnetd.core.actions import Action, AddRoute, ProbeNeighbour, RemoveRoutes
from rcnetd.core.events import Event, RouteChangeFailed
from rcnetd.core.machine import Machine
from rcnetd.core.model import Network
from rcnetd.core.settings import GatewaySettings, Settings
from rcnetd.lab.topology import GATEWAY, PUBLIC_ROUTER, Namespace
from rcnetd.netlink.kernel import Kernel, NetlinkError
from rcnetd.netlink.socket import RTM_DELROUTE, RTM_NEWROUTE, messages
from tests.support.playbook import ASSIGNED, MANAGED, Playbook, World

pytestmark = pytest.mark.netns

SWITCHES = 200


class RealWorld(World):
    """The playbook's world with the real kernel in the place of the simulated one."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = Kernel()

    def network(self, machine: Machine) -> Network:
        """What the kernel shows."""
        return self.kernel.read(machine.query)

    def carry_out(self, action: Action) -> Event | None:
        """Change the kernel."""
        try:
            if isinstance(action, AddRoute):
                self.kernel.add_route(action)
            elif isinstance(action, RemoveRoutes):
                for route in action.routes:
                    self.kernel.remove_route(route)
            elif isinstance(action, ProbeNeighbour):
                self.kernel.probe_neighbour(action.ifindex, action.address)
        except NetlinkError as error:
            return RouteChangeFailed(str(error))
        return None


class DefaultsWatch:
    """Counts the default routes by the kernel's messages alone, in their order."""

    def __init__(self, present: int) -> None:
        self.present = self.fewest = present
        self.messages = 0
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._socket.bind((0, 0x40))  # RTMGRP_IPV4_ROUTE
        self._socket.setblocking(False)

    def drain(self) -> None:
        """Take in what has happened; an overrun would be an error."""
        while True:
            try:
                data = self._socket.recv(65536)
            except BlockingIOError:
                return
            for message in messages(data):
                # rtmsg: family, dst_len, src_len, tos, table …; table main is 254
                _, dst_len, _, _, table = struct.unpack_from("=BBBBB", message.payload)
                if dst_len or table != 254:
                    continue
                self.messages += 1
                if message.kind == RTM_NEWROUTE:
                    self.present += 1
                elif message.kind == RTM_DELROUTE:
                    self.present -= 1
                self.fewest = min(self.fewest, self.present)

    def close(self) -> None:
        """End the watch."""
        self._socket.close()


BEFORE = {
    "metric 0": [f"route add default via {PUBLIC_ROUTER} dev eth0"],
    "metric 100": [f"route add default via {PUBLIC_ROUTER} dev eth0 metric 100"],
    "two defaults": [
        f"route add default via {PUBLIC_ROUTER} dev eth0",
        f"route add default via {PUBLIC_ROUTER} dev eth0 metric 100",
    ],
    "metric 1, in our place": [f"route add default via {PUBLIC_ROUTER} dev eth0 metric 1"],
}


@pytest.mark.parametrize("case", BEFORE)
def test_never_a_moment_without_a_default(server: Namespace, case: str) -> None:
    """200 switches each; the kernel's messages show at least one default at every moment."""
    server.ip("route flush default", *BEFORE[case])
    watch = DefaultsWatch(len(BEFORE[case]))
    settings = Settings(gateway=GatewaySettings(check=False))
    took = []
    for number in range(SWITCHES):
        book = Playbook(RealWorld(), settings).look()
        begin = time.monotonic()
        book.tell(MANAGED, ASSIGNED)
        took.append(time.monotonic() - begin)
        assert book.machine.facts.route.in_effect, f"switch {number}: {book.said}"
        watch.drain()
        # Back to the beginning, in the same manner: theirs first, then ours away.
        server.ip(*(line.replace(" add ", " append ") for line in _missing(server, case)))
        server.ip(f"route del default via {GATEWAY} dev eth1 metric 1")
        watch.drain()
    watch.close()
    took.sort()
    print(f"\n{case}: {SWITCHES} switches, fewest defaults {watch.fewest},"
          f" median {took[len(took) // 2] * 1000:.2f} ms, {watch.messages} messages")  # fmt: skip
    assert watch.fewest >= 1
    assert watch.messages >= 2 * SWITCHES


def _missing(server: Namespace, case: str) -> list[str]:
    """The lines of BEFORE whose routes the switch has taken away."""
    present = server.run("ip", "-4", "route", "show", "default")
    lines = []
    for line in BEFORE[case]:
        words = line.split()
        shown = " ".join(words[words.index("default") :])
        if shown not in [entry.strip() for entry in present.splitlines()]:
            lines.append(line)
    return lines


def test_the_watch_would_notice(server: Namespace) -> None:
    """Deleting before adding is seen."""
    watch = DefaultsWatch(1)
    server.ip("route del default", f"route add default via {PUBLIC_ROUTER} dev eth0")
    watch.drain()
    watch.close()

    assert (watch.fewest, watch.present) == (0, 1)
