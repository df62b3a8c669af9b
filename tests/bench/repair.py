"""How soon a route is in the kernel: the first one, and the one that somebody took away."""

from __future__ import annotations

import contextlib
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import IO, Protocol

from rcnetd.lab.topology import GATEWAY, PUBLIC_ROUTER, Namespace
from rcnetd.netlink import socket as rtnetlink
from tests.bench.figures import Figure, Measure
from tests.bench.lab import (
    ETH_P_ARP,
    PATIENCE,
    SO_TIMESTAMPNS,
    Lab,
    Options,
    cpu_ns,
    milliseconds,
    received,
)
from tests.bench.netlink import Batch, Routes, message, route
from tests.netns.daemons import Daemon

DEPLOYED = (
    "limit: 1000000\n"
    "servers: [{timeline: [{at: 0, gateway: 10.180.31.254}, {at: 0, status: DEPLOYED}]}]"
)
ARP_REPLY = struct.pack("!H", 2)
REPLACE = ["ip", "route", "replace", "default", "via", str(GATEWAY), "dev", "eth1", "metric", "1"]
# What one would write to guard a route.
LOOP = f"""
ip monitor route | while read -r line; do
    ip -4 route show default | grep -q 'via {GATEWAY} ' || {" ".join(REPLACE)}
done
"""
BATCH = 500  # messages in one system call
CHANGES = 10_000  # a second
FIRST, PATTERN = IPv4Address("100.64.0.0"), IPv4Address("239.255.255.1")
ROUTES = (10, 1_000, 100_000)
LINKS, LINK_CHANGES = (10, 500, 1_500), 30  # a second


def first(options: Options) -> list[Measure]:
    """The gateway has answered to the route being in the kernel."""
    ours: list[float] = []
    program: list[float] = []
    with contextlib.ExitStack() as stack:
        lab = Lab(stack, DEPLOYED)
        routes = Routes(lab.server)
        stack.callback(routes.close)
        for _ in range(options.times(30)):
            lab.reset()
            with _answers(lab) as answers:
                routes.forget()
                daemon = lab.daemon()
                came = routes.came()
                ours.append(milliseconds(_last_before(answers, came), came))
            daemon.close()
            lab.reset()
            routes.forget()
            with lab.program(REPLACE) as (begin, _):
                program.append(milliseconds(begin, routes.came()))
    return [
        Measure(
            "the gateway has answered to the route in the kernel",
            "the time of `ip route replace`",
            [Figure("rcnetd", ours), Figure("ip route replace, a process", program)],
        )
    ]


@contextlib.contextmanager
def _answers(lab: Lab) -> Iterator[socket.socket]:
    """ARP packets that the server gets."""
    with lab.server:
        packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    with packets:
        packets.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        packets.bind(("eth1", ETH_P_ARP))
        packets.setblocking(False)
        yield packets


def _last_before(answers: socket.socket, end: int) -> int:
    """When the gateway's last answer before *end* came."""
    last = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            frame, at = received(answers)
            if frame[20:22] == ARP_REPLY and frame[28:32] == GATEWAY.packed and at <= end:
                last = at
    assert last, "the gateway was not asked"
    return last


def lost(options: Options) -> list[Measure]:
    """The route is deleted to its being back."""
    with contextlib.ExitStack() as stack:
        lab = Lab(stack, DEPLOYED)
        breaker = Breaker(lab, stack)
        daemon = _ready(lab)
        ours = [breaker.once() for _ in range(options.times(200))]
        daemon.close()
        with lab.program(["sh", "-c", LOOP]):
            time.sleep(0.3)  # it has subscribed
            loop = [breaker.once() for _ in range(options.times(200))]
    return [
        Measure(
            "the route is deleted to its being back",
            "median 5 ms, quicker than the shell loop",
            [
                Figure("rcnetd", ours),
                Figure("shell, ip monitor and ip route", loop),
                Figure("google-guest-agent", text="10 s between two looks, as documented"),
                Figure("systemd-networkd", text="never: foreign deletions are not undone"),
            ],
        )
    ]


def crowded(options: Options) -> list[Measure]:
    """A repair's time and CPU with many routes, and while many change; in turn, each its server."""
    sizes = [(f"{routes:,} routes", routes, False) for routes in ROUTES]
    sizes.append((f"as many, {CHANGES:,} changes/s", ROUTES[-1], True))
    return _among("routes", Routed, sizes, options)


def linked(options: Options) -> list[Measure]:
    """The same with many links, as container runtimes make and remove them."""
    sizes = [(f"{links:,} links", links, False) for links in LINKS]
    sizes.append((f"as many, {LINK_CHANGES} made and removed a second", LINKS[-1], True))
    return _among("links", Linked, sizes, options)


def _among(
    what: str, kind: type[Crowd], sizes: list[tuple[str, int, bool]], options: Options
) -> list[Measure]:
    with contextlib.ExitStack() as stack:
        hosts = [Host(stack, who, kind, number, changes=changes) for who, number, changes in sizes]
        for turn in range(options.times(100) + 3):
            for host in hosts:
                host.measure(count=turn >= 3)  # the first ones wake what slept
        alone = hosts[-1].cost_of_changes()
    goal = "the last at most 1.2 x the first"
    notes = [f"the changes by themselves cost rcnetd {alone:.2f} ms of CPU a second"]
    return [
        Measure(
            f"a repair among other {what}", goal, [Figure(host.who, host.took) for host in hosts]
        ),
        Measure(
            f"CPU of a repair among other {what}",
            goal,
            [Figure(host.who, host.cost, "ms CPU") for host in hosts],
            notes,
        ),
    ]


