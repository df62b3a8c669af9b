"""Which operation to ask next: pure, by the state and what is known."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf

from rcnetd.core.facts import Facts
from rcnetd.core.model import Operation
from rcnetd.core.states import GUARDING_STATES, READY_STATES, State

STATUS_INTERVAL_WHILE_WAITING = (
    180.0  # seconds: "the status now and then" while the gateway is awaited
)
FAILED_INTERVAL = 60.0  # seconds between looks at a FAILED automation


def wanted(
    state: State, facts: Facts, asked_at: Mapping[Operation, float], now: float
) -> tuple[Operation, float] | None:
    """The operation to ask next and the least interval in seconds; None if there is none.

    An interval of 0 means the budget's own spacing. *asked_at* has when each was asked last.
    """
    recheck_interval = facts.settings.gateway.recheck_interval or inf
    if state in READY_STATES and state is not State.NOT_OURS:
        return _once_ready(state, facts, asked_at, recheck_interval)
    if state is State.WAITING_FOR_FEATURES or facts.configured_by_is_presumed:
        return Operation.FEATURES, 0.0
    if state is State.WAITING_UNMANAGED:
        return Operation.STATUS, 0.0
    if state in (State.WAITING_FOR_GATEWAY, State.CHECKING_GATEWAY, State.APPLYING_ROUTE):
        return _gateway_or_status(asked_at, now), 0.0
    if state not in GUARDING_STATES:
        return None
    if facts.gateway is None:
        return Operation.GATEWAY, 0.0
    if facts.gateway_is_remembered and _is_older(Operation.GATEWAY, Operation.STATUS, asked_at):
        return Operation.GATEWAY, 0.0
    # In turn with the status: a short `recheck_interval` must not leave it no slot.
    is_due = now >= asked_at.get(Operation.GATEWAY, -inf) + recheck_interval
    if is_due and _is_older(Operation.GATEWAY, Operation.STATUS, asked_at):
        return Operation.GATEWAY, 0.0
    return Operation.STATUS, FAILED_INTERVAL if state is State.FAILED else 0.0


def _once_ready(
    state: State, facts: Facts, asked_at: Mapping[Operation, float], recheck_interval: float
) -> tuple[Operation, float] | None:
    """What has not been confirmed since the boot, and then the gateway, now and then."""
    if facts.configured_by_is_presumed:
        operation = Operation.FEATURES
    elif facts.is_trusted:
        operation = Operation.STATUS
    elif state is State.READY:
        if facts.gateway is None:
            return Operation.GATEWAY, 0.0
        operation = Operation.GATEWAY
    else:
        return None
    if operation not in asked_at:  # other settings: is it still so?
        return operation, 0.0
    return (operation, recheck_interval) if recheck_interval < inf else None


def _is_older(one: Operation, other: Operation, asked_at: Mapping[Operation, float]) -> bool:
    return asked_at.get(one, -inf) <= asked_at.get(other, -inf)


def _gateway_or_status(asked_at: Mapping[Operation, float], now: float) -> Operation:
    """The gateway's turn or the status': FAILED leaves the gateway at 404 and must end the wait."""
    if Operation.GATEWAY not in asked_at:
        return Operation.GATEWAY
    if now >= asked_at.get(Operation.STATUS, -inf) + STATUS_INTERVAL_WHILE_WAITING:
        return Operation.STATUS
    return Operation.GATEWAY
