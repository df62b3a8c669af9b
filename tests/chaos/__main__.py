"""Chaos: everything that takes routes away, at random, and what must hold all the same.

tests/run chaos [-- --seconds N --seed S --guest MANAGER]

In the small cloud of `rcnetd.lab.topology`, or with `--guest netplan` (networkd, network-manager,
ifupdown) in a whole Debian guest, whose managers and agents join in. A round is a burst of blows,
then quiet, in which this must become true, and stay so:

* within 2 s (11 s if a fight was declared) the kernel goes to the internet by a gateway that the
  API has given, over a route of ours, on ServiceNet's link;
* there never was a route of our protocol number to any other gateway;
* in no 60 s were there more requests than the budget allows;
* the daemon has not ended by itself.

The seed decides the blows and their order. What fails is printed with the seed and the round's
blows; the same seed deals them again.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from rcnetd.core.model import METRIC, PROTOCOL, Query, RouteLookup
from rcnetd.core.routes import OUTSIDE
from rcnetd.emulator.certificates import Authority
from rcnetd.emulator.faults import FAULTS
from rcnetd.lab.topology import (
    API,
    GATEWAY,
    PUBLIC,
    PUBLIC_ROUTER,
    SERVICENET,
    SERVICENET_ROUTER,
    Topology,
)
from rcnetd.netlink.kernel import Kernel
from tests.netns.daemons import Cloud, Daemon
from tests.support.waiting import LONG, until

BUDGET = 18  # requests a minute, the default
QUIET, FIGHT = 2.0, 11.0  # seconds; a fight's pause is 10
TICK = 0.05  # seconds; of a longer one the rest was this machine's, not the daemon's
SECOND = "10.180.30.1"  # a second RackConnect gateway
GIVEN = (str(GATEWAY), SECOND)
# The API changes its mind every 40 s, for an hour.
TIMELINE = "servers: [{{timeline: [{{at: 0, status: DEPLOYED}}, {steps}]}}]".format(
    steps=", ".join(f"{{at: {40 * n}s, gateway: {GIVEN[n % 2]}}}" for n in range(90))
)
NAME = "dfw.api.rackconnect.rackspace.com"
YEARS = 10 * 365 * 24 * 3600  # seconds
Blow = Callable[[], None]


class Violation(Exception):
    """Something that must hold does not; one line."""


class Watcher:
    """Sees every route of our protocol number that is added in the server."""

    def __init__(self, topology: Topology) -> None:
        self.wrong: list[str] = []
        with topology.server:
            self._process = subprocess.Popen(
                ["ip", "-4", "-o", "-N", "monitor", "route"], stdout=subprocess.PIPE, text=True
            )
        threading.Thread(target=self._read, daemon=True).start()

    def close(self) -> None:
        """Look no more."""
        self._process.kill()
        self._process.wait()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            match = re.search(r"\bvia (\S+)", line)
            if f"proto {PROTOCOL} " not in line or line.startswith("Deleted"):
                continue
            if match is None or match[1] not in GIVEN:
                self.wrong.append(line.strip())


class Lab:
    """The small cloud, and the daemon as a process of ours; with a wall clock of its own."""

    def __init__(self, stack: contextlib.ExitStack, directory: Path) -> None:
        self.topology = stack.enter_context(Topology())
        self._cloud = Cloud(self.topology, directory, stack)
        self.api = self._cloud.emulate(TIMELINE)
        self._clock = directory / "clock"
        self._hosts = directory / "hosts"
        resolv = directory / "resolv.conf"
        resolv.write_text("nameserver 127.0.0.1\n")
        self.set_clock(0)
        self.set_dns(alive=True)
        library = directory / "clock.so"
        source = Path(__file__).parents[1] / "support" / "clock.c"
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, source], check=True)
        environ = {"LD_PRELOAD": str(library), "RCNETD_CLOCK": str(self._clock)}
        settings = f"region: dfw\nca_file: {self.api.ca_file}\ngateway: {{recheck_interval: 10s}}\n"
        files = {"/etc/hosts": self._hosts, "/etc/resolv.conf": resolv}
        self._daemon = Daemon(self._cloud, settings, environ, instead_of=files)
        stack.callback(self._daemon.close)
        self._daemon.until_ready(60)

    def set_clock(self, seconds: int) -> None:
        """Step the daemon's wall clock to so far from the real one."""
        self._clock.write_text(f"{seconds}\n")

    def set_dns(self, *, alive: bool) -> None:
        """Whether the API's name resolves."""
        self._hosts.write_text(f"127.0.0.1 localhost\n{f'{API} {NAME}' if alive else ''}\n")

    def kill(self) -> None:
        """SIGKILL, and started again as systemd would."""
        self._daemon.hear()
        self._daemon.restart(signal.SIGKILL)

    def reload(self) -> None:
        """SIGHUP; not to one that is being started, as systemd sends none either."""
        if self._daemon.status.get("pid") == self._daemon.process.pid:
            self._daemon.process.send_signal(signal.SIGHUP)

    def kill_fetcher(self) -> None:
        """SIGKILL for its child."""
        for pid in self._daemon.children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def blows(self) -> dict[str, Blow]:
        """What can happen here only."""
        return {
            "SIGKILL": self.kill,
            "SIGKILL for the fetcher": self.kill_fetcher,
            "SIGHUP": self.reload,
            "DNS is dead": lambda: self.set_dns(alive=False),
            "DNS is back": lambda: self.set_dns(alive=True),
            "ten years later": lambda: self.set_clock(YEARS),
            "ten years ago": lambda: self.set_clock(-YEARS),
            "the clock is right": lambda: self.set_clock(0),
        }

    def calm(self) -> None:
        """Its links are managed by nobody: bring back what a manager would."""
        self.topology.server.ip(
            "link set eth0 up",
            "link set eth1 up",
            f"address replace {PUBLIC} brd + dev eth0",
            f"address replace {SERVICENET} brd + dev eth1",
            f"route replace {PUBLIC.network} dev eth0 proto kernel scope link src {PUBLIC.ip}",
            f"route replace {SERVICENET.network} dev eth1 proto kernel scope link"
            f" src {SERVICENET.ip}",
            f"route replace 10.176.0.0/12 via {SERVICENET_ROUTER} dev eth1",
            f"route replace 10.208.0.0/12 via {SERVICENET_ROUTER} dev eth1",
        )
        self.until_there()

    def until_there(self) -> None:
        """Wait for what was killed: how long a start takes on a busy machine is not held here."""
        pid = self._daemon.process.pid
        until(lambda: self._daemon.status.get("pid") == pid or self._has_ended(), 4 * LONG)

    def _has_ended(self) -> bool:
        return self._daemon.process.poll() is not None

    def check(self) -> None:
        """Nothing has ended by itself."""
        self._daemon.hear()
        log = self._daemon.log.read_text()
        if self._daemon.process.poll() is not None or "Traceback" in log:
            raise Violation(f"the daemon has ended:\n{log[-3000:]}")

    def is_fighting(self) -> bool:
        """Whether a fight is declared."""
        return bool(self._daemon.status["route"]["fighting"])

    def said(self) -> str:
        """The daemon's log."""
        return self._daemon.log.read_text()


