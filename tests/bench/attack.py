"""Another program deletes the default route 120 times a second, for a minute."""

from __future__ import annotations

import contextlib
import time

from tests.bench.figures import Figure, Measure
from tests.bench.lab import Lab, Options, cpu_ns
from tests.bench.repair import DEPLOYED, Breaker

DELETIONS = 120  # a second
SECONDS = 60


def measure(options: Options) -> list[Measure]:
    """How soon it is back each time, and what that costs."""
    times = options.repetitions or DELETIONS * SECONDS
    with contextlib.ExitStack() as stack:
        lab = Lab(stack, DEPLOYED)
        breaker = Breaker(lab, stack)
        lab.reset()
        daemon = lab.daemon()
        daemon.until_ready()
        lines, cpu = _lines(daemon.log.read_text()), cpu_ns(daemon.process.pid)
        begin = time.monotonic()
        took = []
        for number in range(times):
            took.append(breaker.once())
            time.sleep(max(0.0, begin + number / DELETIONS - time.monotonic()))
            daemon.hear()
        span = time.monotonic() - begin
        cpu = cpu_ns(daemon.process.pid) - cpu
        said = _lines(daemon.log.read_text()) - lines
        time.sleep(1)  # the status is not written for each
        entries, repairs = len(daemon.timeline), daemon.status["route"]["repairs"]
    return [
        Measure(
            f"the route is deleted {times / span:.0f} times a second for {span:.0f} s",
            "it is back at once each time; at most 10 % of a core",
            [
                Figure("until it is back", took),
                Figure("the worst", [max(took)]),
                Figure("CPU of rcnetd", [cpu / span / 1e7], "% of a core"),
                Figure("lines in the log", [said], ""),
                Figure("lines in timeline.jsonl, of the whole boot", [entries], ""),
            ],
            [f"{repairs} repairs are counted"],
        )
    ]


def _lines(text: str) -> int:
    return len(text.splitlines())
