"""The daemon's metrics, as promtool reads them."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import pytest

from rcnetd.core.events import RateLimited, RequestFailed
from rcnetd.core.model import Operation
from rcnetd.daemon.metrics import FAILURES, Tally, render
from rcnetd.daemon.status import answer_fields, document, startup_failure
from tests.support.playbook import (
    ASSIGNED,
    DEPLOYED,
    DEPLOYING,
    FAILED,
    MANAGED,
    NOT_ASSIGNED,
    UNMANAGED,
    Playbook,
    boot,
)
from tests.support.prometheus import promtool

CLOCK = 1795766400.0


def content(book: Playbook) -> dict[str, Any]:
    """The content of status.json."""
    return document(book.machine.snapshot(book.now), pid=1, answers={})


def page(book: Playbook, **more: Any) -> str:
    """The metrics as they would be now."""
    return render(content(book), Tally(0.0), now=book.now, clock=CLOCK, **more)


def check(text: str) -> None:
    """Prometheus' own linter has nothing to say."""
    done = subprocess.run(
        [promtool(), "check", "metrics"], input=text, text=True, capture_output=True, check=False
    )
    assert (0, "") == (done.returncode, done.stderr + done.stdout)


def value(text: str, series: str) -> float:
    """The value of one series."""
    found = re.search(rf"^{re.escape(series)} (\S+)$", text, re.MULTILINE)
    assert found, f"{series} is not in:\n{text}"
    return float(found[1])


@pytest.mark.parametrize(
    "answers", [(), (MANAGED, NOT_ASSIGNED, DEPLOYING), (MANAGED, ASSIGNED, DEPLOYED), (UNMANAGED,)]
)
def test_promtool_takes_them(answers: tuple[Any, ...]) -> None:
    """In every phase of a boot."""
    check(page(boot(*answers)))


def test_a_daemon_that_could_not_start_has_metrics() -> None:
    """Its exit status tells why."""
    text = render(startup_failure(78, "wrong", 5.0), Tally(5.0), now=5.0, clock=CLOCK)

    check(text)
    assert 78 == value(text, "rcnetd_exit_status")
    assert 1 == value(text, 'rcnetd_state{state="STOPPED"}')


def test_ready() -> None:
    """One state of the set is 1."""
    text = page(boot(MANAGED, ASSIGNED, DEPLOYED))

    assert 1 == value(text, "rcnetd_ready")
    assert 1 == value(text, "rcnetd_route_in_effect")
    assert 1 == value(text, "rcnetd_route_expected")
    assert 1 == value(text, 'rcnetd_state{state="READY"}')
    assert 0 == value(text, 'rcnetd_state{state="FAILED"}')
    assert 1 == value(text, 'rcnetd_automation_status{status="DEPLOYED"}')
    assert 1 == len(re.findall(r"^rcnetd_state\{.*\} 1$", text, re.MULTILINE))
    assert 1 == len(re.findall(r"^rcnetd_automation_status\{.*\} 1$", text, re.MULTILINE))


def test_failed() -> None:
    """The route is kept; the automation is what failed."""
    text = page(boot(MANAGED, ASSIGNED, FAILED))

    assert 1 == value(text, 'rcnetd_automation_status{status="FAILED"}')
    assert 1 == value(text, "rcnetd_route_in_effect")


def test_an_unmanaged_server_needs_no_route() -> None:
    """Otherwise it would be alerted for ever."""
    assert 0 == value(page(boot(UNMANAGED, DEPLOYED)), "rcnetd_route_expected")


def test_every_series_is_there_from_the_start() -> None:
    """`increase()` does not see a counter that first appears as 1."""
    first, later = page(boot()), page(boot(MANAGED, ASSIGNED, DEPLOYED))

    def series(text: str) -> set[str]:
        return {line.rpartition(" ")[0] for line in text.splitlines() if "rcnetd_info" not in line}

    assert series(first) == series(later)
    assert all(0 == value(first, f'rcnetd_request_failures_total{{kind="{k}"}}') for k in FAILURES)
    assert 0 == value(first, 'rcnetd_requests_total{operation="gateway_ip"}')


def test_answers_are_counted() -> None:
    """By operation, and failures by kind; an unknown kind is "other"."""
    tally = Tally(10.0)
    for answer in (
        ASSIGNED,
        NOT_ASSIGNED,
        RateLimited(Operation.GATEWAY),
        RequestFailed(Operation.STATUS, kind="http-503", reason=""),
        RequestFailed(Operation.STATUS, kind="http-404", reason=""),
        RequestFailed(Operation.STATUS, kind="dns", reason=""),
        RequestFailed(Operation.STATUS, kind="of the future", reason=""),
    ):
        tally.answered(answer.operation.value, answer_fields(answer), 60.0)
    text = render(content(boot()), tally, now=70.0, clock=CLOCK)

    check(text)
    assert 3 == value(text, 'rcnetd_requests_total{operation="gateway_ip"}')
    assert 4 == value(text, 'rcnetd_requests_total{operation="automation_status"}')
    for kind in ("rate-limit", "http-5xx", "http-4xx", "dns", "other"):
        assert 1 == value(text, f'rcnetd_request_failures_total{{kind="{kind}"}}')
    assert CLOCK - 10 == value(text, "rcnetd_gateway_confirmed_timestamp_seconds")
    assert CLOCK - 60 == value(text, "rcnetd_start_timestamp_seconds")
    assert CLOCK == value(text, "rcnetd_last_update_timestamp_seconds")


def test_the_time_to_the_route_is_that_of_the_first_one() -> None:
    """A repair does not change it."""
    tally = Tally(0.0)
    assert -1 == value(
        render(content(boot()), tally, now=1.0, clock=CLOCK), "rcnetd_startup_route_seconds"
    )
    book = boot(MANAGED, ASSIGNED, DEPLOYED)
    first = render(content(book), tally, now=book.now, clock=CLOCK)
    book.wait(100)
    later = render(content(book), tally, now=book.now, clock=CLOCK)

    for name in ("rcnetd_startup_route_seconds", "rcnetd_startup_ready_seconds"):
        assert value(first, name) == value(later, name) >= 0


@pytest.mark.parametrize(
    ("persisted", "expected"), [(None, (0, 0)), ({"ok": True}, (1, 0)), ({"ok": False}, (0, 1))]
)
def test_persisted(persisted: dict[str, Any] | None, expected: tuple[int, int]) -> None:
    """Not yet, done, refused."""
    text = page(boot(), persisted=persisted)

    assert expected == (value(text, "rcnetd_persisted"), value(text, "rcnetd_persist_refused"))


def test_labels_are_escaped() -> None:
    """A region or a link of any name; nothing that would change a terminal."""
    status = content(boot(MANAGED, ASSIGNED, DEPLOYED))
    status["metadata"]["region"] = 'a"b\\c\n\x1b[31m'
    text = render(status, Tally(0.0), now=0.0, clock=CLOCK)

    check(text)
    assert 'region="a\\"b\\\\c [31m"' in text
