"""A week of the real daemon in a minute, and a suspended one.

Its clocks are given (`tests/support/given_clock.py`): every interval is as in the field.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from rcnetd.core.settings import Settings
from rcnetd.store import ledger, timeline
from tests.chaos.blows import BLOWS, carry_out
from tests.chaos.labs import mend
from tests.conftest import missing
from tests.netns.daemons import ASSIGNED, ONCE, Cloud
from tests.support import given_clock
from tests.support.given_clock import HOUR, Clocks
from tests.support.waiting import LONG, until

pytestmark = pytest.mark.netns

DAYS = 7
FAULTS = ("http-503", "reset", "rate-limit")
BUDGET = Settings().requests_per_minute
MINUTE = 60.0  # seconds
MAX_KEPT = 1.0  # MB; an allocator does not give everything back


Event = Callable[[], object]


class Used(NamedTuple):
    """What the daemon holds while no request is under way."""

    megabytes: float  # of its own
    descriptors: int
    threads: int
    files: tuple[str, ...]
    ledger: int  # bytes
    timeline: int  # bytes
    log: int  # lines
    requests: int


class Days:
    """The cloud, the daemon with the test's clocks, and what can happen to them."""

    def __init__(self, cloud: Cloud, timeline: str, settings: str = "") -> None:
        path = cloud.directory / "clocks"
        self.clocks = Clocks(path)
        # The API's minute, and its limit of 30 requests, by the same clock.
        cloud.emulate(timeline, clock=self.clocks.boottime)
        program = (sys.executable, given_clock.__file__, str(path))
        self.cloud, self.daemon = cloud, cloud.start(settings, program=program)
        self.began = self.clocks.monotonic()

    def until(self, claim: Callable[[], object], timeout: float = LONG) -> None:
        """Wait for it, with the daemon's word if it does not come."""
        with self.daemon.told():
            until(lambda: self.daemon.hear() and claim(), timeout)

    def until_hour(self, hour: float) -> None:
        """Let time pass until so many hours after the start."""
        self.until_time(self.began + hour * HOUR)

    def until_time(self, at: float) -> None:
        """Let time pass until then, and until there is nothing more to do."""
        clocks = self.clocks
        clocks.set("limit", at)
        self.until(lambda: clocks.monotonic() >= at, 6 * LONG)
        before = clocks.get("rests")
        self.until(lambda: clocks.get("rests") > before + 1)

    def let_pass(self, seconds: float) -> None:
        """Let so much time pass."""
        self.until_time(self.clocks.monotonic() + seconds)

    def let_pass_until(self, claim: Callable[[], bool], seconds: float) -> None:
        """Let so much time pass, some times, until it is so."""
        for _ in range(20):
            if claim():
                return
            self.let_pass(seconds)
        raise AssertionError(f"it never came: {self.daemon.status}")

    def suspend(self, hours: float) -> None:
        """The machine was suspended for so long."""
        self.clocks.set("asleep", self.clocks.get("asleep") + hours * HOUR)

    def failures(self, name: str) -> None:
        """The API has a fault at the next recheck; at the one after that it is well again."""
        self.cloud.api.set_fault(name)
        self.let_pass_until(self._is_failing, HOUR / 4)
        self.cloud.api.clear_fault()
        self.let_pass_until(lambda: not self._is_failing(), HOUR / 4)

    def _is_failing(self) -> bool:
        return self.daemon.status["requests"]["last_failure"] is not None

    def blow(self, name: str) -> None:
        """Something happens to the network; what a manager would repair is repaired."""
        carry_out(self.cloud.topology, *BLOWS[name])
        mend(self.cloud.topology, "eth1")
        self.until(self.cloud.goes_by_gateway)

    def check_budget(self) -> None:
        """In no minute were there more requests than allowed."""
        arrivals = [request.at for request in self.cloud.api.requests]
        for number, at in enumerate(arrivals):
            assert len([one for one in arrivals[number:] if one < at + MINUTE]) <= BUDGET

    def reload(self) -> None:
        """The settings are read again."""
        self.daemon.process.send_signal(signal.SIGHUP)

    def used(self) -> Used:
        """What is in use once the fetcher has ended."""
        daemon, pid = self.daemon, self.daemon.process.pid
        self.let_pass_until(lambda: daemon.children() == [], MINUTE)  # the fetcher is kept for one
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        found = dict(re.findall(r"^(RssAnon|Threads):\s+(\d+)", status, re.MULTILINE))
        return Used(
            int(found["RssAnon"]) / 1024,
            len(list(Path(f"/proc/{pid}/fd").iterdir())),
            int(found["Threads"]),
            tuple(sorted(path.name for path in daemon.run.iterdir())),
            (daemon.run / "requests").stat().st_size,
            (daemon.run / "timeline.jsonl").stat().st_size,
            len(daemon.log.read_text().splitlines()),
            len(self.cloud.api.requests),
        )


