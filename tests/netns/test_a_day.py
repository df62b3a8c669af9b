"""A day after READY of the real daemon, in half a minute: nothing that grows, nothing said.

All its lengths of time are divided, so that what it does in a day it does here: 96 rechecks, each
with a fetcher of its own that is started and ended, and more than 1,440 resyncs.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.netns.daemons import ONCE, Cloud, Daemon
from tests.support.waiting import LONG, until

pytestmark = pytest.mark.netns

HURRIED = """
import sys
from rcnetd.core import polling
from rcnetd.store import budget
from rcnetd.core import machine
from rcnetd.core import poller
from rcnetd.daemon import main
from rcnetd.core import pacing
from rcnetd.basic.dataclass import replace
from rcnetd.config import load as config

load = config.load
def hurried(*files, **options):
    settings = load(*files, **options)
    return replace(settings, gateway=replace(settings.gateway, recheck_interval=0.2))

config.load = hurried
machine.RESYNC_INTERVAL, poller.FETCHER_IDLE_DELAY = 0.02, 0.05
budget.SLOT_HELD = 0.02
pacing.Pacer.limit_to = lambda pacer, limit: pacer.__dict__.update(limit=limit, interval=0.02)
sys.exit(main.main())
"""
RECHECKS = 96  # of a day
MAX_KEPT = 1.0  # MB; an allocator does not give everything back


class Used(NamedTuple):
    """What the process holds between two requests."""

    megabytes: float
    descriptors: int
    threads: int


def used(daemon: Daemon) -> Used:
    """What the daemon holds while it has no child."""
    pid = daemon.process.pid
    until(lambda: daemon.children() == [])
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    found = dict(re.findall(r"^(VmRSS|Threads):\s+(\d+)", status, re.MULTILINE))
    descriptors = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return Used(int(found["VmRSS"]) / 1024, descriptors, int(found["Threads"]))


def test_a_day_of_the_whole_daemon(cloud: Cloud) -> None:
    """No memory, no descriptor, no child, no thread and no line in the log is left of it."""
    cloud.emulate(f"limit: 1000000\n{ONCE}")
    daemon = cloud.start(program=(sys.executable, "-c", HURRIED))
    daemon.until_ready()

    def rechecked(times: int) -> None:
        end = len(cloud.api.requests) + times
        with daemon.told():
            until(lambda: daemon.hear() and len(cloud.api.requests) >= end, times + LONG)

    rechecked(RECHECKS // 4)  # whatever is made once is made
    before, log = used(daemon), daemon.log.read_text()
    rechecked(RECHECKS)
    after = used(daemon)

    assert before[1:] == after[1:]
    assert after.megabytes - before.megabytes < MAX_KEPT, (before, after)
    assert log == daemon.log.read_text()
    assert daemon.status["requests"]["last_failure"] is None
    assert 1 == sum(line == "READY=1" for line in daemon.hear())
