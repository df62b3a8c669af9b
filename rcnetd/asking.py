"""Which operation to ask next: pure, by the state and what is known."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf

from rcnetd.facts import Facts
from rcnetd.model import Operation
from rcnetd.states import GUARDING_STATES, State

STATUS_BETWEEN = 180.0  # seconds: "the status now and then" while the gateway is awaited
FAILED_INTERVAL = 60.0  # seconds between looks at a FAILED automation


def wanted(
    state: State, facts: Facts, asked_at: Mapping[Operation, float], now: float
) -> tuple[Operation, float] | None:
    """The operation to ask next and the least interval in seconds; None if there is none.

    An interval of 0 means the budget's own spacing. *asked_at* has when each was asked last.
    """
    if state is State.ASKING_FEATURES:
        return Operation.FEATURES, 0.0
    if state is State.WAITING_HANDS_OFF:
        return Operation.STATUS, 0.0
    if state in (State.WAITING_FOR_GATEWAY, State.CHECKING_GATEWAY, State.APPLYING_ROUTE):
        return _gateway_or_status(asked_at, now), 0.0
    if state not in GUARDING_STATES:
        return None
    if facts.gateway is None:
        return Operation.GATEWAY, 0.0
    recheck = facts.settings.gateway.recheck or inf
    if state is State.READY:
        return (Operation.GATEWAY, recheck) if recheck < inf else None
    if now >= asked_at.get(Operation.GATEWAY, -inf) + recheck:
        return Operation.GATEWAY, 0.0
    return Operation.STATUS, FAILED_INTERVAL if state is State.FAILED else 0.0


def _gateway_or_status(asked_at: Mapping[Operation, float], now: float) -> Operation:
    """The gateway's turn or the status': FAILED leaves the gateway at 404 and must end the wait."""
    if Operation.GATEWAY not in asked_at:
        return Operation.GATEWAY
    if now >= asked_at.get(Operation.STATUS, -inf) + STATUS_BETWEEN:
        return Operation.STATUS
    return Operation.GATEWAY