class Host:
    """A server with so many routes or links, and rcnetd."""

    def __init__(
        self,
        stack: contextlib.ExitStack,
        who: str,
        kind: type[Crowd],
        number: int,
        *,
        changes: bool,
    ) -> None:
        self.who = who
        self.took: list[float] = []
        self.cost: list[float] = []
        lab = Lab(stack, DEPLOYED)
        self._breaker = Breaker(lab, stack)
        self._crowd = kind(lab.server)
        stack.callback(self._crowd.close)
        self._changes = changes
        self._pid = _ready(lab).process.pid
        self._crowd.add(number)

    def measure(self, *, count: bool) -> None:
        """One repair."""
        with self._crowd.changing() if self._changes else contextlib.nullcontext():
            time.sleep(0.03)
            before = cpu_ns(self._pid)
            took = self._breaker.once()
            time.sleep(0.02)  # it is asleep again
            cost = milliseconds(before, cpu_ns(self._pid))
        if count:
            self.took.append(took)
            self.cost.append(cost)

    def cost_of_changes(self) -> float:
        """Milliseconds of CPU a second while others change, and nothing of ours."""
        with self._crowd.changing():
            before = cpu_ns(self._pid)
            time.sleep(3)
            return milliseconds(before, cpu_ns(self._pid)) / 3


class Breaker:
    """Takes the route away, and waits until it is back."""

    def __init__(self, lab: Lab, stack: contextlib.ExitStack) -> None:
        self._routes = Routes(lab.server)
        self._batch = Batch(lab.server)
        with lab.server:
            number = socket.if_nametoindex("eth1")
        delete = route("0.0.0.0/0", number, str(GATEWAY), metric=1, proto=0)
        self._batch.add(rtnetlink.RTM_DELROUTE, delete)
        stack.callback(self._routes.close)
        stack.callback(self._batch.close)

    def once(self) -> float:
        """Milliseconds until it was back."""
        self._routes.forget()
        begin = time.time_ns()
        self._batch.send()
        return milliseconds(begin, self._routes.came())


class Crowd(Protocol):
    """Many routes or links that are nobody's business."""

    def __init__(self, server: Namespace) -> None:
        """In this namespace, none yet."""

    def add(self, end: int) -> None:
        """Add so many."""

    def changing(self) -> contextlib.AbstractContextManager[None]:
        """Meanwhile they come and go."""

    def close(self) -> None:
        """They go with their namespace."""


class Linked:
    """Pairs of veth links."""

    def __init__(self, server: Namespace) -> None:
        self._server = server
        self._end = threading.Event()

    def add(self, end: int) -> None:
        """Add so many links: half as many pairs."""
        self._server.ip(*(self._added(number) for number in range(end // 2)))

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """Meanwhile pairs come and go."""
        self._end.clear()
        with self._server:
            program = subprocess.Popen(["ip", "-batch", "-"], stdin=subprocess.PIPE, text=True)
        thread = threading.Thread(target=self._change, args=(program.stdin,))
        thread.start()
        try:
            yield
        finally:
            self._end.set()
            thread.join(PATIENCE)
            program.communicate(timeout=PATIENCE)

    def close(self) -> None:
        """They go with their namespace."""

    def _change(self, batch: IO[str]) -> None:
        at = time.monotonic()
        while not self._end.is_set():
            for line in (self._added(LINKS[-1]), f"link delete c{LINKS[-1]}"):
                batch.write(f"{line}\n")
                batch.flush()
                at += 2 / LINK_CHANGES  # two links make a pair
                time.sleep(max(0.0, at - time.monotonic()))

    def _added(self, number: int) -> str:
        return f"link add c{number} type veth peer name d{number}"


class Routed:
    """Routes by the public router."""

    def __init__(self, server: Namespace) -> None:
        self._batch = Batch(server)
        with server:
            link = socket.if_nametoindex("eth0")
        self._end = threading.Event()
        body = route(f"{PATTERN}/32", link, str(PUBLIC_ROUTER))
        kinds = (rtnetlink.RTM_NEWROUTE, rtnetlink.RTM_DELROUTE)
        self._pattern = {kind: message(kind, body) for kind in kinds}

    def add(self, end: int) -> None:
        """Add so many routes."""
        for begin in range(0, end, BATCH):
            numbers = range(begin, min(begin + BATCH, end))
            self._batch.send(b"".join(map(self._added, numbers)))

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """Meanwhile routes come and go, `CHANGES` a second."""
        numbers = range(ROUTES[-1], ROUTES[-1] + CHANGES // 200)
        batch = b"".join(map(self._added, numbers)) + b"".join(map(self._deleted, numbers))
        self._end.clear()
        thread = threading.Thread(target=self._change, args=(batch,))
        thread.start()
        try:
            yield
        finally:
            self._end.set()
            thread.join(PATIENCE)

    def close(self) -> None:
        """The routes go with their namespace."""
        self._batch.close()

    def _change(self, batch: bytes) -> None:
        at = time.monotonic()
        while not self._end.is_set():
            self._batch.send(batch)
            at += 0.01  # a hundred times a second
            time.sleep(max(0.0, at - time.monotonic()))

    def _added(self, number: int) -> bytes:
        return self._about(rtnetlink.RTM_NEWROUTE, number)

    def _deleted(self, number: int) -> bytes:
        return self._about(rtnetlink.RTM_DELROUTE, number)

    def _about(self, kind: int, number: int) -> bytes:
        """A message like any other but for the address: pyroute2 would take 20 s for all."""
        begin, _, end = self._pattern[kind].partition(PATTERN.packed)
        return begin + (FIRST + number).packed + end


def _ready(lab: Lab) -> Daemon:
    lab.reset()
    daemon = lab.daemon()
    daemon.until_ready()
    time.sleep(0.5)  # the fetcher is gone
    return daemon
