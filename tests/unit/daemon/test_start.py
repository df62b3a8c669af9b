"""The fetcher comes first: a daemon of its own process, as systemd starts it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TREE = Path(__file__).parents[3]
# Print what is loaded when the fetcher is started, and whether anything is left in the end.
WATCH = """
import sys
from rcnetd.daemon import start
def spawn():
    print("spawned", *(name for name in sys.modules if name.startswith("rcnetd")))
    return real()
real, start.spawn = start.spawn, spawn
code = start.main()
import os
try:
    os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
    print("nobody is left")
sys.exit(code)
"""


def run(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`rcnetd` with a settings file that is wrong."""
    (tmp_path / "rcnetd.yaml").write_text("regoin: dfw\n")
    return subprocess.run(
        [sys.executable, "-c", WATCH, *arguments],
        env={**os.environ, "CONFIGURATION_DIRECTORY": str(tmp_path)},
        cwd=TREE,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_fetcher_is_started_before_anything_is_loaded(tmp_path: Path) -> None:
    """It waits for nothing that the daemon needs, and goes with a daemon that does not start."""
    done = run(tmp_path)
    assert done.returncode == os.EX_CONFIG, done.stderr
    spawned, left = done.stdout.splitlines()
    assert set(spawned.split()) == {
        "spawned", "rcnetd", "rcnetd.daemon", "rcnetd.daemon.start", "rcnetd.fetcher",
        "rcnetd.fetcher.privileges", "rcnetd.fetcher.spawn",
    }  # fmt: skip
    assert left == "nobody is left"


def test_a_check_needs_no_fetcher(tmp_path: Path) -> None:
    """`rcnetd --check` reads the settings only."""
    done = run(tmp_path, "--check")
    assert done.returncode == os.EX_CONFIG, done.stderr
    assert done.stdout == "nobody is left\n"
