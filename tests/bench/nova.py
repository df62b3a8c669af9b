"""`rcnetctl fleet` on real Nova with 10,000 servers, beside what operators use for it.

Their client is installed into an environment of its own, which is kept in
${XDG_CACHE_HOME:-~/.cache}/rcnetd.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench.figures import Figure, Measure
from tests.bench.lab import Options
from tests.fleet import rows
from tests.fleet.nova import Nova
from tests.fleet.sdks import ROOT
from tests.support.openstack import write_clouds

SERVERS, ASKED = 10_000, 1000
CLIENT = "10.5.0"  # of python-openstackclient
# The process tells its own peak: what wait4(2) tells begins with that of the process it came from.
PEAK = """
for line in open("/proc/self/status"):
    if line.startswith("VmHWM"):
        sys.stderr.write("\\n" + line.split()[1])
"""
OURS = f"""
import sys
from rcnetd.ctl.main import main
assert 0 == main(["fleet", "--format", "json"])
{PEAK}"""
THEIRS = f"""
import sys
from openstackclient.shell import main
assert 0 == main(["server", "list", "--long", "-f", "json"])
{PEAK}"""
# What many deployment scripts do, with one connection and one login, which few of them have.
LOOP = f"""
import os, sys
import openstack
compute = openstack.connect(cloud="nova", region_name="ORD").compute
for server in sys.argv[1:]:
    found = compute.get(f"/servers/{{server}}").json()["server"]["metadata"]
    assert "DEPLOYED" == found["rackconnect_automation_status"]
{PEAK}"""


def client() -> Path:
    """The interpreter of the environment that has OpenStack's own client."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rcnetd"
    folder = cache / f"openstackclient-{CLIENT}"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        pip = [str(folder / "bin/pip"), "install", "-qq", "--disable-pip-version-check"]
        subprocess.run([*pip, f"python-openstackclient=={CLIENT}"], check=True)
        (folder / "complete").touch()
    return folder / "bin/python"


def measure(options: Options) -> list[Measure]:
    """Seconds, CPU, requests and memory of each in turn."""
    theirs = client()
    nova = Nova.started()
    try:
        rows.fill(nova.tree, nova.project, ["DEPLOYED"] * SERVERS)
        with tempfile.TemporaryDirectory() as folder:
            path = write_clouds(Path(folder) / "clouds.yaml", {"nova": nova.settings()})
            os.environ.update(
                OS_CLIENT_CONFIG_FILE=str(path), OS_CLOUD="nova", PYTHONPATH=str(ROOT)
            )
            ids = [rows.server_id(number) for number in range(1, ASKED + 1)]
            times = options.times(1)
            runs = {
                "rcnetctl fleet": [_run(nova, sys.executable, OURS) for _ in range(times)],
                "openstack server list --long": [_run(nova, theirs, THEIRS) for _ in range(times)],
                f"one request for each server, {ASKED} of them": [
                    _run(nova, sys.executable, LOOP, ids) for _ in range(times)
                ],
            }
    finally:
        nova.stop()
    units = (("seconds", "s"), ("CPU", "s of CPU"), ("requests", "requests"), ("memory", "MB"))
    return [
        Measure(
            f"{SERVERS} servers on real Nova: {title}",
            "less than what operators use",
            [Figure(who, [one[place] for one in found], unit) for who, found in runs.items()],
        )
        for place, (title, unit) in enumerate(units)
    ]


def _run(
    nova: Nova, python: str | Path, program: str, arguments: Sequence[str] = ()
) -> tuple[float, float, float, float]:
    """Seconds, CPU seconds, requests to Nova, and peak memory in MB of a process."""
    before, begin = nova.requests(), time.monotonic()
    process = subprocess.Popen(
        [str(python), "-W", "ignore", "-c", program, *arguments],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    told = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert 0 == process.returncode, told
    took = time.monotonic() - begin
    memory = int(told.split()[-1]) / 1024
    return took, usage.ru_utime + usage.ru_stime, nova.requests() - before, memory
