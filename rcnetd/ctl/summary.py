"""An analysed timeline in figures: phases, operations, and the document for programs. Pure."""

from __future__ import annotations

from collections import Counter
from statistics import median
from typing import Any

from rcnetd.basic.dataclass import dataclass
from rcnetd.ctl.analysis import STATES, Analysis, Request

MAX_ANSWERS = 8  # different ones of an operation


@dataclass(frozen=True)
class Phase:
    """One state: when it first began, and how long it took altogether."""

    state: str
    began: float
    took: float
    times: int
    is_open: bool

    @property
    def text(self) -> str:
        """The state's own sentence."""
        return STATES[self.state]


def phases(found: Analysis) -> list[Phase]:
    """Return the states in the order in which they first occurred."""
    result = []
    for state in dict.fromkeys(span.state for span in found.spans):
        spans = [span for span in found.spans if span.state == state]
        took = sum((found.end if span.end is None else span.end) - span.begin for span in spans)
        is_open = spans[-1].end is None
        result.append(Phase(state, spans[0].begin, took, len(spans), is_open))
    return result


@dataclass(frozen=True)
class OperationSummary:
    """All requests of one operation. *took*: minimum, median and maximum, in seconds."""

    operation: str
    sent: int
    failed: int
    answers: tuple[tuple[str, int], ...]
    took: tuple[float, float, float] | None


def operations(found: Analysis) -> list[OperationSummary]:
    """Return the requests by operation, in the order in which they first occurred."""
    names = dict.fromkeys(request.operation for request in found.requests)
    return [_operation(name, found.requests) for name in names]


def _operation(name: str, requests: list[Request]) -> OperationSummary:
    requests = [request for request in requests if request.operation == name]
    answered = [request for request in requests if request.end is not None]
    times = sorted((request.end or 0.0) - request.begin for request in answered)
    counts = Counter(request.answer for request in answered if request.ok)
    return OperationSummary(
        name,
        sent=len(requests),
        failed=sum(not request.ok for request in answered),
        answers=tuple(counts.most_common(MAX_ANSWERS)),
        took=(times[0], median(times), times[-1]) if times else None,
    )


def document(found: Analysis) -> dict[str, Any]:
    """Return the document of `rcnetctl analyze --format json`, version 1.

    Times are seconds from `begin`, which is in CLOCK_MONOTONIC seconds. `route` and `ready` are
    null until they happen, as is the `took` of a phase that is not over. `complete` is false if the
    timeline has lost its beginning.
    """

    def after(at: float | None) -> float | None:
        return None if at is None else round(at - found.begin, 6)

    return {
        "version": 1,
        "begin": found.begin,
        "end": after(found.end),
        "complete": not found.is_cut,
        "starts": found.starts,
        "route": after(found.route_at),
        "ready": after(found.ready_at),
        "phases": [
            {
                "state": phase.state,
                "text": phase.text,
                "began": after(phase.began),
                "took": None if phase.is_open else round(phase.took, 6),
                "times": phase.times,
            }
            for phase in phases(found)
        ],
        "requests": [
            {
                "operation": entry.operation,
                "sent": entry.sent,
                "failed": entry.failed,
                "answers": dict(entry.answers),
                "took": entry.took and dict(zip(("min", "median", "max"), entry.took)),
            }
            for entry in operations(found)
        ],
        "repairs": [
            {
                "at": after(repair.at),
                "kind": repair.kind,
                "times": repair.times,
                "text": repair.text,
            }
            for repair in found.repairs
        ],
        "changes": [{"at": after(mark.at), "text": mark.text} for mark in found.changes],
    }
