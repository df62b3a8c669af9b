"""What the daemon says of itself: one sentence for `systemctl status`, one document for programs.

`status.json` (form version 1), readable by all. Points in time are CLOCK_MONOTONIC seconds, which a
step of the wall clock does not move; `null` means not known (yet).

    version     1
    pid         the daemon's
    state       the state's name, `text` its sentence, `since` when it was entered
    headline    the state and its troubles in one sentence
    status      the sentence that systemd shows: the headline, and what was live when it was written
    at          when this was written
    ready       whether READY=1 was given
    configured_by  who configures the network: "rcnetd" or "rackconnect"; `configured_by_reason`
    metadata    what is known beforehand: region, endpoint, rackconnect_v3, and what the
                platform says (`metadata/file.py`); sources has where each is from
    servicenet  interface, address (with prefix), mac, why
    gateway     address (in use), candidate (not in use yet), objection, remembered (from an earlier
                boot, the API has not confirmed it yet)
    route       in_effect, present, diversion, fighting, repairs (how often it was put back),
                last_repair (at; kind: "lost" or "takeover"; reason in words)
    automation  status (RackConnect's word), trusted (no answer, but DEPLOYED in an earlier boot)
    requests    limit, used, next_at, last_failure (kind, reason)
    answers     the last answer to each operation (the fields of `answer_fields`), and `at`
    exit        code and reason once the daemon gives up, else null
"""

from __future__ import annotations

from math import inf
from typing import Any

from rcnetd.basic.text import duration
from rcnetd.core.actions import Stop
from rcnetd.core.events import (
    Answered,
    FeaturesReceived,
    GatewayNotAssigned,
    GatewayReceived,
    RateLimited,
    RequestFailed,
    StatusReceived,
)
from rcnetd.core.facts import Facts
from rcnetd.core.machine import Machine
from rcnetd.core.model import AutomationStatus, RouteLookup
from rcnetd.core.settings import Metadata, Settings
from rcnetd.core.states import State

VERSION = 1


def status_text(machine: Machine, now: float) -> str:
    """The sentence of `STATUS=`: the headline, then what is live."""
    parts = [headline(machine, now)]
    if machine.exit is None and not machine.is_ready:
        facts = machine.facts
        if facts.status not in (None, AutomationStatus.FAILED):
            parts.append(f"automation {facts.status_word}")
        parts.append(f"since {duration(now - machine.state_since)}")
        parts += _requests(machine, now)
    return "; ".join(parts)


def headline(machine: Machine, now: float) -> str:
    """The state and its troubles: nothing that changes with every second."""
    facts, parts = machine.facts, [machine.state.value]
    if machine.exit is not None:
        return f"{machine.state.value}: {machine.exit.reason}"
    if machine.state in (State.READY, State.FAILED):
        link = facts.servicenet.link.name if facts.servicenet else None
        via = f"via {facts.gateway}" if facts.gateway else "(no valid gateway)"
        parts = [f"{machine.state.value} {via}" + (f" dev {link}" if link else "")]
    parts += _troubles(machine, now)
    if facts.gateway_is_remembered:
        parts.append("the gateway is remembered, the API has not confirmed it yet")
    if facts.is_trusted:
        parts.append(f"DEPLOYED {facts.trusted_by}, the API gave no answer")
    return "; ".join(parts)


def _troubles(machine: Machine, now: float) -> list[str]:
    facts, found = machine.facts, []
    guards = machine.state in (State.READY, State.FAILED)
    if guards and facts.servicenet is None:
        found.append("ServiceNet is gone, waiting for it")
    elif guards and not facts.route.holds:
        found.append("the route is not in effect, putting it back")
    if facts.route.diversion is not None:
        found.append(f"traffic is diverted by {describe_diversion(facts.route.diversion)}")
    if machine.guard.is_fighting(now):
        found.append("another program keeps taking the default route")
    if facts.objection:
        found.append(f"the API's gateway {facts.objection}")
    elif facts.candidate is not None and machine.state is not State.CHECKING_GATEWAY:
        found.append(f"a new gateway {facts.candidate} does not answer yet")
    elif facts.candidate is not None:
        found.append(f"gateway {facts.candidate}")
    return found


def _requests(machine: Machine, now: float) -> list[str]:
    parts = []
    if machine.in_flight is not None:
        parts.append(f"asking {machine.in_flight.value}")
    elif machine.next_request_at < inf:
        parts.append(f"next request in {duration(machine.next_request_at - now)}")
    parts.append(f"{machine.pacer.used(now)} of {machine.pacer.limit} requests used")
    if machine.last_error is not None:
        parts.append(f"last failure: {_failure(machine.last_error)[1]}")
    return parts


def _failure(error: RequestFailed | RateLimited) -> tuple[str, str]:
    if isinstance(error, RateLimited):
        return "rate-limit", "the API's rate limit is reached (403)"
    return error.kind, error.reason


def describe_diversion(verdict: RouteLookup) -> str:
    """What takes outside traffic instead of our default route, for people."""
    table = "" if verdict.table == 254 else f" of table {verdict.table}"
    via = f" via {verdict.gateway}" if verdict.gateway else ""
    return f"a route of prefix length {verdict.prefixlen}{table}{via}"


