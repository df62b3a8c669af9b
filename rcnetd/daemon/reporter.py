"""What the daemon says of itself while it runs: `status.json`, metrics, STATUS=, the watchdog."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import Any

from rcnetd.core.snapshot import Snapshot
from rcnetd.daemon.metrics import Tally, render
from rcnetd.daemon.notify import Notifier
from rcnetd.daemon.status import document, status_text
from rcnetd.fetcher.protocol import Confined
from rcnetd.store.paths import Paths
from rcnetd.store.runtime import RuntimeFiles

EXTEND_INTERVAL, EXTEND_BY = 10.0, 30.0  # seconds, while systemd waits for READY
NOTIFY_RETRY_DELAY = 0.1  # seconds; systemd was too busy to listen
LIVE = {"at", "status"}  # of the status: no news by themselves
STATUS_INTERVAL = 5.0  # seconds between refreshes of what is live in STATUS=, until ready
# Seconds after which the next wake-up renews the metrics; there is none for them alone. With the
# unit's watchdog that is within a minute, which the alert about a daemon that is gone counts on.
METRICS_INTERVAL = 45.0
RETRY_INTERVAL = 1.0  # seconds until a status that could not be written is written again
MIN_INTERVAL = 0.1  # seconds between two writings while events repeat


class Reporter:
    """Keeps systemd, `status.json` and the watchdog up to date; *complain* is told of failures."""

    def __init__(
        self,
        paths: Paths,
        files: RuntimeFiles,
        notifier: Notifier,
        complain: Callable[[Path, OSError], None],
    ) -> None:
        self._paths, self._files, self._notifier = paths, files, notifier
        self._complain = complain
        self.tally = Tally(time.monotonic())
        self.confinement: Confined | None = None
        self._news: dict[str, Any] = {}
        self._status = ""
        self._pending = False  # something is to be told once MIN_INTERVAL is over
        self._told_at = self._refreshed_at = self._metrics_at = -inf
        self._extended_at = self._watchdog_at = -inf
        self._retry_at = inf  # `status.json` could not be written

    def wake_at(self, now: float, *, is_ready: bool) -> float:
        """When there is something to tell even if nothing happens."""
        points = [self._retry_at]
        if self._pending:
            points.append(self._told_at + MIN_INTERVAL)
        if not is_ready:
            points += [self._refreshed_at + STATUS_INTERVAL, self._extended_at + EXTEND_INTERVAL]
        if self._notifier.watchdog_interval is not None:
            points.append(self._watchdog_at + self._notifier.watchdog_interval)
        if self._notifier.is_waiting:
            points.append(now + NOTIFY_RETRY_DELAY)
        return min(points)

    def tell(self, snapshot: Snapshot, answers: dict[str, Any], *, at_once: bool = False) -> None:
        """Tell what is new, after a healthy turn of the loop only."""
        now, is_ready = snapshot.at, snapshot.is_ready
        if at_once or now >= self._told_at + MIN_INTERVAL:
            self._tell(snapshot, answers)
        else:
            self._pending = True
        if not is_ready and now >= self._extended_at + EXTEND_INTERVAL:
            self._extended_at = now
            self._notifier.extend_timeout(EXTEND_BY)
        interval = self._notifier.watchdog_interval
        if interval is not None and now >= self._watchdog_at + interval:
            self._watchdog_at = now
            self._notifier.watchdog()
        self._notifier.flush()

    def _tell(self, snapshot: Snapshot, answers: dict[str, Any]) -> None:
        now = snapshot.at
        self._pending = False
        content = self._document(snapshot, answers)
        news = {name: content[name] for name in content.keys() - LIVE}
        is_due = not snapshot.is_ready and now >= self._refreshed_at + STATUS_INTERVAL
        if news == self._news and not is_due and now < self._retry_at:
            if now >= self._metrics_at + METRICS_INTERVAL:
                self._write_metrics(content, now)
            return
        self._news, self._told_at, self._refreshed_at = news, now, now
        self._write(content)
        self._write_metrics(content, now)
        text = status_text(snapshot)
        if text != self._status:
            self._status = text
            self._notifier.status(text)

    def ready(self, snapshot: Snapshot, answers: dict[str, Any]) -> None:
        """Report READY=1. The status comes first: what is started by READY reads it."""
        self.tell(snapshot, answers, at_once=True)
        self._notifier.ready(status_text(snapshot))

    def reloading(self) -> None:
        """The settings are read again."""
        self._notifier.reloading(time.monotonic(), "reading the settings")

    def reloaded(self, snapshot: Snapshot) -> None:
        """The settings were read."""
        self._notifier.ready(status_text(snapshot))

    def stopping(self, snapshot: Snapshot, answers: dict[str, Any], text: str) -> None:
        """The daemon ends; the status says so from now on."""
        self._notifier.stopping(text)
        content = self._document(snapshot, answers)
        self._write({**content, "pid": None, "status": text})
        self._write_metrics(content, snapshot.at)  # why the daemon gave up

    def _document(self, snapshot: Snapshot, answers: dict[str, Any]) -> dict[str, Any]:
        return document(snapshot, pid=os.getpid(), answers=answers, confinement=self.confinement)

    def _write_metrics(self, content: dict[str, Any], now: float) -> None:
        self._metrics_at = now
        persisted = self._files.read_persisted()
        text = render(content, self.tally, now=now, clock=time.time(), persisted=persisted)
        try:
            self._files.metrics(text)
        except OSError as error:
            self._complain(self._paths.metrics, error)

    def _write(self, content: dict[str, Any]) -> None:
        try:
            self._files.status(content)
            self._retry_at = inf
        except OSError as error:
            self._retry_at = content["at"] + RETRY_INTERVAL
            self._complain(self._paths.status, error)
