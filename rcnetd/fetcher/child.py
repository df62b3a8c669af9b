"""A process of the fetcher as its parent has it: lines to it, lines from it. Never blocks."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess

from rcnetd.fetcher.spawn import pipes

MAX_REPLY_SIZE = 128 * 1024  # bytes; a body of 64 KiB in base64, and its frame
REAP_TIMEOUT = 1.0  # seconds in which a killed process has to be gone


class Child:
    """A process that was spawned. `rest` is what has come of a line that is not whole yet."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._requests, self._replies = pipes(process)
        self.rest = b""

    def fileno(self) -> int:
        """The descriptor to select on for reading."""
        return self._replies

    @property
    def has_said_something(self) -> bool:
        """Whether there is something to read; its end counts."""
        return bool(select.select([self._replies], [], [], 0)[0])

    def write(self, line: bytes) -> bool:
        """Whether it has got the whole line."""
        try:
            return os.write(self._requests, line) == len(line)
        except (BlockingIOError, BrokenPipeError):
            return False

    def read(self) -> list[bytes] | None:
        """The lines that have come; None if it has ended."""
        try:
            data = os.read(self._replies, MAX_REPLY_SIZE)
        except BlockingIOError:
            return []
        if not data:
            return None
        *lines, self.rest = (self.rest + data).split(b"\n")
        return lines

    def stop(self, *, grace: float = 0.0) -> str:
        """Kill it and reap it, in bounded time; returns how it ended.

        One that is about to end by itself gets *grace* seconds for that.
        """
        process = self._process
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            stream.close()
        if grace:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(grace)
        process.kill()
        try:
            code = process.wait(REAP_TIMEOUT)
        except subprocess.TimeoutExpired:
            return "it cannot be killed"  # the kernel holds it; `subprocess` reaps it later
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"
