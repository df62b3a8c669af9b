"""Two hours of the built package in a guest: what grows, and what is lost meanwhile.

Usage: `tests/run soak -- --minutes 120`. The guest has rcnetd's default settings. All the while a
datagram a second goes to the internet, and a neighbour on the server asks the API three times a
minute. The time is cut into eight stages, in each of which the logs are rotated (journald's, and
the neighbour's by logrotate). The wall clock of rcnetd is stepped a day ahead in the second stage
and back in the seventh: a container has its machine's clock, so the daemon gets one of its own.
The package is upgraded between the fourth and the fifth.

It prints a row per stage, and fails if a process has more memory or descriptors at its end than at
its beginning, if a quiet stage has log lines, or if a datagram went another way or was lost.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from rcnetd.lab.topology import SERVICENET
from tests.boot.debs import extract
from tests.boot.guest import write
from tests.boot.single import built_guest
from tests.boot.test_boot import DAEMON, DEPLOYED, check_ready
from tests.boot.test_lifecycle import UPGRADE, give, next_version, restarted
from tests.boot.trees import RELEASES
from tests.soak.traffic import Traffic

STAGES = 8
DAY = 24 * 3600  # seconds
MAX_KEPT = 1.0  # MB; an allocator does not give everything back
CLOCK = "/etc/lab-clock"
CLOCK_UNIT = f"""\
[Service]
Environment=LD_PRELOAD=/usr/local/lib/clock.so RCNETD_CLOCK={CLOCK}
"""
# Told apart from the daemon, which asks for text, by the format.
FORMAT = "format=xml"
NEIGHBOUR = f"""\
[Unit]
After=network-online.target
Wants=network-online.target
[Service]
ExecStart=/bin/sh -c 'while :; do date; curl --silent --max-time 10 \
https://dfw.api.rackconnect.rackspace.com/v1/automation_status?{FORMAT}; sleep 20; done'
StandardOutput=append:/var/log/neighbour.log
[Install]
WantedBy=multi-user.target
"""
LOGROTATE = "/var/log/neighbour.log {\n    rotate 2\n    copytruncate\n}\n"


class Sample(NamedTuple):
    """The daemon and its files at one moment; counters count from its process's start."""

    pid: int
    megabytes: float  # of its own: RssAnon
    descriptors: int
    threads: int
    wakeups: int
    cpu: float  # seconds
    lines: int  # of all our units, since the boot
    requests: int  # the daemon's, since the boot
    neighbour: int  # its requests
    run_bytes: int
    sent: int
    lost: int


