"""Prometheus' own tools, which judge what is made for them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tests.conftest import missing

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "rcnetd" / "prometheus"


def tool(name: str) -> str:
    """A program of Debian's packages prometheus and prometheus-node-exporter.

    `tests/run` unpacks them, as installing them would start services on this machine.
    """
    found = shutil.which(name, path=f"{CACHE}/usr/bin:{os.environ.get('PATH', '/usr/bin')}")
    if found is None:
        missing("prometheus", f"{name} is not here; packaging/apt-unpack fetches it")
    return found


def promtool() -> str:
    """The path of promtool."""
    return tool("promtool")
