"""What the audience of `rcnetctl demo` sees: a line for each thing that happens."""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

LAST_LINES = 5  # of the log of a daemon that exits


class Narrator:
    """Prints what happens, a line each, with the time since the start."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._begin = time.monotonic()

    def say(self, who: str, text: str, at: float | None = None) -> None:
        """Print one line: who does what. *at* is in monotonic seconds."""
        seconds = (time.monotonic() if at is None else at) - self._begin
        if self._as_json:
            print(json.dumps({"seconds": round(seconds, 3), "who": who, "text": text}), flush=True)
        else:
            print(f"{seconds:7.3f} s  {who:<9} {text}", flush=True)


class DaemonWatcher:
    """Follows a daemon's timeline and its messages to systemd, and says what is in them."""

    def __init__(self, narrator: Narrator, timeline: Path, notify: socket.socket) -> None:
        self._narrator, self._timeline, self._notify = narrator, timeline, notify
        self._shown = 0  # lines of the timeline
        self.is_ready = False
        self.status = ""

    def follow(self, daemon: subprocess.Popen[bytes], timeout: float, log: Path) -> None:
        """Say what the daemon does, until READY=1, its end or the end of *timeout*."""
        end = time.monotonic() + timeout
        with selectors.DefaultSelector() as selector:
            selector.register(self._notify, selectors.EVENT_READ)
            while time.monotonic() < end and daemon.poll() is None and not self.is_ready:
                selector.select(0.1)
                self._show_timeline()
                self._receive()
        self._show_timeline()
        if daemon.poll() is not None:
            self._narrator.say("rcnetd", f"exited with code {daemon.returncode}")
            text = log.read_text(encoding="utf-8", errors="replace")
            for line in text.splitlines()[-LAST_LINES:]:
                self._narrator.say("rcnetd", line)

    def _receive(self) -> None:
        """Take the daemon's messages to systemd (sd_notify(3))."""
        with contextlib.suppress(BlockingIOError):
            while not self.is_ready:
                message = self._notify.recv(4096).decode(errors="replace")
                for line in message.splitlines():
                    name, _, value = line.partition("=")
                    if name == "STATUS":
                        self.status = value
                    elif name == "READY":
                        self.is_ready = True
                if self.is_ready:
                    self._narrator.say("systemd", f"READY=1, STATUS={self.status}")

    def _show_timeline(self) -> None:
        try:
            data = self._timeline.read_bytes()
        except OSError:
            return
        lines = [line for line in data.splitlines(keepends=True) if line.endswith(b"\n")]
        for line in lines[self._shown :]:
            entry = json.loads(line)
            text = _in_words(entry)
            if text:
                self._narrator.say("rcnetd", text, entry["at"])
        self._shown = len(lines)


def _in_words(entry: dict[str, Any]) -> str:
    """One line of the timeline in words; "" if it is not shown."""
    event = entry["event"]
    if event == "answer":
        return f"{entry['operation']}: {entry['answer']} ({entry['took'] * 1000:.0f} ms)"
    if event in ("change", "state"):
        return str(entry["text"])
    if event == "log" and entry["level"] in ("warning", "error"):
        return f"{entry['level']}: {entry['text']}"
    return ""
