"""Every fault of the emulated API in every state that asks: `tests/run faults`.

The real daemon: it neither hangs nor crashes, changes no route, says what it is, and goes on with
the first poll after the fault has ended.
"""

from __future__ import annotations

import re
import signal
import time
from typing import NamedTuple

import pytest

from rcnetd.emulator.faults import CONNECTION, FAULTS
from tests.netns.daemons import Cloud, Daemon
from tests.support.waiting import LONG, until

pytestmark = [pytest.mark.netns, pytest.mark.faults]

SETTINGS = "requests_per_minute: 30\ngateway: {recheck_interval: 2s}\n"
SILENT = "10.180.30.77"  # a gateway that answers no ARP until it is given the address
GOES_ON = 10.0  # seconds after the API's start until it would answer what ends the state
MAX_REQUEST = 11.0  # seconds until a request has failed
MAX_POLL = 32.0  # seconds between two polls, the longest backoff included
SILENCE = 62.0  # seconds after a 403


class Situation(NamedTuple):
    """A state, how the API brings it about and ends it, and what it asks meanwhile."""

    server: str
    goal: str = "READY"  # the state after the fault; the same state: nothing is failing any more
    fresh: int = 3  # requests that the way there may take; one may be on its way already


ASSIGNED = "{at: 0, gateway: 10.180.31.254}"
LATER = f"{{at: {GOES_ON:g}s"
SITUATIONS = {
    "WAITING_FOR_FEATURES": Situation(
        f"timeline: [{ASSIGNED}, {{at: 0, status: DEPLOYED}}]", fresh=4
    ),
    "WAITING_FOR_GATEWAY": Situation(
        f"timeline: [{LATER}, gateway: 10.180.31.254}}, {LATER}, status: DEPLOYED}}]", fresh=4
    ),
    "CHECKING_GATEWAY": Situation(
        f"timeline: [{{at: 0, gateway: {SILENT}}}, {{at: 0, status: DEPLOYED}}]"
    ),
    "WAITING_FOR_DEPLOYED": Situation(f"timeline: [{ASSIGNED}, {LATER}, status: DEPLOYED}}]"),
    "WAITING_UNMANAGED": Situation(
        f"features: {{ConfigureNetworkStack: true}}, timeline: [{LATER}, status: DEPLOYED}}]",
        goal="READY_UNMANAGED",
    ),
    "READY": Situation(f"timeline: [{ASSIGNED}, {{at: 0, status: DEPLOYED}}]"),
    "FAILED": Situation(f"timeline: [{ASSIGNED}, {{at: 0, status: FAILED}}]", goal="FAILED"),
}

# What is said of it, where it is not an answer that the API page knows.
SAID = {
    "refuse": "cannot connect .*refused",
    "tls-garbage": "the TLS handshake failed",
    "expired": "certificate has expired",
    "not-yet-valid": "certificate is not yet valid",
    "wrong-name": "certificate is not for",
    "untrusted": "certificate is not trusted",
    "hang": "within 10 s",
    "drip": "within 10 s",
    "drip-body": "within 10 s",
    "truncate": "cut short",
    "reset": "cut short|reset",
    "oversize": "65,?536|64 KiB",
    "garbage": "HTTP",
    "html": "HTML",
    "empty": "empty",
    "two-addresses": "10.180.31.254 10.180.31.253",
    "ipv6": "2001:db8::1",
    "bad-charset": "charset|text",
    "unknown-word": "MIGRATING",
    "redirect": "302",
    "rate-limit": "rate limit is reached",
    "not-found": "404",
    "http-204": "204",
    "http-400": "400",
    "http-500": "500",
    "http-503": "503",
}
# 404 is "not assigned yet"; a status that the API page does not know is "not DEPLOYED"; a short
# body that drips is whole in time.
ANSWERS = {
    ("not-found", "gateway_ip"),
    ("drip-body", "gateway_ip"),
    ("drip-body", "automation_status"),
} | {(fault, "automation_status") for fault in ("unknown-word", "two-addresses", "ipv6")}


def test_all_faults_are_here() -> None:
    """What the emulator learns is learnt here too."""
    assert FAULTS.keys() == SAID.keys()


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("state", list(SITUATIONS)[::-1])  # FAILED takes longest
def test_a_fault_in_a_state(cloud: Cloud, state: str, fault: str) -> None:
    """It is said, changes nothing, and is over with the first poll after it."""
    situation = SITUATIONS[state]
    cloud.emulate(f"limit: 1000\nservers: [{{{situation.server}}}]")
    goes_on = time.monotonic() + GOES_ON
    if state == "WAITING_FOR_FEATURES":
        cloud.api.set_fault(fault)
    daemon = cloud.start(SETTINGS)
    daemon.until_state(state, 4 * LONG)  # sixteen of them start at once
    if state != "WAITING_FOR_FEATURES":
        cloud.api.set_fault(fault)
    routes = cloud.defaults()
    ask_now(daemon, state)

    with daemon.told():
        until(lambda: met(cloud, daemon, fault), 20.0)
    failure = daemon.status["requests"]["last_failure"]
    may_go_on = fault == "drip-body"
    assert daemon.status["state"] in (state, situation.goal if may_go_on else state)
    assert routes == cloud.defaults()
    if failure is not None:
        # Who is ready is ready: `rcnetctl status` has the failure then.
        word = "STATUS=ready" if state == "READY" else failure["reason"]
        until(lambda: any(word in line for line in statuses(daemon)))
    if LATER in situation.server:
        until(lambda: time.monotonic() > goes_on, GOES_ON + 1)

    cloud.api.clear_fault()
    cleared = len(cloud.api.requests)
    if state == "CHECKING_GATEWAY":
        cloud.topology.gateway.ip(f"address add {SILENT}/19 dev eth1")
    ask_now(daemon, state)
    limit = SILENCE if fault == "rate-limit" else MAX_POLL
    with daemon.told():
        until(lambda: recovered(daemon, situation.goal), limit + MAX_REQUEST)
    fresh = [one for one in cloud.api.requests[cleared:] if one.fault is None]
    assert len(fresh) <= situation.fresh, fresh
    assert "Traceback" not in daemon.log.read_text()


def ask_now(daemon: Daemon, state: str) -> None:
    """A FAILED automation is looked at once a minute; with settings read again, all is asked."""
    if state == "FAILED":
        daemon.process.send_signal(signal.SIGHUP)


def met(cloud: Cloud, daemon: Daemon, fault: str) -> bool:
    """Whether a request has had the fault: it is said, or it was an answer after all.

    A request that is on its way as the fault begins may meet something else: a connection that is
    reset as the listener closes.
    """
    assert daemon.process.poll() is None, daemon.log.read_text()
    failure = daemon.status["requests"]["last_failure"]
    if failure is not None and re.search(SAID[fault], failure["reason"]):
        return True
    struck = [one for one in cloud.api.requests if one.fault == fault and fault not in CONNECTION]
    operations = {one.target.partition("?")[0].rpartition("/")[2] for one in struck}
    return any((fault, operation) in ANSWERS for operation in operations)


def statuses(daemon: Daemon) -> list[str]:
    """What systemd was told."""
    return [line for line in daemon.hear() if line.startswith("STATUS=")]


def recovered(daemon: Daemon, goal: str) -> bool:
    """Whether the daemon is where it belongs, and nothing fails any more."""
    assert daemon.process.poll() is None, daemon.log.read_text()
    status = daemon.status
    return status["state"] == goal and status["requests"]["last_failure"] is None
