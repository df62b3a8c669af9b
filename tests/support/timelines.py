"""Timelines of boots, as the daemon writes them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any


def lines(events: Iterable[dict[str, Any]]) -> list[str]:
    """The lines of the file."""
    return [json.dumps(event) for event in events]


def request(
    at: float, operation: str, took: float, answer: str, outcome: str = "ok", **fields: Any
) -> list[Any]:
    """A request and its answer."""
    return [
        {"at": at, "event": "request", "operation": operation},
        {"at": at + took, "event": "answer", "operation": operation, "answer": answer,
         "outcome": outcome, "took": took, **fields},
    ]  # fmt: skip


def repair(at: float, kind: str, count: int) -> dict[str, Any]:
    """The route was repaired, for the *count*th time."""
    return {"at": at, "event": "repair", "kind": kind, "count": count, "text": "put back"}


def state(at: float, name: str) -> dict[str, Any]:
    """A change of state."""
    return {"at": at, "event": "state", "state": name, "text": name}


START = {"at": 40.0, "event": "started", "pid": 7, "version": "0.1.0"}
BOOT: list[dict[str, Any]] = [
    START,
    state(41.0, "WAITING_FOR_FEATURES"),
    *request(41.0, "automation_features", 0.5, "connect: cannot connect", "failed", kind="connect"),
    *request(41.75, "automation_features", 0.25, "Configure Network Stack not enabled"),
    state(42.0, "WAITING_FOR_GATEWAY"),
    *request(42.0, "gateway_ip", 0.25, "not assigned yet (404)", "not-assigned"),
    *request(45.25, "gateway_ip", 0.25, "10.180.31.254"),
    state(45.5, "APPLYING_ROUTE"),
    {"at": 45.75, "event": "change", "text": "added x"},
    {"at": 45.75, "event": "change", "text": "removed y"},
    state(46.0, "WAITING_FOR_DEPLOYED"),
    *request(51.75, "automation_status", 0.25, "DEPLOYED", status="DEPLOYED"),
    state(52.0, "READY"),
    {"at": 52.0, "event": "ready"},
]
RESTARTED: list[dict[str, Any]] = [
    *BOOT,
    {"at": 60.0, "event": "stopping", "text": "stopping, the default route stays"},
    {"at": 61.0, "event": "started", "pid": 8, "version": "0.1.0"},
    state(61.5, "WAITING_FOR_FEATURES"),
    {"at": 61.5, "event": "log", "level": "error", "text": "<b>&\"'\x1b[31m"},
    state(62.0, "READY"),
    {"at": 62.0, "event": "ready"},
]


def long_wait(polls: int) -> list[dict[str, Any]]:
    """An hour of 404s: a poll every 4.3 s."""
    wait = [START, state(41.0, "WAITING_FOR_FEATURES"), state(42.0, "WAITING_FOR_GATEWAY")]
    for number in range(polls):
        wait += request(
            42.0 + 4.3 * number, "gateway_ip", 0.1, "not assigned yet (404)", "not-assigned"
        )
    return wait