class GuestLab:
    """A whole guest: systemd restarts the daemon, its manager manages the links."""

    def __init__(self, stack: contextlib.ExitStack, manager: str) -> None:
        from tests.boot.conftest import build, disk, install
        from tests.boot.guest import Guest, Overlay, bake, configure
        from tests.boot.trees import RELEASES, cache, tree

        release, self._manager = RELEASES[-1], manager
        place = Path(tempfile.mkdtemp(prefix="run-", dir=cache()))
        stack.callback(shutil.rmtree, place, ignore_errors=True)
        authority = Authority()
        overlay = Overlay(place / release, [tree(release)])
        try:
            install(overlay.root, build("packaging/build-deb", "rcnetd_*.deb", place))
            bake(overlay.root, authority)
        finally:
            overlay.close()
        root = stack.enter_context(disk(place, [overlay.changes, tree(release)])).root
        configure(root, manager, 0)
        self.topology = stack.enter_context(Topology())
        self._guest = Guest(root, manager, self.topology, authority)
        stack.callback(self._guest.close)
        self._guest.set("gateway: {recheck_interval: 10s}\n")
        self.api = self._guest.emulate(TIMELINE)
        stack.enter_context(self._guest.boot())
        self._guest.until_active("rcnetd.service")
        self._files = {
            path: path.read_bytes()
            for path in (root / "etc").rglob("*")
            if path.is_file() and {"netplan", "network", "system-connections"} & set(path.parts)
        }

    def _run(self, *command: str) -> Blow:
        def call() -> None:
            self._guest.call(*command)

        return call

    def rewrite(self) -> None:
        """As nova-agent does: all files as they were, then everything restarted."""
        for path, data in self._files.items():
            path.write_bytes(data)

    def blows(self) -> dict[str, Blow]:
        """What can happen here only."""
        found = {
            "SIGKILL": self._run("systemctl", "kill", "--signal=KILL", "rcnetd"),
            "restart": self._run("systemctl", "--no-block", "restart", "rcnetd"),
            "reload": self._run("systemctl", "--no-block", "reload", "rcnetd"),
            "an agent writes the files anew": self.rewrite,
            "persist": self._run("rcnetctl", "persist"),
        }
        restarts = {
            "netplan": "systemd-networkd", "networkd": "systemd-networkd",
            "network-manager": "NetworkManager",
        }  # fmt: skip
        if self._manager in restarts:
            unit = restarts[self._manager]
            found[f"restart {unit}"] = self._run("systemctl", "restart", unit)
        if self._manager == "netplan":
            found["netplan apply"] = self._run("netplan", "apply")
        return found

    def calm(self) -> None:
        """The manager brings back the most; the rest is done as a person would."""
        Lab.calm(self)  # type: ignore[arg-type] # the same namespace

    def until_there(self) -> None:
        """Wait for what was killed: it comes back after RestartSec=."""
        until(lambda: self._guest.show("rcnetd.service", "MainPID") != "0", 4 * LONG)

    def check(self) -> None:
        """systemd has not given up, and nothing was raised. Not ready is no fault of ours here."""
        going = ("active", "activating", "reloading")
        until(lambda: self._guest.show("rcnetd.service", "ActiveState") in going, LONG)
        if "Traceback" in self.said():
            raise Violation("the daemon has ended")

    def is_fighting(self) -> bool:
        """Whether a fight is declared."""
        status = json.loads(self._guest.run("rcnetctl", "status", "--json", check=False))
        return bool(status["route"]["fighting"])

    def said(self) -> str:
        """The daemon's log."""
        return self._guest.run("journalctl", "-u", "rcnetd", "--no-pager", "-o", "cat")