def test_a_week_of_the_whole_daemon(cloud: Cloud) -> None:
    """Memory, descriptors, children, threads, files and log: the last day is as the first was.

    10,080 resyncs, and a fault now and then; fewer rechecks than by default, each of which starts
    a fetcher, which takes most of the test's time.
    """
    week = Days(cloud, ONCE, "gateway: {recheck_interval: 2h}")
    week.daemon.until_ready()
    events: list[Event] = [
        *(partial(week.failures, name) for name in FAULTS),
        *(partial(week.blow, name) for name in ("route deleted", "link flap", "address flush")),
        week.reload,
    ]
    ends = [week.used()]
    for day in range(DAYS):
        for number, event in enumerate(events, 1):
            week.until_hour(24 * (day + number / (len(events) + 1)))
            event()
        week.until_hour(24 * (day + 1))
        ends.append(week.used())
    for day, used in enumerate(ends):
        print(f"day {day}: {json.dumps(used._asdict())}")

    first, last = ends[1], ends[-1]
    assert first[1:4] == last[1:4]
    assert last.megabytes - first.megabytes < MAX_KEPT, (first, last)
    assert last.ledger <= ledger.MAX_SIZE
    assert last.timeline <= timeline.MAX_SIZE
    lines = [after.log - before.log for before, after in zip(ends, ends[1:])]
    assert max(lines) <= lines[0] + len(events), lines
    week.check_budget()
    assert DAYS * 10 < last.requests
    ready = sum(line == "READY=1" for line in week.daemon.hear())
    assert 1 + DAYS == ready  # and once after each reload


def test_a_suspend_frees_the_budget_and_ends_no_deadline(cloud: Cloud) -> None:
    """The server's minute goes on in a suspend. The time for DEPLOYED does not: in that time the
    automation could not reach this server either."""
    days = Days(cloud, ASSIGNED, "deploy_timeout: 30min")
    days.daemon.until_state("WAITING_FOR_DEPLOYED")
    days.let_pass(MINUTE)
    days.suspend(hours=24)
    free = ledger.Ledger(days.daemon.run / "requests", BUDGET, clock=days.clocks.boottime)
    assert free.view().used == 0

    days.until_hour(0.2)
    assert BUDGET * 8 < len(cloud.api.requests)
    assert days.daemon.status["state"] == "WAITING_FOR_DEPLOYED"
    days.suspend(hours=24)
    days.clocks.set("limit", days.began + HOUR)
    assert 75 == days.daemon.until_end(6 * LONG)
    assert 0.5 == pytest.approx((days.clocks.monotonic() - days.began) / HOUR, abs=0.05)
    days.check_budget()


# Prints how many slots are in use, in a time namespace where so much more time has passed.
VIEW = """
import sys
from pathlib import Path
from rcnetd.store.ledger import Ledger
print(Ledger(Path(sys.argv[1]), 18).view().used)
"""


@pytest.mark.parametrize(("clock", "used"), [("--boottime", 0), ("--monotonic", 5)])
def test_the_ledger_goes_by_the_kernels_boottime(
    namespaces: None, tmp_path: Path, clock: str, used: int
) -> None:
    """Seen through the kernel's own clocks, an hour later: CLOCK_MONOTONIC alone means nothing."""
    file = tmp_path / "requests"
    book = ledger.Ledger(file, BUDGET)
    for _ in range(5):
        assert book.take(deadline=MINUTE)[0] is not None
    command = ["unshare", "--time", clock, str(int(HOUR))]
    if subprocess.run([*command, "true"], check=False, stderr=subprocess.DEVNULL).returncode:
        missing("netns", "time namespaces are not allowed here")
    done = subprocess.run(
        [*command, sys.executable, "-c", VIEW, str(file)],
        check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert str(used) == done.stdout.strip()
