"""The analysis of a timeline whose lines may contain anything."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcnetd.core.states import State
from rcnetd.ctl.analysis import Analysis, analyze
from rcnetd.ctl.summary import document, operations, phases
from tests.support.timelines import BOOT, RESTARTED, lines, repair, request


def found(events: list[dict[str, Any]], now: float | None = None) -> Analysis:
    """Analyse these events."""
    result = analyze(lines(events), now)
    assert result is not None
    return result


def test_a_boot() -> None:
    """The phases with their times, the requests with their answers, the changes."""
    boot = found(BOOT)

    assert (40.0, 46.0, 52.0) == (boot.begin, boot.route_at, boot.ready_at)
    assert [
        ("WAITING_FOR_SERVICENET", 40.0, 1.0),
        ("WAITING_FOR_FEATURES", 41.0, 1.0),
        ("WAITING_FOR_GATEWAY", 42.0, 3.5),
        ("APPLYING_ROUTE", 45.5, 0.5),
        ("WAITING_FOR_DEPLOYED", 46.0, 6.0),
        ("READY", 52.0, 0.0),
    ] == [(phase.state, phase.began, phase.took) for phase in phases(boot)]
    features, gateway, status = operations(boot)
    assert ("automation_features", 2, 1) == (features.operation, features.sent, features.failed)
    assert (("not assigned yet (404)", 1), ("10.180.31.254", 1)) == gateway.answers
    assert (("DEPLOYED", 1),) == status.answers
    assert features.took == pytest.approx((0.25, 0.375, 0.5))
    assert ["added x", "removed y"] == [mark.text for mark in boot.changes]


def test_a_phase_that_is_not_over() -> None:
    """It lasts until now while the daemon runs, else until the last event."""
    waiting = BOOT[:4]

    (*_, last) = phases(found(waiting, now=50.0))
    assert (9.0, True) == (last.took, last.is_open)
    (*_, last) = phases(found(waiting))
    assert (0.5, False) == (last.took, last.is_open)


def test_restarts() -> None:
    """The times of a state are added up over all starts; the first READY counts."""
    boot = found(RESTARTED)

    assert (2, 52.0) == (boot.starts, boot.ready_at)
    servicenet = phases(boot)[0]
    assert (2, 1.5) == (servicenet.times, servicenet.took)


def test_repairs() -> None:
    """Each repair has its kind; the daemon's count says how many repairs a line stands for."""
    events = [*BOOT, repair(60.0, "lost", 1), repair(61.0, "takeover", 5)]

    assert [
        {"at": 20.0, "kind": "lost", "times": 1, "text": "put back"},
        {"at": 21.0, "kind": "takeover", "times": 4, "text": "put back"},
    ] == document(found(events))["repairs"]

    again = [*events, {**BOOT[0], "at": 70.0}, repair(71.0, "lost", 2)]
    assert [1, 4, 2] == [entry.times for entry in found(again).repairs]


def test_the_wording_of_the_log_is_no_interface() -> None:
    """A log line that reads like a repair, or an answer that reads like a 404, decides nothing."""
    text = "default route via 10.180.31.254 was lost, putting it back"
    log = {"at": 60.0, "event": "log", "level": "warning", "text": text}
    answers = request(60.0, "gateway_ip", 0.1, "404", "failed", kind="http")
    other = found([*BOOT, log, *answers])

    assert [] == other.repairs
    assert 1 == operations(other)[1].failed


def test_a_timeline_without_its_beginning() -> None:
    """The older half is missing: there is an answer without its request, and no start."""
    boot = found(BOOT[7:])

    assert boot.is_cut
    assert document(boot)["complete"] is False
    assert "READY" in [phase.state for phase in phases(boot)]


def test_the_document_is_json() -> None:
    """Times are seconds from the first start, or null."""
    content = document(found(BOOT))
    assert content == json.loads(json.dumps(content))
    assert (6.0, 12.0) == (content["route"], content["ready"])
    assert {"min": 0.25, "median": 0.375, "max": 0.5} == content["requests"][0]["took"]

    early = document(found(BOOT[:3], now=60.0))
    assert (None, None, None) == (early["route"], early["ready"], early["phases"][-1]["took"])
    assert early["requests"][0]["took"] is None


def test_every_state_has_its_words() -> None:
    """A state of a later version is left out."""
    for state in State:
        assert state.value in [phase.text for phase in phases(found([
            {"at": 1, "event": "started"}, {"at": 2, "event": "state", "state": state.name}
        ], now=3.0))]  # fmt: skip
    assert 1 == len(phases(found([*BOOT[:1], {"at": 50, "event": "state", "state": "LATER"}])))


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"at": 1}', '{"event": "started"}', '{"at": "1", "event": "started"}',
     '{"at": true, "event": "x"}', '{"at": NaN, "event": "x"}', '{"at": -1, "event": "x"}',
     "[" * 5000],
)  # fmt: skip
def test_a_damaged_line_is_left_out(text: str) -> None:
    """Alone it yields nothing; among others it changes nothing."""
    assert analyze([text]) is None
    assert document(found(BOOT)) == document(analyze([text, *lines(BOOT)]) or Analysis())


VALUES = st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5)
EVENTS = st.fixed_dictionaries(
    {"at": st.floats(0, 1e6), "event": st.sampled_from([event["event"] for event in BOOT])},
    optional={
        "state": st.sampled_from([state.name for state in State]) | VALUES,
        "operation": st.sampled_from(["gateway_ip", "automation_status"]) | VALUES,
        "answer": VALUES, "outcome": VALUES, "kind": VALUES, "count": VALUES,
        "text": VALUES, "level": VALUES, "version": VALUES,
    },
)  # fmt: skip


@given(st.lists(EVENTS, max_size=30), st.none() | st.floats(0, 1e6))
def test_any_events_can_be_told(events: list[dict[str, Any]], now: float | None) -> None:
    """No time is negative, whatever the events contain and in whatever order."""
    result = analyze(lines(events), now)
    if result is not None:
        assert all(phase.took >= 0 for phase in phases(result))
        json.dumps(document(result))