class Chaos:
    """Deals the blows, and looks at what becomes of them."""

    def __init__(self, lab: Lab | GuestLab, seed: int) -> None:
        self._lab = lab
        self._random = random.Random(seed)
        self._server = lab.topology.server
        self.watcher = Watcher(lab.topology)
        self._blows = self._usual()
        self._blows.update(lab.blows())
        self.rounds = self.fights = 0
        self.counts = dict.fromkeys(self._blows, 0)
        self.took: list[float] = []
        self.burst: list[str] = []

    def round(self) -> None:
        """A burst of blows, then quiet. Raises `Violation`."""
        # The many faults of the API get a quarter of the blows.
        faults = sorted(name for name in self._blows if name.startswith("fault "))
        others = sorted(self._blows.keys() - set(faults))
        self.burst = [
            self._random.choice(self._random.choice((others, others, others, faults)))
            for _ in range(self._random.randint(1, 8))
        ]
        pauses = [self._random.choice((0.0, 0.01, 0.1, 0.5)) for _ in self.burst]
        for name, pause in zip(self.burst, pauses):
            self._blows[name]()
            self.counts[name] += 1
            time.sleep(pause)
        self._lab.calm()
        self._settle()
        self._check()
        self.rounds += 1

    def _settle(self) -> None:
        """Wait until the kernel goes our way; count only what the daemon had of the time."""
        left, fought, begin = QUIET, False, time.monotonic()
        last = begin
        while not self._is_ours():
            now = time.monotonic()
            left, last = left - min(now - last, TICK), now
            if left <= 0 and not fought and self._lab.is_fighting():
                left, fought = FIGHT - QUIET, True
            if left <= 0:
                routes = self._server.run("ip", "-4", "-N", "route")
                raise Violation(f"the route is not ours: {self._verdict()}\n{routes}")
            time.sleep(0.005)
        self.fights += fought
        self.took.append(time.monotonic() - begin)

    def _verdict(self) -> RouteLookup | None:
        with self._server:
            return Kernel().read(Query(destinations=(OUTSIDE,))).lookup(OUTSIDE)

    def _is_ours(self) -> bool:
        verdict = self._verdict()
        return verdict is not None and (
            (verdict.prefixlen, verdict.metric, verdict.protocol) == (0, METRIC, PROTOCOL)
            and str(verdict.gateway) in GIVEN
        )

    def _check(self) -> None:
        self._lab.check()
        if self.watcher.wrong:
            raise Violation(f"a route of ours by a gateway of nobody's: {self.watcher.wrong}")
        arrivals = [one.at for one in self._lab.api.requests]
        for number, at in enumerate(arrivals):
            if len([one for one in arrivals[number:] if one < at + 60.0]) > BUDGET:
                raise Violation(f"more than {BUDGET} requests in the 60 s from {at:.1f}")

    def _usual(self) -> dict[str, Blow]:
        def ip(*commands: str) -> Blow:
            def call() -> None:
                for one in commands:
                    with self._server:  # what is gone already cannot be deleted
                        subprocess.run(["ip", *one.split()], check=False, stderr=subprocess.DEVNULL)

            return call

        blows = {
            "link flap": ip("link set eth1 down", "link set eth1 up"),
            "link down": ip("link set eth1 down"),
            "public flap": ip("link set eth0 down", "link set eth0 up"),
            "address flush": ip("address flush dev eth1"),
            "address gone and back": ip(
                "address flush dev eth1", f"address add {SERVICENET} dev eth1"
            ),
            "route deleted": ip(
                f"route del default via {GATEWAY}", f"route del default via {SECOND}"
            ),
            "all defaults flushed": ip("route flush exact 0.0.0.0/0"),
            "main table flushed": ip("route flush table main"),
            "default at metric 0": ip(f"route add default via {PUBLIC_ROUTER} dev eth0"),
            "default at our metric": ip(
                f"route prepend default via {PUBLIC_ROUTER} dev eth0 metric 1"),
            "route replaced": ip(
                f"route replace default via {SERVICENET_ROUTER} dev eth1 metric 1"),
            "losing default": ip(f"route add default via {PUBLIC_ROUTER} dev eth0 metric 500"),
            "neighbours forgotten": ip("neigh flush dev eth1"),
            "the fault ends": self._lab.api.clear_fault,
        }  # fmt: skip
        for name in FAULTS:
            blows[f"fault {name}"] = partial(self._lab.api.set_fault, name)
        return blows


