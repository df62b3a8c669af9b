"""Bounded waits on something observable."""

from __future__ import annotations

import select
import time
from collections.abc import Callable

LONG = 10.0  # seconds; nothing here takes that long unless it is broken


def until(claim: Callable[[], object], timeout: float = LONG) -> float:
    """Wait until *claim* is true; returns the seconds it took, fails after *timeout*."""
    started = time.monotonic()
    while not claim():
        assert time.monotonic() - started < timeout, "it never came"
        select.select([], [], [], 0.002)
    return time.monotonic() - started