def describe_answer(event: Answered) -> str:
    """An answer in a few words, for the timeline and the status."""
    if isinstance(event, StatusReceived):
        return event.word
    if isinstance(event, GatewayReceived):
        return str(event.gateway)
    if isinstance(event, GatewayNotAssigned):
        return "not assigned yet (404)"
    if isinstance(event, FeaturesReceived):
        words = {None: "not told", True: "enabled", False: "not enabled"}
        return f"Configure Network Stack {words[event.configure_network_stack]}"
    if isinstance(event, RateLimited):
        return "rate limit (403)"
    if isinstance(event, RequestFailed):
        return f"{event.kind}: {event.reason}"
    raise AssertionError(f"Unexpected answer: {event!r}")


def answer_fields(event: Answered) -> dict[str, Any]:
    """Describe an answer for programs: the form it has in the timeline and in `status.json`.

    `answer` is a few words for people. `outcome` is "ok", "not-assigned", "failed" or
    "rate-limited"; "ok" comes with what was answered (`status`, `gateway` or
    `configure_network_stack`), "failed" with its `kind`.
    """
    fields: dict[str, Any] = {"answer": describe_answer(event), "outcome": "ok"}
    if isinstance(event, StatusReceived):
        fields["status"] = event.word
    elif isinstance(event, GatewayReceived):
        fields["gateway"] = str(event.gateway)
    elif isinstance(event, FeaturesReceived):
        fields["configure_network_stack"] = event.configure_network_stack
    elif isinstance(event, GatewayNotAssigned):
        fields["outcome"] = "not-assigned"
    elif isinstance(event, RateLimited):
        fields["outcome"] = "rate-limited"
    elif isinstance(event, RequestFailed):
        fields.update(outcome="failed", kind=event.kind)
    return fields


def _metadata(facts: Facts) -> dict[str, Any]:
    """What is known of this server beforehand, and where each of it is from."""
    settings, metadata = facts.settings, facts.metadata
    sources = dict(metadata.sources)
    if settings.region is not None:
        sources["region"] = "settings"
    return {
        "region": settings.region or metadata.region,
        "endpoint": facts.identity.endpoint or None,
        "rackconnect_v3": metadata.is_rackconnect_v3,
        "servicenet_mac": metadata.servicenet_mac,
        "public_mac": metadata.public_mac,
        "servicenet_router": metadata.servicenet_router and str(metadata.servicenet_router),
        "configure_network_stack": metadata.configure_network_stack,
        "automation_status": metadata.automation_status,
        "sources": sources,
    }


def startup_failure(code: int, reason: str, now: float) -> dict[str, Any]:
    """The content of `status.json` for a daemon that could not begin: its settings are wrong."""
    machine = Machine(Settings(), Metadata(), now=now, jitter=lambda: 0.0)
    machine.state, machine.exit = State.STOPPED, Stop(code, reason)
    return {**document(machine, pid=0, now=now, answers={}), "pid": None}


def document(
    machine: Machine, *, pid: int, now: float, answers: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """The content of `status.json`, form version 1 (the module's docstring)."""
    facts, servicenet, error = machine.facts, machine.facts.servicenet, machine.last_error
    kind_reason = _failure(error) if error is not None else None
    diversion, repair = facts.route.diversion, machine.guard.last_repair
    return {
        "version": VERSION,
        "pid": pid,
        "state": machine.state.name,
        "text": machine.state.value,
        "since": machine.state_since,
        "headline": headline(machine, now),
        "status": status_text(machine, now),
        "at": now,
        "ready": machine.is_ready,
        "configured_by": facts.configured_by.value if facts.configured_by else None,
        "configured_by_reason": facts.configured_by_reason or None,
        "metadata": _metadata(facts),
        "servicenet": servicenet
        and {
            "interface": servicenet.link.name,
            "address": str(servicenet.address),
            "mac": servicenet.link.mac,
            "why": servicenet.why,
        },
        "gateway": {
            "address": str(facts.gateway) if facts.gateway else None,
            "candidate": str(facts.candidate) if facts.candidate else None,
            "objection": facts.objection or None,
            "remembered": facts.gateway_is_remembered,
        },
        "route": {
            "in_effect": facts.route.in_effect,
            "present": facts.route.present,
            "diversion": describe_diversion(diversion) if diversion else None,
            "fighting": machine.guard.is_fighting(now),
            "repairs": machine.guard.repairs,
            "last_repair": repair
            and {"at": repair.at, "kind": repair.kind, "reason": repair.reason},
        },
        "automation": {"status": facts.status_word or None, "trusted": facts.is_trusted},
        "requests": {
            "limit": machine.pacer.limit,
            "used": machine.pacer.used(now),
            "next_at": machine.next_request_at if machine.next_request_at < inf else None,
            "last_failure": kind_reason and {"kind": kind_reason[0], "reason": kind_reason[1]},
        },
        "answers": answers,
        "exit": machine.exit and {"code": machine.exit.exit_code, "reason": machine.exit.reason},
    }