def main() -> int:
    """Run until the time is over, or something does not hold."""
    args = _parser().parse_args()
    seed = args.seed if args.seed is not None else random.SystemRandom().randrange(10**6)
    print(f"chaos: seed {seed}, {args.seconds:g} s, {args.guest or 'namespaces'}", flush=True)
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        lab = GuestLab(stack, args.guest) if args.guest else Lab(stack, directory)
        lab.topology.gateway.ip(f"address add {SECOND}/19 dev eth1")
        chaos = Chaos(lab, seed)
        stack.callback(chaos.watcher.close)
        end = time.monotonic() + args.seconds
        try:
            while time.monotonic() < end:
                chaos.round()
                if args.verbose:
                    print(f"{chaos.rounds}: {', '.join(chaos.burst)}", flush=True)
        except (Violation, AssertionError) as error:
            print(f"chaos: VIOLATION, seed {seed}, round {chaos.rounds}: {error}")
            print(f"chaos: the blows were: {', '.join(chaos.burst)}")
            print(lab.said()[-3000:])
            return 1
    _report(chaos)
    return 0


def _report(chaos: Chaos) -> None:
    took = sorted(chaos.took)
    print(
        f"chaos: {chaos.rounds} rounds, {sum(chaos.counts.values())} blows of {len(chaos.counts)}"
        f" kinds ({min(chaos.counts.values())} of the rarest), {chaos.fights} rounds with a fight,"
        f" {len(chaos._lab.api.requests)} requests, no violation; the route was back after"
        f" {took[len(took) // 2] * 1000:.0f} ms (median), {took[-1]:.1f} s at worst"
    )


def _parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(prog="tests/run chaos --")
    result.add_argument("--seconds", type=float, default=120.0)
    result.add_argument("--seed", type=int)
    result.add_argument(
        "--guest", choices=("netplan", "networkd", "network-manager", "ifupdown"),
        help="in a whole guest instead, as root",
    )  # fmt: skip
    result.add_argument("--verbose", action="store_true", help="say each round's blows")
    return result


if __name__ == "__main__":
    sys.exit(main())
