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
    public      the public interface: interface, why; null where none is known
    gateway     address (in use), candidate (not in use yet), rejected (the API's last answer, and
                what is wrong with it), remembered (from an earlier boot, not confirmed by the API)
    route       in_effect, present, diversions (what does not go by it, and where it goes),
                fighting, repairs (how often it was put back),
                last_repair (at; kind: "lost" or "takeover"; reason in words)
    automation  status (RackConnect's word), source (what says DEPLOYED where the API does not yet)
    requests    limit, used, next_at, last_failure (kind, reason)
    answers     the last answer to each operation (the fields of `answer_fields`), and `at`
    fetcher     by what the kernel confines it: landlock (its version, 0 for none), seccomp; null
                before the first request
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
from rcnetd.core.model import AutomationStatus
from rcnetd.core.settings import Metadata, Settings
from rcnetd.core.snapshot import Requests, Snapshot
from rcnetd.core.states import State
from rcnetd.fetcher.protocol import Confined

VERSION = 1


def status_text(snapshot: Snapshot) -> str:
    """The sentence of `STATUS=`: the headline, then what is live."""
    parts = [headline(snapshot)]
    if snapshot.exit is None and not snapshot.is_ready:
        automation = snapshot.facts.automation
        if automation.status not in (None, AutomationStatus.FAILED):
            parts.append(f"automation {automation.word}")
        parts.append(f"since {duration(snapshot.at - snapshot.state_since)}")
        parts += _requests(snapshot.requests, snapshot.at)
    return "; ".join(parts)


def headline(snapshot: Snapshot) -> str:
    """The state and its troubles: nothing that changes with every second."""
    facts, state = snapshot.facts, snapshot.state
    if snapshot.exit is not None:
        return f"{state.value}: {snapshot.exit.reason}"
    parts = [state.value]
    if state in (State.READY, State.FAILED):
        link = facts.servicenet.link.name if facts.servicenet else None
        gateway = facts.gateway.address
        via = f"via {gateway}" if gateway else "(no valid gateway)"
        parts = [f"{state.value} {via}" + (f" dev {link}" if link else "")]
    parts += _troubles(snapshot)
    if facts.gateway.is_remembered:
        parts.append("the gateway is remembered, the API has not confirmed it yet")
    if facts.automation.source:
        parts.append(f"DEPLOYED {facts.automation.source}, the API has not answered yet")
    return "; ".join(parts)


def _troubles(snapshot: Snapshot) -> list[str]:
    facts, gateway, found = snapshot.facts, snapshot.facts.gateway, []
    guards = snapshot.state in (State.READY, State.FAILED)
    if guards and facts.servicenet is None:
        found.append("ServiceNet is gone, waiting for it")
    elif guards and not facts.route.holds:
        found.append("the route is not in effect, putting it back")
    found += [item.describe(facts.network) for item in facts.route.diversions]
    if snapshot.is_fighting:
        found.append("another program keeps taking the default route")
    if gateway.rejected:
        found.append(f"the API's gateway {gateway.rejected}")
    elif gateway.candidate is not None and snapshot.state is not State.CHECKING_GATEWAY:
        found.append(f"a new gateway {gateway.candidate} does not answer yet")
    elif gateway.candidate is not None:
        found.append(f"gateway {gateway.candidate}")
    return found


def _requests(requests: Requests, now: float) -> list[str]:
    parts = []
    if requests.in_flight is not None:
        parts.append(f"asking {requests.in_flight.value}")
    elif requests.next_at < inf:
        parts.append(f"next request in {duration(requests.next_at - now)}")
    parts.append(f"{requests.used} of {requests.limit} requests used")
    if requests.last_failure is not None:
        parts.append(f"last failure: {_failure(requests.last_failure)[1]}")
    return parts


def _failure(error: RequestFailed | RateLimited) -> tuple[str, str]:
    if isinstance(error, RateLimited):
        return "rate-limit", "the API's rate limit is reached"
    return error.kind, error.reason


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
    """The content of `status.json` for a daemon that could not start: its settings are wrong."""
    facts, requests = Facts(Settings(), Metadata()), Requests(Settings().requests_per_minute, 0)
    snapshot = Snapshot(now, State.STOPPED, now, facts, requests, exit=Stop(code, reason))
    return {**document(snapshot, pid=0, answers={}), "pid": None}


def document(
    snapshot: Snapshot,
    *,
    pid: int,
    answers: dict[str, dict[str, Any]],
    confinement: Confined | None = None,
) -> dict[str, Any]:
    """The content of `status.json`, form version 1 (the module's docstring)."""
    facts, requests, repair = snapshot.facts, snapshot.requests, snapshot.last_repair
    servicenet, gateway, configurator = facts.servicenet, facts.gateway, facts.configurator
    failure = _failure(requests.last_failure) if requests.last_failure is not None else None
    return {
        "version": VERSION,
        "pid": pid,
        "state": snapshot.state.name,
        "text": snapshot.state.value,
        "since": snapshot.state_since,
        "headline": headline(snapshot),
        "status": status_text(snapshot),
        "at": snapshot.at,
        "ready": snapshot.is_ready,
        "configured_by": configurator.by.value if configurator else None,
        "configured_by_reason": configurator.reason if configurator else None,
        "metadata": _metadata(facts),
        "servicenet": servicenet
        and {
            "interface": servicenet.link.name,
            "address": str(servicenet.address),
            "mac": servicenet.link.mac,
            "why": servicenet.why,
        },
        "public": facts.public and {"interface": facts.public.name, "why": facts.public.why},
        "gateway": {
            "address": str(gateway.address) if gateway.address else None,
            "candidate": str(gateway.candidate) if gateway.candidate else None,
            "rejected": gateway.rejected or None,
            "remembered": gateway.is_remembered,
        },
        "route": {
            "in_effect": facts.route.in_effect,
            "present": facts.route.present,
            "diversions": [item.describe(facts.network) for item in facts.route.diversions],
            "fighting": snapshot.is_fighting,
            "repairs": snapshot.repairs,
            "last_repair": repair
            and {"at": repair.at, "kind": repair.kind, "reason": repair.reason},
        },
        "automation": {
            "status": facts.automation.word or None,
            "source": facts.automation.source or None,
        },
        "requests": {
            "limit": requests.limit,
            "used": requests.used,
            "next_at": requests.next_at if requests.next_at < inf else None,
            "last_failure": failure and {"kind": failure[0], "reason": failure[1]},
        },
        "answers": answers,
        "fetcher": confinement
        and {"landlock": confinement.landlock, "seccomp": confinement.seccomp},
        "exit": snapshot.exit and {"code": snapshot.exit.exit_code, "reason": snapshot.exit.reason},
    }
