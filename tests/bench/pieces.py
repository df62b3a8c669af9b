"""Where what a request needs comes in pieces: the last one comes to the first packet of a request.

On real servers ServiceNet's address, its routes, the resolver's file and the link's carrier come
one after the other, seconds apart.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute

from rcnetd.lab.topology import API, PUBLIC_ROUTER, SERVICENET, SERVICENET_ROUTER
from tests.bench.figures import Figure, Measure
from tests.bench.lab import HOST, Lab, Options, Packets, milliseconds
from tests.bench.startup import NEVER
from tests.netns.daemons import Cloud, Daemon
from tests.support.nameserver import name_server
from tests.support.waiting import until

FIN_WAIT2, TIME_WAIT, LISTEN = "05", "06", "0A"  # include/net/tcp_states.h
RESOLV_CONF, HOSTS = Path("/etc/resolv.conf"), Path("/etc/hosts")  # ours: see `own_mounts`
# By title: which pieces come after the address, in this order, and how many seconds apart.
CASES = {
    "routes 1 s after the address": (("routes",), 1.0),
    "the resolver's file last, 1 s": (("routes", "resolver"), 1.0),
    "the carrier last, 1 s": (("routes", "carrier"), 1.0),
    "routes, resolver, carrier, 2 s between them": (("routes", "resolver", "carrier"), 2.0),
}


def measure(options: Options) -> list[Measure]:
    """Each piece is the last in turn."""
    figures = []
    with contextlib.ExitStack() as stack:
        lab = Lab(stack, NEVER)
        stack.enter_context(_name_server(lab))
        server = Pieces(lab, stack)
        for title, (pieces, pause) in CASES.items():
            took = [server.once(pieces, pause) for _ in range(options.times(20))]
            figures.append(Figure(f"rcnetd: {title}", took))
            figures.append(Figure("  the worst of them", [max(took)]))
    return [
        Measure(
            "the last missing piece to the first packet of a request",
            "at most 50 ms each",
            figures,
        )
    ]


class Pieces:
    """A server to which everything comes by and by."""

    def __init__(self, lab: Lab, stack: contextlib.ExitStack) -> None:
        self._lab = lab
        # Not at the server's own port, which has no carrier at times.
        self._packets = stack.enter_context(Packets(lab, "router"))
        with lab.server:
            self._server = stack.enter_context(IPRoute())
        with lab.topology.servicenet:
            self._switch = stack.enter_context(IPRoute())
        self._link = int(self._server.link_lookup(ifname="eth1")[0])
        self._port = int(self._switch.link_lookup(ifname="server")[0])
        self._bring: dict[str, Callable[[], Any]] = {
            "routes": self._routes,
            "resolver": self._resolver,
            "carrier": lambda: self._switch.link("set", index=self._port, state="up"),
        }

    def once(self, pieces: tuple[str, ...], pause: float) -> float:
        """Milliseconds from the last of *pieces* to the packet; the others are there at once."""
        self._take_away()
        for name in self._bring.keys() - set(pieces):
            if name != "routes":
                self._bring[name]()
        daemon = self._start()
        try:
            address, _, length = str(SERVICENET).partition("/")
            self._server.addr("add", index=self._link, address=address, prefixlen=int(length))
            for name in pieces:
                time.sleep(pause)
                self._packets.forget()
                begin = time.time_ns()
                self._bring[name]()
            return milliseconds(begin, self._packets.syn())
        finally:
            daemon.close()
            # Else it goes on asking for the router while the next one has no carrier.
            until(self._is_silent)

    def _is_silent(self) -> bool:
        """No connection of a process that has ended repeats anything."""
        lines = self._lab.server.run("cat", "/proc/net/tcp").splitlines()[1:]
        return {line.split()[3] for line in lines} <= {FIN_WAIT2, TIME_WAIT, LISTEN}

    def _start(self) -> Daemon:
        # By its name, as on a server: the resolver is one of the pieces.
        place = self._lab.place()
        cloud = Cloud(self._lab.topology, place, contextlib.ExitStack())
        cloud.api = self._lab.api
        settings = f"region: dfw\nca_file: {cloud.api.ca_file}\nservicenet: {{interface: eth1}}\n"
        daemon = Daemon(cloud, settings, {})
        daemon.until_state("WAITING_FOR_SERVICENET")
        time.sleep(0.7)  # the fetcher has loaded its libraries
        return daemon

    def _take_away(self) -> None:
        self._lab.server.ip(
            "address flush dev eth1",
            "route flush exact 0.0.0.0/0",
            f"route add default via {PUBLIC_ROUTER} dev eth0",
            "neighbour flush dev eth1",
        )
        self._switch.link("set", index=self._port, state="down")
        RESOLV_CONF.unlink(missing_ok=True)

    def _routes(self) -> None:
        for network in ("10.176.0.0/12", "10.208.0.0/12"):
            self._server.route("add", dst=network, gateway=str(SERVICENET_ROUTER), oif=self._link)

    def _resolver(self) -> None:
        new = RESOLV_CONF.with_suffix(".new")
        new.write_text(f"nameserver {API}\n", encoding="ascii")
        new.rename(RESOLV_CONF)


@contextlib.contextmanager
def _name_server(lab: Lab) -> Iterator[None]:
    """Knows the API's name, which /etc/hosts then does not have."""
    before, resolver = HOSTS.read_text(), os.path.lexists(RESOLV_CONF) and RESOLV_CONF.read_text()
    HOSTS.write_text("127.0.0.1 localhost\n", encoding="ascii")
    try:
        with name_server(lab.topology.api, str(API), {HOST: API}):
            yield
    finally:
        HOSTS.write_text(before)
        if resolver:
            RESOLV_CONF.write_text(resolver)
