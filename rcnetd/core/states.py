"""The story of a boot as a table: states, and the conditions that lead from one to the next.

Rule 1: the state changes only by this table. After every event the machine follows it until no
condition of the present state holds (`settle`), so that no order of events can lose a transition:
what counts is what is known now, not which message came last. Conditions of a state are tried in
the order given. The diagram is drawn from this table (`tests/generate/diagram.py`).
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping

from rcnetd.core.facts import Facts
from rcnetd.core.model import AutomationStatus, ConfiguredBy, Operation


class State(enum.Enum):
    """What is being waited for; the value is the sentence that people read."""

    WAITING_FOR_SERVICENET = "waiting for ServiceNet"
    WAITING_FOR_FEATURES = "waiting to know who configures the network"
    WAITING_FOR_GATEWAY = "waiting for the gateway to be assigned"
    CHECKING_GATEWAY = "waiting for the gateway to answer on the link"
    APPLYING_ROUTE = "switching the default route"
    WAITING_FOR_DEPLOYED = "route in effect, waiting for the automation"
    READY = "ready, guarding the default route"
    FAILED = "automation FAILED, guarding the default route"
    WAITING_UNMANAGED = "unmanaged, waiting for the automation"
    READY_UNMANAGED = "ready, unmanaged: RackConnect configures the network"
    NOT_OURS = "ready, nothing to do: RackConnect v3"
    NOT_RACKCONNECTED = "ready, nothing to do: this server is not RackConnected"
    STOPPED = "stopped"


class Condition(enum.Enum):
    """What can lead to another state; the value is the label in the diagram."""

    RACKCONNECT_V3 = "RackConnect v3"
    NOT_RACKCONNECTED = "neither the roles nor the API know of RackConnect"
    RACKCONNECTED = "the API knows this server"
    SERVICENET_PRESENT = "ServiceNet is there"
    SERVICENET_MISSING = "ServiceNet is gone"
    READY_BEFORE = "ready before the restart"
    SERVICENET_TIMED_OUT = "no ServiceNet in time"
    MANAGED = "rcnetd configures the network"
    UNMANAGED = "RackConnect configures the network"
    GATEWAY_ASSIGNED = "gateway assigned"
    GATEWAY_UNKNOWN = "gateway no longer valid"
    GATEWAY_ANSWERS = "gateway answers"
    ROUTE_IN_EFFECT = "route in effect"
    ROUTE_LOST = "route lost"
    DEPLOYED = "DEPLOYED"
    TRUSTED = "no answer yet, DEPLOYED is remembered"
    FAILED_BEFORE_ROUTE = "FAILED"
    FAILED_WITH_ROUTE = "FAILED, route in effect"
    RESUMED = "no longer FAILED"
    UNPROCESSABLE = "UNPROCESSABLE"
    DEPLOY_TIMED_OUT = "not DEPLOYED in time"


_S, _C = State, Condition

_ENDS = (
    (_C.UNPROCESSABLE, _S.STOPPED),
    (_C.FAILED_BEFORE_ROUTE, _S.STOPPED),
    (_C.DEPLOY_TIMED_OUT, _S.STOPPED),
)
_LOSS = ((_C.SERVICENET_MISSING, _S.WAITING_FOR_SERVICENET),)
# What was remembered about who configures the network was wrong.
_OFF_AFTER_ALL = ((_C.UNMANAGED, _S.WAITING_UNMANAGED),)

TRANSITIONS: Mapping[State, tuple[tuple[Condition, State], ...]] = {
    _S.WAITING_FOR_SERVICENET: (
        (_C.RACKCONNECT_V3, _S.NOT_OURS),
        (_C.SERVICENET_PRESENT, _S.WAITING_FOR_FEATURES),
        (_C.READY_BEFORE, _S.READY),
        (_C.SERVICENET_TIMED_OUT, _S.STOPPED),
    ),
    _S.WAITING_FOR_FEATURES: (
        *_LOSS,
        *_ENDS,
        (_C.NOT_RACKCONNECTED, _S.NOT_RACKCONNECTED),
        (_C.UNMANAGED, _S.WAITING_UNMANAGED),
        (_C.MANAGED, _S.WAITING_FOR_GATEWAY),
    ),
    _S.WAITING_FOR_GATEWAY: (
        *_LOSS,
        *_ENDS,
        *_OFF_AFTER_ALL,
        (_C.GATEWAY_ASSIGNED, _S.CHECKING_GATEWAY),
    ),
    _S.CHECKING_GATEWAY: (
        *_LOSS,
        *_ENDS,
        *_OFF_AFTER_ALL,
        (_C.GATEWAY_UNKNOWN, _S.WAITING_FOR_GATEWAY),
        (_C.GATEWAY_ANSWERS, _S.APPLYING_ROUTE),
    ),
    _S.APPLYING_ROUTE: (
        *_LOSS,
        *_ENDS,
        *_OFF_AFTER_ALL,
        (_C.GATEWAY_UNKNOWN, _S.WAITING_FOR_GATEWAY),
        (_C.ROUTE_IN_EFFECT, _S.WAITING_FOR_DEPLOYED),
    ),
    _S.WAITING_FOR_DEPLOYED: (
        *_LOSS,
        *_ENDS,
        *_OFF_AFTER_ALL,
        (_C.ROUTE_LOST, _S.APPLYING_ROUTE),
        (_C.FAILED_WITH_ROUTE, _S.FAILED),
        (_C.DEPLOYED, _S.READY),
        (_C.TRUSTED, _S.READY),
    ),
    # Once ready, always ready: a lost route is put back, a lost ServiceNet waited for, both
    # without leaving the state ("Afterwards the status is not watched").
    _S.READY: ((_C.UNMANAGED, _S.READY_UNMANAGED),),
    _S.FAILED: (
        (_C.UNPROCESSABLE, _S.STOPPED),
        (_C.RESUMED, _S.WAITING_FOR_DEPLOYED),
    ),
    _S.WAITING_UNMANAGED: (
        *_LOSS,
        *_ENDS,
        (_C.MANAGED, _S.WAITING_FOR_GATEWAY),
        (_C.DEPLOYED, _S.READY_UNMANAGED),
        (_C.TRUSTED, _S.READY_UNMANAGED),
    ),
    _S.READY_UNMANAGED: ((_C.MANAGED, _S.READY),),
    _S.NOT_OURS: (),
    _S.NOT_RACKCONNECTED: ((_C.RACKCONNECTED, _S.WAITING_FOR_FEATURES),),
    _S.STOPPED: (),
}

READY_STATES = frozenset(
    {State.READY, State.READY_UNMANAGED, State.NOT_OURS, State.NOT_RACKCONNECTED}
)
GUARDING_STATES = frozenset(
    {State.APPLYING_ROUTE, State.WAITING_FOR_DEPLOYED, State.READY, State.FAILED}
)

# sysexits.h: EX_UNAVAILABLE, EX_TEMPFAIL, EX_PROTOCOL. systemd starts the daemon again after all
# but the last (RestartPreventExitStatus=76 78).
EXITS: Mapping[Condition, tuple[int, str]] = {
    Condition.SERVICENET_TIMED_OUT: (
        69,
        "no ServiceNet interface appeared in time; check that the server has one, or name it by"
        " 'servicenet.interface'",
    ),
    Condition.FAILED_BEFORE_ROUTE: (
        69,
        "RackConnect automation FAILED; Rackspace is told of it and repairs some by hand",
    ),
    Condition.DEPLOY_TIMED_OUT: (75, "the automation was not DEPLOYED within 'deploy_timeout'"),
    Condition.UNPROCESSABLE: (
        76,
        "RackConnect says UNPROCESSABLE: most often the server is in another region than the"
        " RackConnect configuration; ask Rackspace support",
    ),
}

# One wrong path never means "not RackConnected": the API has to answer 404 to all of these.
ASKED = {Operation.FEATURES, Operation.STATUS, Operation.GATEWAY}

HOLDS: Mapping[Condition, Callable[[Facts, float], bool]] = {
    Condition.RACKCONNECT_V3: lambda facts, now: facts.metadata.is_rackconnect_v3,
    Condition.NOT_RACKCONNECTED: lambda facts, now: (
        facts.metadata.names_no_rackconnect
        and not facts.api.answered
        and (facts.api.unknown >= ASKED or facts.was_not_rackconnected)
    ),
    Condition.RACKCONNECTED: lambda facts, now: bool(facts.api.answered),
    Condition.SERVICENET_PRESENT: lambda facts, now: facts.servicenet is not None,
    Condition.SERVICENET_MISSING: lambda facts, now: facts.servicenet is None,
    # A running daemon stays READY without ServiceNet, so a restart must not wait for it.
    Condition.READY_BEFORE: lambda facts, now: facts.was_ready_here,
    Condition.SERVICENET_TIMED_OUT: lambda facts, now: now >= facts.deadlines.servicenet,
    Condition.MANAGED: lambda facts, now: facts.configured_by is ConfiguredBy.RCNETD,
    Condition.UNMANAGED: lambda facts, now: facts.configured_by is ConfiguredBy.RACKCONNECT,
    Condition.GATEWAY_ASSIGNED: lambda facts, now: facts.gateway.is_known,
    Condition.GATEWAY_UNKNOWN: lambda facts, now: not facts.gateway.is_known,
    Condition.GATEWAY_ANSWERS: lambda facts, now: facts.gateway.address is not None,
    Condition.ROUTE_IN_EFFECT: lambda facts, now: facts.route.holds,
    Condition.ROUTE_LOST: lambda facts, now: not facts.route.holds,
    Condition.DEPLOYED: lambda facts, now: facts.automation.status is AutomationStatus.DEPLOYED,
    Condition.TRUSTED: lambda facts, now: (
        bool(facts.deployed_by)
        and (
            # No operation of an operator waits for the API: a restart is READY as before it.
            (facts.was_ready and facts.automation.status is None)
            or (not facts.api.has_answered and now >= facts.deadlines.fallback)
        )
    ),
    Condition.FAILED_BEFORE_ROUTE: lambda facts, now: (
        facts.automation.status is AutomationStatus.FAILED and not facts.applied
    ),
    Condition.FAILED_WITH_ROUTE: lambda facts, now: (
        facts.automation.status is AutomationStatus.FAILED
    ),
    Condition.RESUMED: lambda facts, now: (facts.automation.status is not AutomationStatus.FAILED),
    Condition.UNPROCESSABLE: lambda facts, now: (
        facts.automation.status is AutomationStatus.UNPROCESSABLE
    ),
    Condition.DEPLOY_TIMED_OUT: lambda facts, now: now >= facts.deadlines.deploy,
}
