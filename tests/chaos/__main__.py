"""Chaos: everything that takes routes away, at random, and what must hold all the same.

tests/run chaos [-- --seconds N --seed S --guest MANAGER]

In the small cloud of `rcnetd.lab.topology`, or with `--guest netplan` (networkd, network-manager,
ifupdown) in a whole Debian guest, whose managers and agents join in. A round is a burst of blows,
then quiet, in which this must become true, and stay so:

* within 2 s (11 s if a fight was declared) no default route beats ours, which is by a gateway that
  the API has given, and whatever else diverts the traffic (a VPN, a policy rule) is in the status;
* when that has ended, the kernel goes to the internet by our route, and the status says so;
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
import random
import re
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
from rcnetd.emulator.faults import FAULTS
from rcnetd.lab.topology import Topology
from rcnetd.netlink.kernel import Kernel
from tests.chaos.blows import BLOWS, POLICIES, POLICIES_END, SECOND, carry_out
from tests.chaos.labs import GIVEN, Blow, GuestLab, Lab, Violation

BUDGET = 18  # requests a minute, the default
QUIET, FIGHT = 2.0, 11.0  # seconds; a fight's pause is 10
TICK = 0.05  # seconds; of a longer one the rest was this machine's, not the daemon's


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


class Chaos:
    """Deals the blows, and looks at what becomes of them."""

    def __init__(self, lab: Lab | GuestLab, seed: int) -> None:
        self._lab = lab
        self._random = random.Random(seed)
        self._server = lab.topology.server
        self.watcher = Watcher(lab.topology)
        self._blows = self._usual()
        self._blows.update(lab.blows())
        self.rounds = self.fights = self.diverted = 0
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
        """Wait until our route holds; then, without VPNs and rules, until traffic goes by it."""
        begin = time.monotonic()
        fought = self._until(self._is_held, "no route of ours holds")
        if not self._is_ours():
            fought |= self._until(self._is_told, "a diversion is not in the status")
            carry_out(self._lab.topology, *POLICIES_END)
            self.diverted += 1
        fought |= self._until(self._is_ours, "the route is not ours")
        self.took.append(time.monotonic() - begin)
        carry_out(self._lab.topology, *POLICIES_END)
        self._until(self._is_in_effect, "the status does not say that the route is in effect")
        self.fights += fought

    def _until(self, claim: Callable[[], bool], text: str) -> bool:
        """Wait; count only what the daemon had of the time. True if there was a fight."""
        left, fought, last = QUIET, False, time.monotonic()
        while not claim():
            now = time.monotonic()
            left, last = left - min(now - last, TICK), now
            if left <= 0 and not fought and self._lab.status()["route"]["fighting"]:
                left, fought = FIGHT - QUIET, True
            if left <= 0:
                routes = self._server.run("ip", "-4", "-N", "route")
                rules = self._server.run("ip", "-4", "rule")
                status = json.dumps(self._lab.status(), indent=1)
                doing = _doing(self._lab.status().get("pid"))
                raise Violation(f"{text}: {self._verdict()}\n{routes}{rules}{status}\n{doing}")
            time.sleep(0.005)
        return fought

    def _verdict(self) -> RouteLookup | None:
        with self._server:
            return Kernel().read(Query(destinations=(OUTSIDE,))).lookup(OUTSIDE)

    def _is_held(self) -> bool:
        """Whether table main has our default route, and none that is as good."""
        with self._server:
            found = Kernel().read(Query()).defaults
        best = [route for route in found if route.tos == 0 and route.metric <= METRIC]
        return [(route.metric, route.protocol) for route in best] == [(METRIC, PROTOCOL)] and (
            str(best[0].gateway) in GIVEN
        )

    def _is_told(self) -> bool:
        return self._is_ours() or bool(self._lab.status()["route"]["diversions"])

    def _is_in_effect(self) -> bool:
        route = self._lab.status()["route"]
        return bool(route["in_effect"]) and not route["diversions"]

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
        blows: dict[str, Blow] = {
            name: partial(carry_out, self._lab.topology, *commands)
            for name, commands in {**BLOWS, **POLICIES, "VPNs and rules end": POLICIES_END}.items()
        }
        blows["the fault ends"] = self._lab.api.clear_fault
        for name in FAULTS:
            blows[f"fault {name}"] = partial(self._lab.api.set_fault, name)
        return blows


def _doing(pid: int | None) -> str:
    """Whether a process runs, sleeps or is stopped, and where in the kernel it waits."""
    try:
        state = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()[2]
        return f"process {pid}: {state}, {Path(f'/proc/{pid}/wchan').read_text(encoding='ascii')}"
    except OSError as error:
        return f"process {pid}: {error}"


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
        f" {chaos.diverted} with a diversion,"
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
