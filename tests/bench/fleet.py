"""`rcnetctl fleet` with 10,000 servers, on each openstacksdk that a distribution ships."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.bench.figures import Figure, Measure
from tests.bench.lab import Options
from tests.fleet.sdks import ROOT, SDKS, installed
from tests.support.openstack import OpenStack, Region, server, write_clouds

SERVERS = 10_000
# Two rounds as in a wait: a full list, and the changes since (none).
ROUNDS = """
import random, sys, time
from rcnetd.fleet.clouds import Cloud
from rcnetd.fleet.collect import Collector
from rcnetd.fleet.servers import Selection
collector = Collector([Cloud("lab")], (), Selection(), clock=time.monotonic, sleep=time.sleep,
                      jitter=random.random)
def listed():
    begin = time.process_time()
    collector.start()
    while not collector.is_idle():
        collector.wait(time.monotonic() + 60)
    collector.counts()
    return time.process_time() - begin
listed()
assert collector.counts().total == 10_000
print(sorted(listed() for _ in range(5))[2] * 1000)
"""
# The process tells its own peak: what wait4(2) tells begins with that of the process it came from.
PEAK = """
import sys
for line in open("/proc/self/status"):
    if line.startswith("VmHWM"):
        sys.stderr.write(line.split()[1])
"""
LIST = f"""
from rcnetd.ctl.main import main
assert 0 == main(["fleet", "--format", "json", "--region", "ord"])
{PEAK}"""
SDK_LIST = f"""
import openstack
print(len(list(openstack.connect(cloud="lab", region_name="ORD").compute.servers())))
{PEAK}"""


def measure(options: Options) -> list[Measure]:
    """CPU and memory of a full list, and CPU of an interval without changes."""
    times = options.times(5)
    with tempfile.TemporaryDirectory() as folder:
        cloud = OpenStack({"ORD": Region([server(number) for number in range(SERVERS)])})
        try:
            path = write_clouds(Path(folder) / "clouds.yaml", {"lab": cloud.settings()})
            environment = {
                **os.environ,
                "OS_CLIENT_CONFIG_FILE": str(path),
                "PYTHONPATH": str(ROOT),
            }
            environment.pop("OS_CLOUD", None)
            return _measured(environment, times, full=options.full)
        finally:
            cloud.stop()


def _measured(environment: dict[str, str], times: int, *, full: bool) -> list[Measure]:
    cpu: list[Figure] = []
    memory: list[Figure] = []
    interval: list[Figure] = []
    for sdk in reversed(SDKS):
        python = installed(sdk)
        who = f"openstacksdk {sdk.version} ({sdk.where})"
        if python is None:
            cpu.append(Figure(who, text="needs Python 3.9"))
            continue
        runs = [_run([str(python), "-W", "ignore", "-c", LIST], environment) for _ in range(times)]
        cpu.append(Figure(who, [one[0] for one in runs], "s"))
        memory.append(Figure(who, [one[1] for one in runs], "MB"))
        done = subprocess.check_output(
            [python, "-W", "ignore", "-c", ROUNDS], env=environment, text=True
        )
        interval.append(Figure(who, [float(done)], "ms"))
    if full:
        used = _run([sys.executable, "-W", "ignore", "-c", SDK_LIST], environment)
        cpu.append(Figure("compute.servers() of the newest", [used[0]], "s"))
        memory.append(Figure("compute.servers() of the newest", [used[1]], "MB"))
    return [
        Measure("10,000 servers listed: CPU", "at most 1 s", cpu),
        Measure("10,000 servers listed: memory", "at most 100 MB", memory),
        Measure("an interval without changes: CPU", "at most 20 ms", interval),
    ]


def _run(command: Sequence[str], environment: dict[str, str]) -> tuple[float, float]:
    """CPU seconds and peak memory in MB of a process, with everything from its start."""
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    peak = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert 0 == process.returncode, peak
    return usage.ru_utime + usage.ru_stime, int(peak) / 1024
