"""`rcnetctl status`: how this server is, from `status.json`; needs no privilege.

Exit codes: 0 ready (with --wait: it has come); 3 rcnetd is not running; 4 running, not ready yet;
75 not in time; 69, 75, 76 or 78: how the daemon, or the automation, ended.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from rcnetd.basic.files import read_bounded
from rcnetd.ctl import status_view
from rcnetd.ctl.terminal import Terminal
from rcnetd.store.paths import Paths

MAX_SIZE = 64 * 1024  # bytes
NOT_RUNNING, NOT_READY = 3, 4
POLL_INTERVAL = 10.0  # seconds after which a daemon that was killed is noticed


# What comes of a file that says it is of version 1, and yet has not its form.
NOT_ITS_FORM = (KeyError, TypeError, AttributeError, ValueError, OverflowError)


class Unreadable(Exception):
    """`status.json` cannot be read; one plain line."""


def read(paths: Paths) -> dict[str, Any] | None:
    """The content of `status.json`, None where the daemon never ran. Raises `Unreadable`."""
    try:
        content = json.loads(read_bounded(paths.status, MAX_SIZE))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise Unreadable(f"Failed to read '{paths.status}': {error}") from None
    if not isinstance(content, dict) or content.get("version") != 1:
        raise Unreadable(f"'{paths.status}' is of another version; restart rcnetd")
    return content


def read_persisted(paths: Paths) -> dict[str, Any] | None:
    """How `rcnetctl persist` went last; None where there is no word of it."""
    try:
        content = json.loads(read_bounded(paths.persisted, MAX_SIZE))
        outcome = {key: content[key] for key in ("at", "ok", "renderer", "files", "reason")}
    except (OSError, RecursionError, *NOT_ITS_FORM):
        return None
    is_list = isinstance(outcome["files"], list)
    return outcome if is_list and all(isinstance(path, str) for path in outcome["files"]) else None


def is_running(content: dict[str, Any] | None) -> bool:
    """Whether the daemon that wrote *content* is there."""
    pid = content.get("pid") if content else None
    return isinstance(pid, int) and Path(f"/proc/{pid}").exists()


def run(paths: Paths, *, as_json: bool, wait: str | None, timeout: float | None) -> int:
    """Show the status, after waiting for *wait* ("route" or "deployed") if it is given."""
    terminal = Terminal(sys.stderr)
    try:
        if wait is None:
            content = read(paths)
            code, reason = _present(content), ""
        else:
            content, code, reason = _wait(paths, wait, timeout, terminal)
        if as_json:
            more = {"running": is_running(content), "persisted": read_persisted(paths)}
            print(json.dumps({**(content or {}), **more}, indent=1))
        elif wait is None:
            show(content, read_persisted(paths), Terminal(sys.stdout))
    except Unreadable as error:
        code, reason = 1, str(error)
    except NOT_ITS_FORM:
        code, reason = 1, f"'{paths.status}' is damaged; restart rcnetd"
    if reason:
        terminal.print(f"rcnetctl: {reason}")
    return code


def _present(content: dict[str, Any] | None) -> int:
    if content is None:
        return NOT_RUNNING
    if content["exit"] is not None:
        return int(content["exit"]["code"])
    if not is_running(content):
        return NOT_RUNNING
    return 0 if content["ready"] else NOT_READY


def _wait(
    paths: Paths, goal: str, timeout: float | None, terminal: Terminal
) -> tuple[dict[str, Any] | None, int, str]:
    """Wait until *goal* has come, or cannot come any more; why is the last."""
    from rcnetd.basic.inotify import Watch
    from rcnetd.ctl.startup import Startup

    begin = time.monotonic()
    end = begin + timeout if timeout is not None else None
    startup = Startup(begin)
    with Watch(paths.run) as watch:
        while True:
            content = read(paths)
            now = time.monotonic()
            code, reason = _reached(content, goal)
            obstacle = startup.obstacle(now) if code is None and not is_running(content) else None
            if obstacle is not None:
                code, reason = NOT_RUNNING, obstacle
            if code is None and end is not None and now >= end:
                text = content["status"] if content else "rcnetd has not started yet"
                code, reason = os.EX_TEMPFAIL, f"not in time: {text}"
            if code is not None:
                return content, code, reason
            text = status_view.live(content, now) if content else "waiting for rcnetd to start"
            terminal.progress(text)
            pause = POLL_INTERVAL if is_running(content) else 0.5
            pause = min(pause, 1.0) if terminal.is_live else pause  # its seconds are counted
            watch.wait(min(pause, end - now) if end is not None else pause)


def _reached(content: dict[str, Any] | None, goal: str) -> tuple[int | None, str]:
    """The exit code once *goal* is decided (None while it is not), and why."""
    if content is None:
        return None, ""
    if content["exit"] is not None and not is_running(content):
        return int(content["exit"]["code"]), str(content["exit"]["reason"])
    if not is_running(content):
        return None, ""
    state, text = content["state"], content["status"]
    if content["ready"]:
        return 0, text
    if goal == "route" and content["route"]["in_effect"]:
        return 0, text
    if goal == "route" and content["configured_by"] == "rackconnect":
        return 0, f"rcnetd sets no route here ({content['configured_by_reason']})"
    if goal == "deployed" and state == "FAILED":
        return os.EX_UNAVAILABLE, text
    return None, ""


def show(
    content: dict[str, Any] | None, outcome: dict[str, Any] | None, terminal: Terminal
) -> None:
    """The status for people."""
    if content is None:
        terminal.print("rcnetd has not run since boot; 'systemctl start rcnetd'")
        return
    now, running = time.monotonic(), is_running(content)
    text, tone = status_view.headline(content, running=running)
    rows = status_view.rows(content, now, running=running) + status_view.written(outcome)
    terminal.print(f"rcnetd: {terminal.paint(tone, text)}")
    for name, value, tone in rows:
        shown = terminal.paint(tone, value) if tone else value
        terminal.print(f"  {name:<11}{shown}")