class Soak:
    """The guest, its traffic, and what is done to it."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._guest, package = built_guest(stack, "netplan")
        self._later = next_version(package)
        self._prepare()
        self._api = self._guest.emulate(DEPLOYED)
        stack.enter_context(self._guest.boot())
        check_ready(self._guest)
        self._traffic = stack.enter_context(Traffic(self._guest.topology, SERVICENET.ip))

    def _prepare(self) -> None:
        root = self._guest.root
        extract(root, RELEASES[-1], "logrotate")
        library = root / "usr/local/lib/clock.so"
        source = Path(__file__).parents[1] / "support/clock.c"
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, source], check=True)
        write(root, CLOCK, "0\n")
        write(root, "/etc/systemd/system/rcnetd.service.d/clock.conf", CLOCK_UNIT)
        write(root, "/etc/systemd/system/neighbour.service", NEIGHBOUR)
        write(root, "/etc/logrotate.d/neighbour", LOGROTATE)
        wants = root / "etc/systemd/system/multi-user.target.wants"
        wants.mkdir(parents=True, exist_ok=True)
        (wants / "neighbour.service").symlink_to("/etc/systemd/system/neighbour.service")

    def sample(self) -> Sample:
        """What is in use now, once no request is under way."""
        guest = self._guest
        pid = int(guest.show(DAEMON, "MainPID"))
        children = f"/proc/{pid}/task/{pid}/children"
        guest.until(lambda: guest.run("cat", children) == "")
        status = guest.run("cat", f"/proc/{pid}/status")
        found = dict(
            re.findall(r"^(RssAnon|Threads|voluntary_ctxt_switches):\s+(\d+)", status, re.M)
        )
        stat = guest.run("cat", f"/proc/{pid}/stat").rpartition(")")[2].split()
        sizes = guest.run("find", "/run/rcnetd", "-type", "f", "-printf", "%s\n").split()
        neighbour = sum(FORMAT in request.target for request in self._api.requests)
        return Sample(
            pid,
            int(found["RssAnon"]) / 1024,
            len(guest.run("ls", f"/proc/{pid}/fd").split()),
            int(found["Threads"]),
            int(found["voluntary_ctxt_switches"]),
            (int(stat[11]) + int(stat[12])) / 100,
            len(self.log().splitlines()),
            len(self._api.requests) - neighbour,
            neighbour,
            sum(map(int, sizes)),
            *self._traffic.counts(),
        )

    def log(self) -> str:
        """What our units have said since the boot."""
        return self._guest.run("journalctl", "--no-pager", "-o", "cat", "-u", "rcnetd*")

    def quiet(self) -> None:
        """Nothing happens."""

    def step(self, seconds: int) -> Callable[[], None]:
        """Set rcnetd's wall clock to so far from the machine's."""
        return lambda: write(self._guest.root, CLOCK, f"{seconds}\n")

    def upgrade(self) -> None:
        """dpkg installs a later version."""
        pid = self._guest.show(DAEMON, "MainPID")
        self._guest.run(*UPGRADE[".deb"], give(self._guest, self._later))
        restarted(self._guest, pid)

    def rotate(self) -> None:
        """What cron does at night."""
        self._guest.run("journalctl", "--rotate")
        self._guest.run("logrotate", "--force", "/etc/logrotate.d/neighbour")

    def misled(self) -> list[str]:
        """The datagrams that came from another address."""
        return self._traffic.misled


HEAD = (
    "stage", "what happened", "RssAnon MB", "fds", "threads", "wake-ups/min", "CPU ms/min",
    "log lines", "requests", "neighbour's", "/run/rcnetd B", "datagrams", "lost",
)  # fmt: skip


def row(stage: str, event: str, before: Sample, now: Sample, minutes: float) -> tuple[object, ...]:
    """A row of the table; what is counted, since the sample *before*."""
    base = before if before.pid == now.pid else before._replace(wakeups=0, cpu=0.0)
    return (
        stage, event, f"{now.megabytes:.2f}", now.descriptors, now.threads,
        f"{(now.wakeups - base.wakeups) / minutes:.1f}",
        f"{(now.cpu - base.cpu) * 1000 / minutes:.1f}",
        now.lines - before.lines, now.requests - before.requests,
        now.neighbour - before.neighbour, now.run_bytes, now.sent - before.sent,
        now.lost - before.lost,
    )  # fmt: skip


def show(cells: tuple[object, ...]) -> None:
    """Print a row at once: the next one is a quarter of an hour away."""
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def run(soak: Soak, minutes: float) -> list[str]:
    """Go through the stages; returns what did not hold."""
    events = {1: "a day ahead", 4: "upgraded", 6: "back again"}
    blows = {1: soak.step(DAY), 4: soak.upgrade, 6: soak.step(0)}
    each = minutes / STAGES
    samples = [soak.sample()]
    show(HEAD)
    show(("---",) * len(HEAD))
    show(row("0", "ready", samples[0], samples[0], 1.0))
    for stage in range(STAGES):
        end = time.monotonic() + each * 60
        blows.get(stage, soak.quiet)()
        time.sleep(max(0.0, end - time.monotonic()) / 2)
        soak.rotate()
        time.sleep(max(0.0, end - time.monotonic()))
        samples.append(soak.sample())
        show(row(str(stage + 1), events.get(stage, ""), samples[-2], samples[-1], each))
    return [*judge(samples), *soak.misled()]


def judge(samples: list[Sample]) -> list[str]:
    """What does not hold of the samples: of each process, its first and its last are compared."""
    wrong = []
    for pid in dict.fromkeys(sample.pid for sample in samples):
        # Not the sample at READY: what is done once comes soon after it.
        first, *_, last = [sample for sample in samples[1:] if sample.pid == pid]
        if last.megabytes - first.megabytes > MAX_KEPT:
            wrong.append(f"memory: {first.megabytes:.2f} MB, then {last.megabytes:.2f} MB")
        if last.descriptors != first.descriptors:
            wrong.append(f"descriptors: {first.descriptors}, then {last.descriptors}")
        if last.lines != first.lines:
            wrong.append(f"{last.lines - first.lines} log lines in quiet stages")
    if samples[-1].lost:
        wrong.append(f"{samples[-1].lost} datagrams were lost")
    if len({sample.pid for sample in samples}) != 2:
        wrong.append("there was another restart than that of the upgrade")
    return wrong


def main() -> int:
    """Run it; 1 if something did not hold."""
    parser = argparse.ArgumentParser(prog="tests/run soak --")
    parser.add_argument("--minutes", type=float, default=120.0)
    args = parser.parse_args()
    with contextlib.ExitStack() as stack:
        soak = Soak(stack)
        wrong = run(soak, args.minutes)
        if wrong:
            print(soak.log()[-5000:])
    for line in wrong:
        print(f"soak: {line}")
    print(f"soak: {args.minutes:g} minutes, {len(wrong)} findings")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
