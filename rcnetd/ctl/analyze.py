"""`rcnetctl analyze`: where the time of the boot went, as text, as JSON and as a picture."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from pathlib import Path

from rcnetd.basic.files import read_bounded, write_atomic
from rcnetd.ctl import status
from rcnetd.ctl.analysis import Analysis, analyze
from rcnetd.ctl.command import NOT_RUNNING, CommandError, add_format, host_paths
from rcnetd.ctl.summary import document, operations, phases
from rcnetd.ctl.terminal import Terminal
from rcnetd.store.paths import Paths

MAX_SIZE = 1024 * 1024  # bytes; the daemon keeps it below 256 KiB
MAX_CHANGES = 12  # lines
REPAIRS = {"lost": "lost", "takeover": "taken over by another route"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `rcnetctl analyze`."""
    parser.description = "Show where the time of the boot went: states, requests and changes."
    parser.epilog = (
        "Exit codes: 0 success; 1 the timeline cannot be read, or the picture cannot be written;"
        " 3 rcnetd has not run since boot."
    )
    add_format(parser)
    parser.add_argument(
        "--plot", metavar="FILE.svg", help="write a picture to FILE.svg; '-' is standard output"
    )
    parser.add_argument(
        "--all", action="store_true", help="with --plot, include what happened after READY"
    )


def run(args: argparse.Namespace) -> int:
    """Show the analysis, or write the picture."""
    found = _analysis(host_paths())
    if args.plot is not None:
        from rcnetd.ctl.plot import picture

        _write(args.plot, picture(found, everything=args.all))
    elif args.format == "json":
        print(json.dumps(document(found), indent=1))
    else:
        _show(found, Terminal(sys.stdout))
    return 0


def _analysis(paths: Paths) -> Analysis:
    try:
        text = read_bounded(paths.timeline, MAX_SIZE, follow=False).decode("utf-8", "replace")
    except FileNotFoundError:
        text = "rcnetd has not run since boot; 'systemctl start rcnetd'"
        raise CommandError(text, NOT_RUNNING) from None
    except (OSError, ValueError) as error:
        raise CommandError(f"Failed to read '{paths.timeline}': {error}") from None
    found = analyze(text.splitlines(), time.monotonic() if _runs(paths) else None)
    if found is None:
        raise CommandError(f"'{paths.timeline}' contains no events")
    return found


def _runs(paths: Paths) -> bool:
    try:
        return status.is_running(status.read(paths))
    except status.Unreadable:
        return False


def _write(name: str, text: str) -> None:
    """Write *text* to the file *name*. A device, a pipe or a link is not replaced by a file."""
    if name in ("-", "/dev/stdout"):
        sys.stdout.write(text)
        return
    path = Path(name)
    try:
        if path.exists() and not path.is_file():
            path.write_text(text, encoding="utf-8")
        else:
            write_atomic(Path(os.path.realpath(path)), text)
    except OSError as error:
        raise CommandError(f"Failed to write '{name}': {error.strerror}") from None


def _show(found: Analysis, terminal: Terminal) -> None:
    terminal.print(_first_line(found))
    if found.is_cut:
        terminal.print("The beginning is missing: the timeline is limited in size.")
    rows = [("", "began", "took")]
    for phase in phases(found):
        times = f", {phase.times} times" if phase.times > 1 else ""
        took = f"{_seconds(phase.took)}{' so far' if phase.is_open else ''}{times}"
        rows.append((phase.text, _seconds(phase.began - found.begin), took))
    _table(rows, terminal)
    rows = [("", "sent", "answers")]
    for entry in operations(found):
        answers = [f"{count} × {text}" for text, count in entry.answers]
        answers += [f"{entry.failed} × failed"] if entry.failed else []
        if entry.took:
            least, middle, most = (f"{seconds * 1000:.0f}" for seconds in entry.took)
            answers.append(f"in {least} / {middle} / {most} ms")
        rows.append((entry.operation, str(entry.sent), ", ".join(answers)))
    if len(rows) > 1:
        _table(rows, terminal)
    _changes(found, terminal)


def _first_line(found: Analysis) -> str:
    parts = []
    if found.route_at is not None:
        parts.append(f"route in effect {_seconds(found.route_at - found.begin)}")
    if found.ready_at is not None:
        parts.append(f"ready {_seconds(found.ready_at - found.begin)}")
    since = f"after rcnetd's start ({_seconds(found.begin)} after boot)"
    if not parts:
        return f"Not ready {_seconds(found.end - found.begin)} {since}."
    text = f"{', '.join(parts)} {since}"
    waits = "" if found.ready_at is not None else ", not ready yet"
    again = f"; started {found.starts} times" if found.starts > 1 else ""
    return f"{text[0].upper()}{text[1:]}{waits}{again}."


def _table(rows: list[tuple[str, str, str]], terminal: Terminal) -> None:
    first, second = (max(len(row[column]) for row in rows) for column in (0, 1))
    terminal.print("")
    for number, (name, middle, last) in enumerate(rows):
        line = f"  {name:<{first}}  {middle:>{second}}  {last}"
        terminal.print(terminal.paint("faint", line) if number == 0 else line)


def _changes(found: Analysis, terminal: Terminal) -> None:
    changes = found.changes
    if changes:
        terminal.print("")
    if found.repairs:
        terminal.print(f"  The route was repaired {_times(found)}.")
    shown = [(_seconds(mark.at - found.begin), mark.text) for mark in changes[:MAX_CHANGES]]
    width = max((len(at) for at, _ in shown), default=0)
    for at, text in shown:
        terminal.print(f"  {at:>{width}}  {text}")
    if len(changes) > MAX_CHANGES:
        terminal.print(f"  and {len(changes) - MAX_CHANGES} more changes")


def _times(found: Analysis) -> str:
    """How often the route was repaired, and why."""
    kinds: Counter[str] = Counter()
    for repair in found.repairs:
        kinds[repair.kind or "other"] += repair.times
    total = sum(kinds.values())
    why = ", ".join(f"{times} {REPAIRS.get(kind, kind)}" for kind, times in kinds.items())
    return f"{'once' if total == 1 else f'{total} times'} ({why})"


def _seconds(seconds: float) -> str:
    """Format a time as systemd-analyze does: 1.234s, 2min 3.456s."""
    if round(seconds, 3) < 60:
        return f"{seconds:.3f}s"
    minutes, rest = divmod(round(seconds, 3), 60)
    if minutes < 60:
        return f"{minutes:.0f}min {rest:.3f}s"
    return f"{minutes // 60:.0f}h {minutes % 60:.0f}min {rest:.0f}s"
