"""Python in namespaces of its own: network with loopback, and files put in the place of others."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.conftest import missing

TREE = Path(__file__).parents[2]
SETUP = (
    'ip link set lo up; while [ "$1" != -- ]; do mount --bind "$1" "$2" || exit 99; shift 2; done;'
    ' shift; exec "$@"'
)


def run_unshared(script: str, *arguments: str, instead_of: Mapping[str, Path] | None = None) -> str:
    """Run Python code in new user, network and mount namespaces; returns what it prints.

    *instead_of* has the files to be seen in the place of others. Skips where that is not allowed.
    """
    unshare = ["unshare", "-Urnm"]
    if subprocess.run([*unshare, "true"], check=False, capture_output=True).returncode:
        missing("netns", "user namespaces are not allowed here")
    mounts = [str(word) for pair in (instead_of or {}).items() for word in reversed(pair)]
    done = subprocess.run(
        [
            *unshare,
            "sh",
            "-c",
            SETUP,
            "sh",
            *mounts,
            "--",
            sys.executable,
            "-c",
            script,
            *arguments,
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
        env={**os.environ, "PYTHONPATH": str(TREE)},
    )
    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout
