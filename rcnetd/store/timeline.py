"""What happened since boot: one JSON object a line, bounded in size, for people who ask later.

Each line has `at` (CLOCK_MONOTONIC seconds), `event` and what belongs to it:

    started     pid, version
    state       state (its name), text
    request     operation
    answer      operation, answer (a few words), ok, took (seconds)
    change      text: a route or a link was changed
    log         level, text
    ready       READY=1 was given
    stopping    text
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

MAX_SIZE = 256 * 1024  # bytes; then the older half goes


class Timeline:
    """Appends to *path*. A disk that is full, or not there, only loses lines of this file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, at: float, event: str, **fields: Any) -> None:
        """Add a line for *event*, which happened at *at* (monotonic seconds)."""
        line = json.dumps({"at": round(at, 6), "event": event, **fields}) + "\n"
        try:
            descriptor = os.open(
                self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644
            )
            try:
                os.write(descriptor, line.encode())
                size = os.fstat(descriptor).st_size
                if size <= len(line):
                    os.fchmod(descriptor, 0o644)  # whatever the umask: readable by all
            finally:
                os.close(descriptor)
            if size > MAX_SIZE:
                self._shorten()
        except OSError:
            pass

    def _shorten(self) -> None:
        lines = self._path.read_bytes().splitlines(keepends=True)
        shorter = self._path.with_name(self._path.name + ".new")
        shorter.write_bytes(b"".join(lines[len(lines) // 2 :]))
        shorter.chmod(0o644)
        shorter.replace(self._path)
