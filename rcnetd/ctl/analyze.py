"""`rcnetctl analyze`: where the boot's time went, as text, for programs, and as a picture.

Exit codes: 0; 1 the timeline cannot be read or the picture not written; 3 rcnetd has not run.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from pathlib import Path

from rcnetd.basic.files import read_bounded, write_atomic
from rcnetd.ctl import status
from rcnetd.ctl.analysis import Analysis, analyze, asked, document, phases
from rcnetd.ctl.terminal import Terminal
from rcnetd.store.paths import Paths

MAX_SIZE = 1024 * 1024  # bytes; the daemon keeps it below 256 KiB
MAX_CHANGES = 12  # lines
REPAIRS = {"lost": "lost", "takeover": "taken over by another route"}


def run(paths: Paths, *, as_json: bool, plot: str | None, everything: bool) -> int:
    """Show it; with *plot* write the picture there instead ("-": to stdout)."""
    try:
        text = read_bounded(paths.timeline, MAX_SIZE).decode("utf-8", "replace")
    except FileNotFoundError:
        return _fail("rcnetd has not run since boot; 'systemctl start rcnetd'", 3)
    except (OSError, ValueError) as error:
        return _fail(f"Failed to read '{paths.timeline}': {error}", 1)
    found = analyze(text.splitlines(), time.monotonic() if _runs(paths) else None)
    if found is None:
        return _fail(f"'{paths.timeline}' tells nothing", 1)
    if plot is not None:
        return _plot(found, plot, everything=everything)
    if as_json:
        print(json.dumps(document(found), indent=1))
    else:
        _show(found, Terminal(sys.stdout))
    return 0


def _runs(paths: Paths) -> bool:
    try:
        return status.is_running(status.read(paths))
    except status.Unreadable:
        return False


def _plot(found: Analysis, name: str, *, everything: bool) -> int:
    from rcnetd.ctl.plot import picture

    svg = picture(found, everything=everything)
    if name == "-":
        print(svg, end="")
        return 0
    try:
        write_atomic(Path(name), svg)
    except OSError as error:
        return _fail(f"Failed to write '{name}': {error.strerror}", 1)
    return 0


def _show(found: Analysis, terminal: Terminal) -> None:
    terminal.print(_first_line(found))
    if found.is_cut:
        terminal.print("The timeline is bounded and has lost its beginning.")
    rows = [("", "began", "took")]
    for phase in phases(found):
        times = f", {phase.times} times" if phase.times > 1 else ""
        took = f"{_seconds(phase.took)}{' so far' if phase.is_open else ''}{times}"
        rows.append((phase.text, _seconds(phase.began - found.begin), took))
    _table(rows, terminal)
    rows = [("", "sent", "answers")]
    for entry in asked(found):
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
        terminal.print(f"  The route was put back {_times(found)}.")
    shown = [(_seconds(mark.at - found.begin), mark.text) for mark in changes[:MAX_CHANGES]]
    width = max((len(at) for at, _ in shown), default=0)
    for at, text in shown:
        terminal.print(f"  {at:>{width}}  {text}")
    if len(changes) > MAX_CHANGES:
        terminal.print(f"  and {len(changes) - MAX_CHANGES} more changes")


def _times(found: Analysis) -> str:
    """How often the route was put back, and why: "3 times (2 lost, 1 takeover)"."""
    kinds: Counter[str] = Counter()
    for repair in found.repairs:
        kinds[repair.kind or "other"] += repair.times
    total = sum(kinds.values())
    why = ", ".join(f"{times} {REPAIRS.get(kind, kind)}" for kind, times in kinds.items())
    return f"{'once' if total == 1 else f'{total} times'} ({why})"


def _seconds(seconds: float) -> str:
    """As systemd-analyze has it: 1.234s, 2min 3.456s."""
    if round(seconds, 3) < 60:
        return f"{seconds:.3f}s"
    minutes, rest = divmod(round(seconds, 3), 60)
    if minutes < 60:
        return f"{minutes:.0f}min {rest:.3f}s"
    return f"{minutes // 60:.0f}h {minutes % 60:.0f}min {rest:.0f}s"


def _fail(text: str, code: int) -> int:
    print(f"rcnetctl: {text}", file=sys.stderr)
    return code
