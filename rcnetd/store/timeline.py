"""What happened since boot: `timeline.jsonl`, one JSON object a line, bounded in size.

Each line has `at` (CLOCK_MONOTONIC seconds), `event`, and the fields of that event. A field named
`text` or `answer` is a sentence for people, whose wording may change; every other field is for
programs.

    started     pid, version
    state       state (its name), text
    request     operation
    answer      operation, took (seconds), answer, and outcome:
                    "ok"            the API answered; with status, gateway or
                                    configure_network_stack (true, false or null: it did not say)
                    "not-assigned"  404 to gateway_ip: RackConnect has not assigned a gateway yet
                    "rate-limited"  403
                    "failed"        no usable answer; kind says what failed ("dns", "timeout" …)
    change      text: a route or a link was changed; the same change again and again is noted
                less and less often
    repair      kind: "lost" (the route was no longer there) or "takeover" (another route won);
                count: the repairs since this daemon's start, which may grow by more than one
                from line to line; text
    log         level, text
    ready       READY=1 was sent
    stopping    text

A reader ignores events and fields that it does not know.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

MAX_SIZE = 256 * 1024  # bytes; beyond it, the older half is dropped


class Timeline:
    """Appends to *path*. If the disk is full or missing, only lines of this file are lost."""

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
