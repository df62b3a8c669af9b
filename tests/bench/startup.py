"""How soon rcnetd asks: from exec, and from the moment that ServiceNet has an address."""

from __future__ import annotations

import contextlib
import random
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

from rcnetd.lab.topology import API, SERVICENET
from rcnetd.netlink import pyroute2
from rcnetd.netlink import socket as rtnetlink
from tests.bench.figures import Figure, Measure
from tests.bench.lab import Lab, Options, Packets, milliseconds
from tests.bench.netlink import Batch, route

NEVER = "limit: 1000000\nservers: [{}]"
NAIVE = Path(__file__).with_name("naive.py")
SETTLE = 0.7  # seconds; the fetcher has loaded its libraries
URL = f"https://{API}/v1/gateway_ip"


def shell(lab: Lab) -> list[str]:
    """The loop that users write: `ip` and `curl`."""
    script = (
        "until ip -4 -o address show | grep -q ' 10\\.'; do sleep 1; done;"
        f" until curl --silent --fail --cacert {lab.api.ca_file} {URL}; do sleep 5; done"
    )
    return ["sh", "-c", script]


def from_exec(options: Options) -> list[Measure]:
    """Exec to the first request's packet, with ServiceNet up."""
    ours, with_file = "rcnetd", "rcnetd, with a settings file"
    naive, curl = "naive Python", "shell, ip and curl"
    found: dict[str, list[float]] = {ours: [], with_file: [], naive: [], curl: []}
    with contextlib.ExitStack() as stack:
        lab = Lab(stack, NEVER)
        packets = stack.enter_context(Packets(lab))
        ways: dict[str, Callable[[], tuple[list[str], dict[str, str]]]] = {
            ours: lab.without_settings,
            with_file: lab.with_settings,
            naive: lambda: ([sys.executable, str(NAIVE), URL, str(lab.api.ca_file)], {}),
            curl: lambda: (shell(lab), {}),
        }
        for turn in range(options.times(30) + 1):
            for who, values in found.items():
                command, environ = ways[who]()
                packets.forget()
                with lab.program(command, **environ) as (begin, _):
                    took = milliseconds(begin, packets.syn())
                if turn > 0:  # the first has read its files from disk
                    values.append(took)
    return [
        Measure(
            "exec to the first request's packet",
            "0.5 x naive Python",
            [Figure(who, values) for who, values in found.items()],
        )
    ]


def from_address(options: Options) -> list[Measure]:
    """ServiceNet's address appears to the first request's packet."""
    ours: list[float] = []
    loops: list[float] = []
    times = options.times(100)
    with contextlib.ExitStack() as stack:
        lab = Lab(stack, NEVER)
        packets = stack.enter_context(Packets(lab))
        appear = Batch(lab.server)
        stack.callback(appear.close)
        with lab.server:
            number = socket.if_nametoindex("eth1")
        message = rtnetlink.body(
            pyroute2.ifaddrmsg,
            ("IFA_LOCAL", str(SERVICENET.ip)),
            ("IFA_ADDRESS", str(SERVICENET.ip)),
            family=socket.AF_INET,
            prefixlen=SERVICENET.network.prefixlen,
            index=number,
        )
        appear.add(RTM_NEWADDR, message)
        for network in ("10.176.0.0/12", "10.208.0.0/12"):
            appear.add(rtnetlink.RTM_NEWROUTE, route(network, number, "10.180.0.1"))

        def once(settle: float) -> float:
            time.sleep(settle)
            packets.forget()
            begin = time.time_ns()
            appear.send()
            return milliseconds(begin, packets.syn())

        for turn in range(times):
            lab.server.ip("address flush dev eth1")
            daemon = lab.daemon()
            daemon.until_state("WAITING_FOR_SERVICENET")
            ours.append(once(SETTLE))
            daemon.close()
            if turn % 5 == 0:
                lab.server.ip("address flush dev eth1")
                with lab.program(shell(lab)):
                    loops.append(once(random.uniform(0.2, 1.2)))
    return [
        Measure(
            "ServiceNet's address appears to the first request's packet",
            "median 5 ms, p99 20 ms",
            [Figure("rcnetd", ours), Figure("shell, sleep 1", loops)],
        )
    ]


RTM_NEWADDR = 20  # linux/rtnetlink.h
