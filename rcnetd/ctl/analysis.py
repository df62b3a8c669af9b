"""Reads `timeline.jsonl` as phases, requests, repairs and changes. Pure.

The file may have lost its older half, and any line may be damaged; whatever can be read is used.
Points in time are CLOCK_MONOTONIC seconds, as in the file: 0 is the kernel's boot.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from rcnetd.basic.dataclass import dataclass, field
from rcnetd.basic.text import plain
from rcnetd.core.states import State

FIRST = State.WAITING_FOR_SERVICENET  # a daemon's first state, for which there is no event
WITH_ROUTE = {"WAITING_FOR_DEPLOYED", "READY", "FAILED"}
STATES = {state.name: state.value for state in State}
MAX_TEXT_LENGTH = 200  # characters of a shown text
MAX_COUNT = 10**9  # repairs; a larger number is damage


@dataclass
class Span:
    """A state from *begin* to *end*; the current state of a running daemon has no end."""

    state: str
    begin: float
    end: float | None = None


@dataclass
class Request:
    """A request, and its answer if there is one."""

    operation: str
    begin: float
    end: float | None = None
    answer: str = ""
    outcome: str = ""
    status: str = ""

    @property
    def ok(self) -> bool:
        """Whether the API answered the question; "not assigned yet" is an answer."""
        return self.outcome in ("ok", "not-assigned")


@dataclass(frozen=True)
class Mark:
    """A single event: *kind* is started, change, repair, ready, stopping or error."""

    at: float
    kind: str
    text: str


@dataclass(frozen=True)
class Repair:
    """One or more repairs of the default route. *kind* is "lost" or "takeover"."""

    at: float
    kind: str
    times: int
    text: str


@dataclass
class Analysis:
    """Everything that happened, in order. *begin* is the first daemon's start."""

    begin: float = 0.0
    end: float = 0.0  # the last event, or now while the daemon runs
    version: str = ""
    starts: int = 0
    route_at: float | None = None
    ready_at: float | None = None
    is_cut: bool = False  # the file has lost its beginning
    spans: list[Span] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    repairs: list[Repair] = field(default_factory=list)
    counted: int = 0  # the repairs of the present daemon so far

    @property
    def changes(self) -> list[Mark]:
        """The changes of routes and links."""
        return [mark for mark in self.marks if mark.kind == "change"]


def analyze(lines: Iterable[str], now: float | None = None) -> Analysis | None:
    """Analyse *lines*; None if they contain no event. *now* is given while the daemon runs."""
    events = sorted(_events(lines), key=lambda event: event["at"])
    if not events:
        return None
    found = Analysis(begin=events[0]["at"], end=max(events[-1]["at"], now or 0.0))
    found.is_cut = events[0]["event"] != "started"
    for event in events:
        _TAKE.get(event["event"], _ignore)(found, event)
    if now is None and found.spans:
        found.spans[-1].end = found.spans[-1].end or found.end
    return found


def _events(lines: Iterable[str]) -> Iterable[dict[str, Any]]:
    for line in lines:
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if not isinstance(event, dict) or not isinstance(event.get("event"), str):
            continue
        at = event.get("at")
        if isinstance(at, (int, float)) and not isinstance(at, bool) and 0 <= at < 1e12:
            yield event


def _text(event: dict[str, Any], key: str) -> str:
    value = event.get(key)
    return plain(value, MAX_TEXT_LENGTH) if isinstance(value, str) else ""


def _started(found: Analysis, event: dict[str, Any]) -> None:
    _close(found, event["at"])
    found.starts += 1
    found.counted = 0
    found.version = _text(event, "version")
    found.spans.append(Span(FIRST.name, event["at"]))
    word = "rcnetd started" + (" again" if found.starts > 1 else "")
    found.marks.append(Mark(event["at"], "started", word))


def _state(found: Analysis, event: dict[str, Any]) -> None:
    name = _text(event, "state")
    if name not in STATES:
        return
    _close(found, event["at"])
    found.spans.append(Span(name, event["at"]))
    if name in WITH_ROUTE and found.route_at is None:
        found.route_at = event["at"]


def _close(found: Analysis, at: float) -> None:
    if found.spans and found.spans[-1].end is None:
        found.spans[-1].end = at


def _request(found: Analysis, event: dict[str, Any]) -> None:
    found.requests.append(Request(_text(event, "operation") or "?", event["at"]))


def _answer(found: Analysis, event: dict[str, Any]) -> None:
    name = _text(event, "operation") or "?"
    waiting = [request for request in found.requests[-4:] if request.operation == name]
    if not waiting or waiting[-1].end is not None:
        return  # its request was in the half that is lost
    request = waiting[-1]
    request.end, request.answer = event["at"], _text(event, "answer")
    request.outcome, request.status = _text(event, "outcome"), _text(event, "status")


def _change(found: Analysis, event: dict[str, Any]) -> None:
    found.marks.append(Mark(event["at"], "change", _text(event, "text")))


def _log(found: Analysis, event: dict[str, Any]) -> None:
    if event.get("level") == "error":
        found.marks.append(Mark(event["at"], "error", _text(event, "text")))


def _repair(found: Analysis, event: dict[str, Any]) -> None:
    """Take the number of repairs from the daemon's own count: a line may stand for several."""
    count, text = event.get("count"), _text(event, "text")
    if not isinstance(count, int) or not found.counted < count < MAX_COUNT:
        count = found.counted + 1
    repair = Repair(event["at"], _text(event, "kind"), count - found.counted, text)
    found.counted = count
    found.repairs.append(repair)
    found.marks.append(Mark(event["at"], "repair", text))


def _ready(found: Analysis, event: dict[str, Any]) -> None:
    if found.ready_at is None:
        found.ready_at = event["at"]
        found.marks.append(Mark(event["at"], "ready", "READY"))


def _stopping(found: Analysis, event: dict[str, Any]) -> None:
    _close(found, event["at"])
    found.marks.append(Mark(event["at"], "stopping", _text(event, "text")))


def _ignore(found: Analysis, event: dict[str, Any]) -> None:
    """Ignore an event of a later version."""


_TAKE = {
    "started": _started,
    "state": _state,
    "request": _request,
    "answer": _answer,
    "change": _change,
    "log": _log,
    "repair": _repair,
    "ready": _ready,
    "stopping": _stopping,
}
