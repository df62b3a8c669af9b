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
from typing import Any, TextIO

from rcnetd.files import read_bounded
from rcnetd.places import Places

SIZE_MOST = 64 * 1024  # bytes
NOT_RUNNING, NOT_READY = 3, 4
EX_UNAVAILABLE, EX_TEMPFAIL = 69, 75  # sysexits.h
START_GRACE = 5.0  # seconds for a daemon that is being started to write its first status
LOOK_AGAIN = 10.0  # seconds after which a daemon that was killed is noticed


class Unreadable(Exception):
    """`status.json` cannot be read; one plain line."""


def read(places: Places) -> dict[str, Any] | None:
    """The content of `status.json`, None where the daemon never ran. Raises `Unreadable`."""
    try:
        content = json.loads(read_bounded(places.status, SIZE_MOST))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise Unreadable(f"Failed to read '{places.status}': {error}") from None
    if not isinstance(content, dict) or content.get("version") != 1:
        raise Unreadable(f"'{places.status}' is of another version; restart rcnetd")
    return content


def is_running(content: dict[str, Any] | None) -> bool:
    """Whether the daemon that wrote *content* is there."""
    pid = content.get("pid") if content else None
    return isinstance(pid, int) and Path(f"/proc/{pid}").exists()


def run(places: Places, *, as_json: bool, wait: str | None, timeout: float | None) -> int:
    """Show the status, after waiting for *wait* ("route" or "deployed") if it is given."""
    try:
        if wait is None:
            content = read(places)
            code, reason = _present(content), ""
        else:
            content, code, reason = _wait(places, wait, timeout)
    except Unreadable as error:
        print(f"rcnetctl: {error}", file=sys.stderr)
        return 1
    if as_json:
        print(json.dumps({**(content or {}), "running": is_running(content)}, indent=1))
    elif wait is None:
        show(content, sys.stdout)
    if reason:
        print(f"rcnetctl: {reason}", file=sys.stderr)
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
    places: Places, goal: str, timeout: float | None
) -> tuple[dict[str, Any] | None, int, str]:
    """Wait until *goal* has come, or cannot come any more; why is the last."""
    from rcnetd.watch import Watch

    begin = time.monotonic()
    end = begin + timeout if timeout is not None else None
    shown = ""
    with Watch(places.run) as watch:
        while True:
            content = read(places)
            now = time.monotonic()
            code, reason = _reached(content, goal)
            if code is None and not is_running(content) and now >= begin + START_GRACE:
                code, reason = NOT_RUNNING, "rcnetd is not running; 'systemctl start rcnetd'"
            if code is None and end is not None and now >= end:
                text = content["status"] if content else "rcnetd is not running"
                code, reason = EX_TEMPFAIL, f"not in time: {text}"
            if code is not None:
                return content, code, reason
            text = content["status"] if content else "waiting for rcnetd to start"
            if text != shown and sys.stderr.isatty():
                print(f"\r\x1b[K{text[: _width()]}", end="", file=sys.stderr, flush=True)
                shown = text
            pause = LOOK_AGAIN if is_running(content) else 0.5
            watch.wait(min(pause, end - now) if end is not None else pause)


def _width() -> int:
    try:
        return os.get_terminal_size(2).columns - 1
    except OSError:
        return 79


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
    if goal == "route" and content["mode"] == "off":
        return 0, f"rcnetd sets no route here ({content['mode_why']})"
    if goal == "deployed" and state == "FAILED":
        return EX_UNAVAILABLE, text
    return None, ""


def show(content: dict[str, Any] | None, stream: TextIO) -> None:
    """The status for people."""
    from rcnetd.report import duration

    if content is None:
        print("rcnetd has not run since boot; 'systemctl start rcnetd'", file=stream)
        return
    now = time.monotonic()
    running = is_running(content)
    print(f"rcnetd: {content['status'] if running else 'not running'}", file=stream)
    rows = [("State", f"{content['state']} for {duration(now - content['since'])}")]
    if content["exit"]:
        rows.append(("Ended", f"{content['exit']['reason']} (exit {content['exit']['code']})"))
    if content["mode"]:
        rows.append(("Hands", f"{content['mode']}: {content['mode_why']}"))
    servicenet = content["servicenet"]
    if servicenet:
        text = f"{servicenet['interface']} {servicenet['address']}: {servicenet['why']}"
        rows.append(("ServiceNet", text))
    gateway, route = content["gateway"], content["route"]
    if gateway["address"]:
        word = "in effect" if route["in_effect"] else "not in effect"
        repairs = f", put back {route['repairs']} times" if route["repairs"] else ""
        rows.append(("Gateway", f"{gateway['address']}, {word}{repairs}"))
    if gateway["objection"]:
        rows.append(("Refused", gateway["objection"]))
    if content["automation"]["status"]:
        rows.append(("Automation", content["automation"]["status"]))
    requests = content["requests"]
    next_at = requests["next_at"]
    soon = f", next in {duration(next_at - now)}" if next_at and running else ""
    rows.append(("Requests", f"{requests['used']} of {requests['limit']} this minute{soon}"))
    if requests["last_failure"]:
        rows.append(("Failure", requests["last_failure"]["reason"]))
    for name, text in rows:
        print(f"  {name:<11}{text}", file=stream)
