"""Which operation to poll next, by the state and what is known. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf

from rcnetd.core.facts import Facts
from rcnetd.core.model import Operation
from rcnetd.core.states import GUARDING_STATES, READY_STATES, State

STATUS_INTERVAL = 180.0  # seconds: "the status now and then" while the gateway is awaited
FAILED_INTERVAL = 60.0  # seconds between requests about a FAILED automation
NOT_RACKCONNECTED_INTERVAL = 3600.0  # seconds: perhaps it becomes RackConnected one day

Asked = Mapping[Operation, float]
Next = tuple[Operation, float]


def next_operation(state: State, facts: Facts, asked_at: Asked, now: float) -> Next | None:
    """The operation to poll next and the least interval in seconds; None if there is none.

    An interval of 0 means the budget's own spacing. *asked_at* has when each was sent last.
    """
    if state is State.NOT_OURS:
        return None
    if state is State.NOT_RACKCONNECTED:
        return Operation.STATUS, NOT_RACKCONNECTED_INTERVAL
    if state in READY_STATES:
        return _once_ready(state, facts, asked_at)
    others = _by_state(state, facts, asked_at, now)
    if state is State.WAITING_FOR_FEATURES:
        others = _oldest(asked_at, Operation.GATEWAY, Operation.STATUS), 0.0
    elif facts.is_confirmed or state is State.WAITING_FOR_SERVICENET:
        return others
    # Who configures the network has to be asked, but one dead operation must not stop the others.
    is_failing = facts.failing_since(Operation.FEATURES) < inf
    last = max(asked_at.get(other, -inf) for other in (Operation.GATEWAY, Operation.STATUS))
    if others is None or not is_failing or asked_at.get(Operation.FEATURES, -inf) <= last:
        return Operation.FEATURES, 0.0
    return others


def _by_state(state: State, facts: Facts, asked_at: Asked, now: float) -> Next | None:
    if state is State.WAITING_UNMANAGED:
        return Operation.STATUS, 0.0
    if state in (State.WAITING_FOR_GATEWAY, State.CHECKING_GATEWAY, State.APPLYING_ROUTE):
        return _gateway_or_status(asked_at, now), 0.0
    if state not in GUARDING_STATES:
        return None
    if facts.gateway.address is None:
        return Operation.GATEWAY, 0.0
    if facts.gateway.is_remembered and _is_older(Operation.GATEWAY, Operation.STATUS, asked_at):
        return Operation.GATEWAY, 0.0
    # In turn with the status: a short `recheck_interval` must not leave it no slot.
    recheck_interval = facts.settings.gateway.recheck_interval or inf
    is_due = now >= asked_at.get(Operation.GATEWAY, -inf) + recheck_interval
    if is_due and _is_older(Operation.GATEWAY, Operation.STATUS, asked_at):
        return Operation.GATEWAY, 0.0
    return Operation.STATUS, FAILED_INTERVAL if state is State.FAILED else 0.0


def _once_ready(state: State, facts: Facts, asked_at: Asked) -> Next | None:
    """What has not been confirmed since the boot, and then the gateway, now and then."""
    wanted = []
    if not facts.is_confirmed:
        wanted.append(Operation.FEATURES)
    if facts.automation.source:
        wanted.append(Operation.STATUS)
    if state is State.READY:
        if facts.gateway.address is None:
            return Operation.GATEWAY, 0.0
        wanted.append(Operation.GATEWAY)
    for operation in wanted:
        if operation not in asked_at:  # other settings, or a restart: is it still so?
            return operation, 0.0
    interval = facts.settings.gateway.recheck_interval
    if not wanted or not interval:
        return None
    return _oldest(asked_at, *wanted), interval


def _oldest(asked_at: Asked, *operations: Operation) -> Operation:
    return min(operations, key=lambda operation: asked_at.get(operation, -inf))


def _is_older(one: Operation, other: Operation, asked_at: Asked) -> bool:
    return asked_at.get(one, -inf) <= asked_at.get(other, -inf)


def _gateway_or_status(asked_at: Asked, now: float) -> Operation:
    """The gateway's turn or the status': FAILED leaves the gateway at 404 and must end the wait."""
    if Operation.GATEWAY not in asked_at:
        return Operation.GATEWAY
    if now >= asked_at.get(Operation.STATUS, -inf) + STATUS_INTERVAL:
        return Operation.STATUS
    return Operation.GATEWAY
