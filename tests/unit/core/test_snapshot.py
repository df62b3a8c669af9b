"""What the machine shows of itself."""

from __future__ import annotations

from math import inf

from rcnetd.core.model import Operation
from rcnetd.core.states import State
from tests.support.playbook import ASSIGNED, DEPLOYED, MANAGED, boot


def test_a_snapshot_is_one_moment() -> None:
    """It does not change with the machine."""
    book = boot(MANAGED)
    before = book.machine.snapshot(book.now)
    book.tell(ASSIGNED, DEPLOYED)
    after = book.machine.snapshot(book.now)

    assert State.WAITING_FOR_GATEWAY is before.state
    assert not before.is_ready
    assert Operation.GATEWAY is before.requests.in_flight
    assert before.facts.gateway.address is None
    assert State.READY is after.state
    assert after.is_ready
    assert after.facts.route.in_effect
    assert after.requests.next_at < inf


def test_a_snapshot_has_the_budget_and_the_last_repair() -> None:
    """As the status shows them."""
    book = boot(MANAGED, ASSIGNED, DEPLOYED)
    book.wait(5)
    book.world.routes = [route for route in book.world.routes if route.ifindex != 3]
    book.look()
    shown = book.machine.snapshot(book.now)

    assert book.machine.poller.pacer.limit == shown.requests.limit > 0
    assert shown.repairs > 0
    assert shown.last_repair is not None
    assert shown.exit is None
