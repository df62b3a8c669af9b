"""Starting the fetcher's process: no more than that takes, so that it can come first in a boot.

The rule: the process gets nothing of ours but two pipes, and what it is told here.
"""

from __future__ import annotations

import os
import subprocess
import sys

PROGRAM = os.path.join(os.path.dirname(__file__), "process.py")  # noqa: PTH118, PTH120 -- 7 ms
SITES = ("site-packages", "dist-packages")


def spawn(ca_file: str | None = None) -> subprocess.Popen[bytes]:
    """Start the process; its ends of the pipes do not block. Raises `OSError`.

    *ca_file* is loaded ahead of need. The interpreter does not look for packages by itself (-S,
    4 ms and more): it is told where ours are.
    """
    sites = os.pathsep.join(path for path in sys.path if path.endswith(SITES))
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", str(PROGRAM), str(os.getpid()), sites, ca_file or ""],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
        env=_environment(),
    )
    for descriptor in pipes(process):
        os.set_blocking(descriptor, False)
    return process


def pipes(process: subprocess.Popen[bytes]) -> tuple[int, int]:
    """The descriptors for its requests and its replies."""
    assert process.stdin is not None
    assert process.stdout is not None
    return process.stdin.fileno(), process.stdout.fileno()


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill the process, if it is still there, and reap it."""
    process.kill()
    with process:  # closes the pipes and waits
        pass


def _environment() -> dict[str, str]:
    """What the fetcher gets of our environment: the loader's variables, libfaketime's for tests.

    Proxies, certificate bundles, resolver options and the like must not change what it does.
    """
    names = ("LD_", "FAKETIME")
    return {name: value for name, value in os.environ.items() if name.startswith(names)}
