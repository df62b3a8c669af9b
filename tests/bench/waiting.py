"""What waiting costs: memory, CPU and wake-ups, while RackConnect works and after READY."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import tempfile
import time
from math import inf
from pathlib import Path
from unittest import mock

from rcnetd.daemon import reporter
from rcnetd.daemon.notify import Notifier
from rcnetd.lab.topology import API
from rcnetd.store.paths import Paths
from rcnetd.store.runtime import RuntimeFiles
from tests.bench.figures import Figure, Measure
from tests.bench.lab import Lab, Options, cpu_ns
from tests.bench.repair import DEPLOYED
from tests.netns.daemons import Daemon
from tests.support.playbook import ASSIGNED, MANAGED, Playbook, boot
from tests.support.playbook import DEPLOYED as STATUS_DEPLOYED
from tests.support.waiting import until
from tests.unit.core.test_simulation import SPACING

DEPLOYING = "limit: 1000000\nservers: [{timeline: [{at: 0, gateway: 10.180.31.254}]}]"
WAIT = 600.0  # seconds that RackConnect may well take
HOUR = 3600.0
WATCHDOG = "30000000"  # microseconds, as in the unit


def memory(options: Options) -> list[Measure]:
    """Resident after READY, in several runs."""
    pss: list[float] = []
    rss: list[float] = []
    with contextlib.ExitStack() as stack:
        lab = Lab(stack, DEPLOYED)
        for _ in range(options.times(5)):
            lab.reset()
            command, environ = lab.with_settings()
            place = Path(environ["RUNTIME_DIRECTORY"])
            with lab.program(command, **environ) as (_, process):
                until((place / "ready.json").exists)
                time.sleep(1)  # the fetcher is gone
                used = resident(process.pid)
            pss.append(used["Pss"])
            rss.append(used["Rss"])
    figures = [Figure("rcnetd, Rss", rss, "MB"), Figure("rcnetd, Pss", pss, "MB")]
    return [Measure("resident memory after READY", "Rss 20 MB", figures)]


def resident(pid: int) -> dict[str, float]:
    """Pss and Rss of a process in MB."""
    return sizes(Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii"))


def sizes(text: str) -> dict[str, float]:
    """Pss and Rss in MB from a `smaps_rollup`."""
    lines = re.findall(r"^(Pss|Rss): +(\d+) kB", text, re.MULTILINE)
    return {name: int(size) / 1024 for name, size in lines}


def waits(options: Options) -> list[Measure]:
    """A wait for DEPLOYED beside the shell loop at the same spacing; an idle hour."""
    span = WAIT if options.full else 66.0
    with contextlib.ExitStack() as stack:
        deploying, looped, ready = (Lab(stack, text) for text in (DEPLOYING, DEPLOYING, DEPLOYED))
        waiter = deploying.daemon()
        waiter.until_state("WAITING_FOR_DEPLOYED")
        idler = ready.daemon(WATCHDOG_USEC=WATCHDOG)
        idler.until_ready()
        _sleep(6, waiter, idler)  # both are past their start
        loop = _loop(looped)
        stack.callback(loop.kill)
        before, idle_before = _cpu(waiter), cpu_ns(idler.process.pid)
        woken = _wake_ups(idler.process.pid)
        _sleep(span, waiter, idler)
        ours = (_cpu(waiter) - before) / 1e9
        idle = (cpu_ns(idler.process.pid) - idle_before) / 1e9
        woken = _wake_ups(idler.process.pid) - woken
        loop.kill()
        _, _, usage = os.wait4(loop.pid, 0)
        loop.returncode = -9
    shell = usage.ru_utime + usage.ru_stime
    note = "whole" if options.full else f"from {span:.0f} s"
    return [
        Measure(
            "CPU of 10 minutes DEPLOYING",
            "the shell loop's at the same spacing",
            [
                Figure("rcnetd and its fetcher", [ours * WAIT / span], "s"),
                Figure(f"shell and curl, every {SPACING:.1f} s", [shell * WAIT / span], "s"),
            ],
            [note, "without the start of either"],
        ),
        Measure(
            "wake-ups of an idle minute",
            "only for the watchdog (4 a minute) and the resync (1)",
            [Figure("rcnetd", [woken * 60 / span], "/min")],
            [f"CPU of an idle hour {idle * HOUR / span:.2f} s, from {span:.0f} s"],
        ),
    ]


def metrics(options: Options) -> list[Measure]:
    """CPU of an idle hour's wake-ups, with and without the metrics: as many as the unit has."""
    book = boot(MANAGED, ASSIGNED, STATUS_DEPLOYED)
    used: dict[str, list[float]] = {"with": [], "without": []}
    with tempfile.TemporaryDirectory(dir="/run") as folder:
        paths = Paths(Path(folder), Path(folder))
        for _ in range(options.times(7)):
            for kind, values in used.items():
                interval = reporter.METRICS_INTERVAL if kind == "with" else inf
                with mock.patch.object(reporter, "METRICS_INTERVAL", interval):
                    values.append(_hour(book, paths))
    return [
        Measure(
            "CPU of an idle hour's 240 wake-ups",
            "no measurable difference; no wake-up is added",
            [Figure(f"{kind} metrics", values, "s") for kind, values in used.items()],
        )
    ]


def _hour(book: Playbook, paths: Paths) -> float:
    one = reporter.Reporter(paths, RuntimeFiles(paths), Notifier({}), lambda *_: None)
    one.tell(book.machine.snapshot(book.now), {})
    begin = time.process_time()
    for wake in range(240):
        book.now += HOUR / 240
        if wake % 4 == 0:
            book.look()  # the resync
        one.tell(book.machine.snapshot(book.now), {})
    return time.process_time() - begin


def _loop(lab: Lab) -> subprocess.Popen[bytes]:
    script = (
        f'while [ "$(curl --silent --cacert {lab.api.ca_file} https://{API}/v1/automation_status)"'
        f" != DEPLOYED ]; do sleep {SPACING:.2f}; done"
    )
    with lab.server:
        return subprocess.Popen(["sh", "-c", script])


def _sleep(seconds: float, *daemons: Daemon) -> None:
    """Wait, and read what they say, as systemd does: an unheard one tries again and again."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.5)
        for daemon in daemons:
            daemon.hear()


def _cpu(daemon: Daemon) -> int:
    return sum(cpu_ns(pid) for pid in (daemon.process.pid, *daemon.children()))


def _wake_ups(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(text.partition("\nvoluntary_ctxt_switches:")[2].split()[0])
