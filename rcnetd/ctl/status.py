"""`rcnetctl status`: the state of this server, from `status.json`; needs no privilege."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from typing import Any

from rcnetd.basic.files import read_bounded
from rcnetd.basic.text import printable
from rcnetd.ctl import status_view
from rcnetd.ctl.command import (
    NOT_READY,
    NOT_RUNNING,
    CommandError,
    add_format,
    duration,
    host_paths,
)
from rcnetd.ctl.terminal import Terminal
from rcnetd.store.paths import Paths

MAX_SIZE = 64 * 1024  # bytes
POLL_INTERVAL = 10.0  # seconds after which a daemon that was killed is noticed
MAX_QUEUED = 900.0  # seconds of a slow boot that do not count for --timeout


# What reading the parts of a damaged file raises, even if it claims to be of version 1.
NOT_ITS_FORM = (KeyError, TypeError, AttributeError, ValueError, OverflowError)


class Unreadable(CommandError):
    """`status.json` cannot be read."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `rcnetctl status`."""
    parser.description = "Show the state of this server. Needs no privilege."
    parser.epilog = (
        "Exit codes: 0 ready, or what --wait waits for has come; 3 rcnetd is not running; 4 not"
        " ready yet; 69 failed; 75 not in time; 76 UNPROCESSABLE; 78 invalid settings."
    )
    add_format(parser, "prometheus")
    parser.add_argument(
        "--wait", choices=("route", "deployed"),
        help="wait until the route is in effect, or until RackConnect is DEPLOYED",
    )  # fmt: skip
    parser.add_argument(
        "--timeout", type=duration, metavar="S",
        help="stop waiting after S (90s, 5min or seconds); at boot, S after the start of rcnetd",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Show the status, after waiting if that is asked for."""
    paths, terminal = host_paths(), Terminal(sys.stderr)
    reason = ""
    try:
        content = read(paths)
        if args.wait is None:
            _check_heard(paths, content)
            code = _present(content)
        else:
            content, code, reason = _wait(paths, args.wait, args.timeout, terminal)
        persisted, is_alive = read_persisted(paths), is_running(content)
        if args.format == "json":
            more = {"running": is_alive, "persisted": persisted}
            lines = [json.dumps({**(content or {}), **more}, indent=1)]
        elif args.format == "prometheus":
            lines = [_metrics(paths)]
        elif args.wait is None:
            lines = _lines(content, persisted, Terminal(sys.stdout))
        else:
            lines = []
    except NOT_ITS_FORM:
        raise CommandError(f"'{paths.status}' is damaged; restart rcnetd") from None
    finally:
        terminal.progress("")
    for line in lines:
        print(line)
    if reason:
        terminal.print(printable(f"rcnetctl: {reason}"))
    return code


def read(paths: Paths) -> dict[str, Any] | None:
    """Return the content of `status.json`, None if rcnetd never ran. Raises `Unreadable`."""
    try:
        content = json.loads(read_bounded(paths.status, MAX_SIZE, follow=False))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise Unreadable(f"Failed to read '{paths.status}': {error}") from None
    if not isinstance(content, dict) or content.get("version") != 1:
        raise Unreadable(f"'{paths.status}' has an unknown version; restart rcnetd")
    return content


def _metrics(paths: Paths) -> str:
    """Return the metrics as the daemon wrote them last. Raises `CommandError`."""
    try:
        lines = read_bounded(paths.metrics, MAX_SIZE, follow=False).decode().splitlines()
        return "\n".join(map(printable, lines))
    except FileNotFoundError:
        text = "rcnetd has written no metrics since boot; 'systemctl start rcnetd'"
        raise CommandError(text, NOT_RUNNING) from None
    except (OSError, ValueError) as error:
        raise CommandError(f"Failed to read '{paths.metrics}': {error}") from None


def read_persisted(paths: Paths) -> dict[str, Any] | None:
    """Return the result of the last `rcnetctl persist`, None if there is none."""
    try:
        content = json.loads(read_bounded(paths.persisted, MAX_SIZE, follow=False))
        outcome = {key: content[key] for key in ("at", "ok", "renderer", "files", "reason")}
    except (OSError, RecursionError, *NOT_ITS_FORM):
        return None
    is_list = isinstance(outcome["files"], list)
    return outcome if is_list and all(isinstance(path, str) for path in outcome["files"]) else None


def is_running(content: dict[str, Any] | None) -> bool:
    """Whether the daemon that wrote *content* still runs.

    Where /proc hides other users' processes (hidepid), kill(2) still tells that one exists.
    """
    pid = content.get("pid") if content else None
    if not isinstance(pid, int) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def _check_heard(paths: Paths, content: dict[str, Any] | None) -> None:
    """Raise `Unreadable` for a daemon that runs, and could not say so: /run is full, mostly."""
    from rcnetd.ctl.startup import is_active

    if not is_running(content) and is_active():
        text = f"rcnetd is running, but could not write '{paths.status}': is there room under /run?"
        raise Unreadable(f"{text} 'systemctl status rcnetd' has its state")


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
    """Wait until *goal* is decided; return the status, the exit code and the reason."""
    from rcnetd.basic.inotify import Watch
    from rcnetd.ctl.startup import Startup

    begin = time.monotonic()
    end = begin + timeout if timeout is not None else None
    startup = Startup(begin)
    with Watch(paths.run) as watch:
        while True:
            content = read(paths)
            now = time.monotonic()
            if timeout is not None and content is None and not startup.has_begun():
                # A slow boot: the time runs from the start of what is waited for.
                end = min(now, begin + MAX_QUEUED) + timeout
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
    """Return the exit code and the reason once *goal* is decided; None while it is not."""
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


def _lines(
    content: dict[str, Any] | None, outcome: dict[str, Any] | None, terminal: Terminal
) -> list[str]:
    """The status for people."""
    if content is None:
        return ["rcnetd has not run since boot; 'systemctl start rcnetd'"]
    now, running = time.monotonic(), is_running(content)
    text, tone = status_view.headline(content, running=running)
    rows = status_view.rows(content, now, running=running) + status_view.written(outcome)
    lines = [f"rcnetd: {terminal.paint(tone, text)}"]
    for name, value, tone in rows:
        lines.append(f"  {name:<11}{terminal.paint(tone, value)}")
    return lines
