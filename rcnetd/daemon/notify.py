"""sd_notify(3): what systemd is told. The only door to systemd-python.

Nothing is sent without NOTIFY_SOCKET, and a socket that is gone is no reason to fail. A manager
that is too busy to listen stops nothing: its socket takes some messages, then sendmsg(2) would
block.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
from collections.abc import Mapping

from rcnetd.basic.text import printable

MAX_STATUS_LENGTH = 512  # characters


class Notifier:
    """Speaks to the service manager named in *environ* (the process's own environment).

    *watchdog_interval* is the seconds between two `watchdog` calls, None if nobody waits for them.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._socket = environ.get("NOTIFY_SOCKET")
        self._waiting: dict[str, str] = {}  # by name: only the latest is of interest
        self.watchdog_interval = _watchdog_interval(environ)

    def ready(self, status: str) -> None:
        """The service is up: READY=1."""
        self._send("READY=1", f"STATUS={_line(status)}")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send(f"STATUS={_line(text)}")

    def extend_timeout(self, seconds: float) -> None:
        """Starting takes longer, but it is alive: EXTEND_TIMEOUT_USEC."""
        self._send(f"EXTEND_TIMEOUT_USEC={round(seconds * 1_000_000)}")

    def watchdog(self) -> None:
        """Still alive: WATCHDOG=1."""
        self._send("WATCHDOG=1")

    def reloading(self, now: float, status: str) -> None:
        """The settings are read again, from *now* (CLOCK_MONOTONIC) until `ready`: RELOADING=1."""
        moment = f"MONOTONIC_USEC={round(now * 1_000_000)}"
        self._send("RELOADING=1", moment, f"STATUS={_line(status)}")

    def stopping(self, status: str) -> None:
        """The service goes down: STOPPING=1."""
        self._send("STOPPING=1", f"STATUS={_line(status)}")

    @property
    def is_waiting(self) -> bool:
        """Whether something could not be sent yet: call `flush` again soon."""
        return bool(self._waiting)

    def flush(self) -> None:
        """Send what waits, if the manager takes it now."""
        if not self._waiting or not _has_room(self._socket or ""):
            return
        from systemd.daemon import notify

        lines = "\n".join(self._waiting.values())
        self._waiting.clear()
        with contextlib.suppress(OSError):  # the manager is gone: nobody asks any more
            # systemd-python reads NOTIFY_SOCKET itself; "@" for an abstract socket too.
            notify(lines)

    def _send(self, *lines: str) -> None:
        if not self._socket:
            return
        for line in lines:
            self._waiting[line.partition("=")[0]] = line
        self.flush()


def _has_room(name: str) -> bool:
    """Whether a message to the socket *name* would be taken, or refused, without blocking."""
    address = f"\0{name[1:]}" if name.startswith("@") else name
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(address)
        except (OSError, ValueError):
            return True  # notify() fails at once too
        poll = select.poll()
        poll.register(probe, select.POLLOUT)
        return bool(poll.poll(0))


def _watchdog_interval(environ: Mapping[str, str]) -> float | None:
    """Half of WATCHDOG_USEC in seconds, as sd_watchdog_enabled(3) advises; None without one."""
    try:
        microseconds = int(environ.get("WATCHDOG_USEC", ""))
        pid = int(environ.get("WATCHDOG_PID", os.getpid()))
    except ValueError:
        return None
    return microseconds / 2_000_000 if microseconds > 0 and pid == os.getpid() else None


def _line(text: str) -> str:
    """*text* as one line: a line break would begin another assignment."""
    return printable(text[:MAX_STATUS_LENGTH])
