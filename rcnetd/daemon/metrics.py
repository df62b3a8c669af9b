"""The daemon's state as Prometheus metrics: the text of `rcnetd.prom`. Pure.

`render` makes it from the content of `status.json` and from a `Tally` of what that does not keep.
Every series is there from the start, counters as 0: `increase()` does not see a series that first
appears as 1. HELP texts never change: where two files on one host differ in them, node_exporter
drops samples. The gauge of the last update changes with every writing, so that the file's time of
change, which tells a daemon that is gone, does too.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from rcnetd import __version__
from rcnetd.basic.text import plain
from rcnetd.core.model import AutomationStatus, Operation
from rcnetd.core.states import State

# The words of api/errors.py and of the fetcher; any other one counts as "other".
FAILURES = (
    "ca-file", "certificate", "clock", "connect", "device", "disconnected", "dns", "failed",
    "fetcher", "http-4xx", "http-5xx", "invalid", "other", "oversize", "rate-limit", "redirect",
    "source", "timeout", "tls",
)  # fmt: skip
NO_STATUS = "NONE"
MAX_LABEL = 80  # characters


class Tally:
    """What is counted since the daemon started; *now* is CLOCK_MONOTONIC seconds."""

    def __init__(self, now: float) -> None:
        self.started_at = now
        self.requests = {operation.value: 0 for operation in Operation}
        self.failures = dict.fromkeys(FAILURES, 0)
        self.gateway_confirmed_at: float | None = None
        self.route_at: float | None = None
        self.ready_at: float | None = None

    def answered(self, operation: str, fields: Mapping[str, Any], now: float) -> None:
        """Count an answer by its operation and the fields of `status.answer_fields`."""
        self.requests[operation] = self.requests.get(operation, 0) + 1
        outcome = fields.get("outcome")
        if outcome == "ok" and operation == Operation.GATEWAY.value:
            self.gateway_confirmed_at = now
        elif outcome in ("failed", "rate-limited"):
            kind = "rate-limit" if outcome == "rate-limited" else _kind(str(fields.get("kind")))
            self.failures[kind] += 1

    def observe(self, document: Mapping[str, Any]) -> None:
        """Remember when the route was first in effect, and when the daemon was first ready."""
        if self.route_at is None and document["route"]["in_effect"]:
            self.route_at = document["at"]
        if self.ready_at is None and document["ready"]:
            self.ready_at = document["at"]


def _kind(kind: str) -> str:
    if kind.startswith(("http-4", "http-5")):
        return f"{kind[:6]}xx"
    return kind if kind in FAILURES else "other"


def render(
    document: Mapping[str, Any],
    tally: Tally,
    *,
    now: float,
    clock: float,
    persisted: Mapping[str, Any] | None = None,
) -> str:
    """The content of `rcnetd.prom`.

    *document* is that of `status.json`, *now* CLOCK_MONOTONIC and *clock* POSIX seconds of the
    same moment, *persisted* the content of `persist.json` if there is one.
    """
    tally.observe(document)
    page = _Page(clock - now)
    _identity(page, document)
    _states(page, document)
    _route(page, document, tally)
    _requests(page, document, tally)
    failed = persisted is not None and not persisted.get("ok")
    page.gauge("rcnetd_persisted", "Whether the route is in the host's configuration (1).",
               persisted is not None and not failed)  # fmt: skip
    page.gauge("rcnetd_persist_refused", "Whether the route could not be persisted (1).", failed)
    page.time("rcnetd_start_timestamp_seconds", "When the daemon started.", tally.started_at)
    page.time("rcnetd_last_update_timestamp_seconds", "When this was written.", now)
    return page.text()


class _Page:
    """Lines of the text format, 0.0.4."""

    def __init__(self, offset: float) -> None:
        self._offset = offset  # from CLOCK_MONOTONIC to POSIX seconds
        self._lines: list[str] = []

    def family(self, kind: str, name: str, text: str, samples: Mapping[str, float]) -> None:
        """A metric with its samples; the keys are the labels as they are written."""
        self._lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
        self._lines += [f"{name}{labels} {_number(value)}" for labels, value in samples.items()]

    def gauge(self, name: str, text: str, value: float) -> None:
        """One number, or a condition."""
        self.family("gauge", name, text, {"": value})

    def time(self, name: str, text: str, at: float | None) -> None:
        """A point in time, 0 if it has not come; *at* is CLOCK_MONOTONIC seconds."""
        self.gauge(name, text, 0.0 if at is None else round(at + self._offset, 3))

    def text(self) -> str:
        """All of it."""
        return "\n".join([*self._lines, ""])


def _number(value: float) -> str:
    return f"{float(value):.3f}".rstrip("0").rstrip(".")


@lru_cache(maxsize=128)  # nearly all are the same each time
def _labels(**labels: object) -> str:
    """Labels in braces. A control character would reach a terminal as it is: none is left."""
    written = []
    for name, value in labels.items():
        text = plain("" if value is None else str(value), MAX_LABEL)
        escaped = text.replace("\\", r"\\").replace('"', r"\"")
        written.append(f'{name}="{escaped}"')
    return "{" + ",".join(written) + "}"


def _identity(page: _Page, document: Mapping[str, Any]) -> None:
    servicenet = document["servicenet"] or {}
    labels = _labels(
        version=__version__,
        region=document["metadata"]["region"],
        configured_by=document["configured_by"],
        servicenet=servicenet.get("interface"),
    )
    page.family("gauge", "rcnetd_info", "This daemon and its server.", {labels: 1})


def _states(page: _Page, document: Mapping[str, Any]) -> None:
    words = [status.value for status in AutomationStatus] + [NO_STATUS]
    word = document["automation"]["status"]
    known = NO_STATUS if not word else word if word in words else AutomationStatus.UNKNOWN.value
    page.family(
        "gauge", "rcnetd_state", "The state of the daemon (1).",
        {_labels(state=one.name): one.name == document["state"] for one in State},
    )  # fmt: skip
    page.family(
        "gauge", "rcnetd_automation_status", "RackConnect's automation status (1).",
        {_labels(status=one): one == known for one in words},
    )  # fmt: skip
    page.gauge("rcnetd_ready", "Whether the daemon has reported READY (1).", document["ready"])
    code = document["exit"]["code"] if document["exit"] else 0
    page.gauge("rcnetd_exit_status", "Why the daemon gave up; 0 while it runs.", code)


def _route(page: _Page, document: Mapping[str, Any], tally: Tally) -> None:
    route, gateway = document["route"], document["gateway"]
    page.gauge("rcnetd_route_in_effect", "Whether the kernel uses the route (1).",
               route["in_effect"])  # fmt: skip
    expected = document["configured_by"] == "rcnetd" and gateway["address"] is not None
    page.gauge("rcnetd_route_expected", "Whether rcnetd has to keep a route here (1).", expected)
    page.gauge("rcnetd_route_fight", "Whether another program keeps taking the route (1).",
               route["fighting"])  # fmt: skip
    page.gauge("rcnetd_route_diversions", "Kinds of traffic that do not use the route.",
               len(route["diversions"]))  # fmt: skip
    page.family("counter", "rcnetd_route_repairs_total", "How often the route was put back.",
                {"": route["repairs"]})  # fmt: skip
    page.gauge("rcnetd_gateway_remembered", "Whether the gateway is from an earlier boot (1).",
               gateway["remembered"])  # fmt: skip
    page.gauge("rcnetd_gateway_rejected", "Whether the API's last gateway was refused (1).",
               gateway["rejected"] is not None)  # fmt: skip
    page.time("rcnetd_gateway_confirmed_timestamp_seconds",
              "When the API last named a gateway; 0: not since the start.",
              tally.gateway_confirmed_at)  # fmt: skip
    for name, text, at in (
        ("route", "until the route was in effect", tally.route_at),
        ("ready", "until READY", tally.ready_at),
    ):
        page.gauge(
            f"rcnetd_startup_{name}_seconds", f"Seconds from the start {text}; -1: not yet.",
            -1 if at is None else at - tally.started_at,
        )  # fmt: skip


def _requests(page: _Page, document: Mapping[str, Any], tally: Tally) -> None:
    requests = document["requests"]
    page.gauge("rcnetd_requests_used", "Requests of the last 60 seconds.", requests["used"])
    page.gauge("rcnetd_requests_limit", "Requests that 60 seconds may have.", requests["limit"])
    page.family(
        "counter", "rcnetd_requests_total", "Requests that have ended, by operation.",
        {_labels(operation=name): number for name, number in tally.requests.items()},
    )  # fmt: skip
    page.family(
        "counter", "rcnetd_request_failures_total", "Failed requests, by the kind of failure.",
        {_labels(kind=kind): number for kind, number in tally.failures.items()},
    )  # fmt: skip
