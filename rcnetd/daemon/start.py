"""`rcnetd` from its first line on: the fetcher first, then everything else.

The fetcher takes as long to load as the daemon does, and needs to know nothing beforehand. So it is
started before the daemon's modules and settings are read, and both load side by side.
"""

from __future__ import annotations

import contextlib
import sys

from rcnetd.fetcher.privileges import keep_capabilities_here
from rcnetd.fetcher.spawn import end, spawn


def main() -> int:
    """Run the daemon; return its exit code (rcnetd(8), EXIT STATUS)."""
    process = None
    if "--check" not in sys.argv:
        keep_capabilities_here()
        with contextlib.suppress(OSError):  # the first request tries it again, and says so
            process = spawn()
    try:
        from rcnetd.daemon.main import main as run

        return run(process=process)
    finally:
        if process is not None:
            end(process)
