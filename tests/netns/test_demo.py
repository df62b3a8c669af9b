"""`rcnetctl demo`, from the outside."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.conftest import missing

pytestmark = pytest.mark.netns
DEMO = [sys.executable, "-m", "rcnetd.ctl.main", "demo"]
QUICK = """
servers:
  - address: 10.180.1.2
    start: first-request
    timeline:
      - {at: 0s, status: DEPLOYING}
      - {at: 1s, gateway: 10.180.31.254}
      - {at: 2s, status: %s}
"""
PATIENCE = 90.0  # seconds


@pytest.fixture
def quick(tmp_path: Path) -> Path:
    """A scenario of two seconds."""
    path = tmp_path / "scenario.yaml"
    path.write_text(QUICK % "DEPLOYED")
    return path


def run(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run the demo to its end."""
    return subprocess.run(
        [*DEMO, *arguments], capture_output=True, text=True, check=False, timeout=PATIENCE
    )


def test_a_whole_boot() -> None:
    """It shows a 404, a gateway, the route, DEPLOYED and READY=1."""
    done = run([])

    assert (0, "") == (done.returncode, done.stderr)
    story = (
        r"before: 198\.51\.100\.10 sees the server as 203\.0\.113\.10, via the public router",
        r"ServiceNet comes up on eth1",
        r"gateway_ip: not assigned yet \(404\)",
        r"gateway_ip: 10\.180\.31\.254",
        r"automation_status: DEPLOYING",
        r"automation_status: DEPLOYED",
        r"systemd\s+READY=1, STATUS=ready",
        r"kernel\s+would go to the internet via 10\.180\.31\.254 dev eth1",
        r"after: 198\.51\.100\.10 sees the server as 10\.180\.1\.2, via the RackConnect gateway",
        r"rcnetd has stopped; its route stays",
        r"done: READY=1 was sent, the kernel uses the route",
    )
    assert re.search("(?s)" + ".*".join(story), done.stdout), done.stdout


def test_json_is_one_object_a_line(quick: Path) -> None:
    """For programs."""
    done = run(["--json", "--scenario", str(quick)])

    assert 0 == done.returncode, done.stderr
    entries = [json.loads(line) for line in done.stdout.splitlines()]
    assert all({"seconds", "who", "text"} == set(entry) for entry in entries)
    assert "done: READY=1 was sent, the kernel uses the route" == entries[-1]["text"]


@pytest.mark.parametrize("fault", ["hang", "expired", "rate-limit"])
def test_a_fault_is_weathered_or_said(quick: Path, fault: str) -> None:
    """The fault is shown; a server without an answer in time is a failure."""
    done = run(["--scenario", str(quick), "--fault", fault, "--timeout", "3s"])

    assert 1 == done.returncode, done.stdout
    assert "no READY=1 within 3s" in done.stdout
    assert "would go to the internet via 203.0.113.1 dev eth0" in done.stdout


def test_a_failed_automation_is_no_success(tmp_path: Path) -> None:
    """READY=1 is never sent; the route is set, and the reason is shown."""
    path = tmp_path / "scenario.yaml"
    path.write_text(QUICK % "FAILED")
    done = run(["--scenario", str(path), "--timeout", "8s"])

    assert 1 == done.returncode
    assert "FAILED" in done.stdout


@pytest.mark.parametrize(
    ("text", "words"), [("servers: 5", "servers: must be a list"), (None, "Failed to read")]
)
def test_a_wrong_scenario_is_one_line(tmp_path: Path, text: str | None, words: str) -> None:
    """Nothing else happens."""
    path = tmp_path / "scenario.yaml"
    if text is not None:
        path.write_text(text)
    done = run(["--scenario", str(path)])

    assert 1 == done.returncode
    assert 1 == done.stderr.count("\n")
    assert words in done.stderr


def test_without_namespaces_it_says_what_to_do(quick: Path) -> None:
    """It exits with 77 and names two remedies."""
    if os.geteuid() != 0:
        missing("netns", "needs root, to give it up")
    setpriv, unshare = shutil.which("setpriv"), shutil.which("unshare")
    if setpriv is None or unshare is None:
        missing("netns", "setpriv and unshare are not installed (util-linux)")
    limit = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
    command = [unshare, "--user", "--map-root-user", "sh", "-c", limit, "sh",
               setpriv, "--bounding-set=-all", "--inh-caps=-all", *DEMO]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)

    assert 77 == done.returncode, done.stderr
    assert 1 == done.stderr.count("\n")
    assert "run the demo as root, or allow user namespaces" in done.stderr
