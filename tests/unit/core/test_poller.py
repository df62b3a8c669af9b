"""A request starts over when what it depends on has changed; what failed is not awaited."""

from __future__ import annotations

from rcnetd.basic.dataclass import replace
from rcnetd.core.actions import Fetch, RestartRequest
from rcnetd.core.events import DependenciesChanged, RateLimited, RequestFailed
from rcnetd.core.model import Operation
from tests.support.playbook import (
    ASSIGNED,
    DEPLOYED,
    MANAGED,
    Playbook,
    World,
    foreign_default,
)

NO_ROUTE = RequestFailed(Operation.FEATURES, kind="connect", reason="Network is unreachable")


def test_a_request_on_its_way_starts_over() -> None:
    """The resolver's file has changed: what has no connection yet is done again."""
    book = Playbook().look().tell(DependenciesChanged())

    assert [RestartRequest()] == book.taken(RestartRequest)


def test_a_request_that_failed_is_sent_at_once() -> None:
    """A route to the API has come: there is no back-off for what could not work before."""
    world = World(routes=[])
    book = Playbook(world).look().tell(NO_ROUTE, DependenciesChanged())
    assert [Operation.FEATURES] * 1 == book.asked[:1]
    sent = len(book.asked)
    book.tell(NO_ROUTE)
    world.servicenet_routes()
    world.routes.append(foreign_default())
    book.look()

    assert len(book.asked) > sent
    assert book.now == 0.0


def test_a_network_that_changes_all_the_time_makes_no_storm() -> None:
    """Some in a row, then one a second."""
    book = Playbook().look()
    for number in range(200):
        book.now = number / 100
        book.tell(DependenciesChanged())

    assert 8 <= len(book.taken(RestartRequest)) <= 12


def test_with_nothing_to_do_again_nothing_is_done() -> None:
    """A ready server's routes change without any request."""
    book = Playbook().look().tell(MANAGED, ASSIGNED, DEPLOYED).wait(1)
    book.actions.clear()
    book.tell(DependenciesChanged())

    assert book.taken(Fetch) == []
    assert book.taken(RestartRequest) == []


def test_a_retry_after_is_a_least_time() -> None:
    """Also that of a 503 (RFC 9110, 10.2.3)."""
    busy = replace(NO_ROUTE, kind="http-503", reason="busy", retry_after=40.0)
    book = Playbook().look().tell(busy).wait(39)
    assert len(book.asked) == 1

    assert len(book.wait(3).asked) == 2


def test_a_rate_limit_is_said_once() -> None:
    """Whatever name it has."""
    book = Playbook().look().tell(RateLimited(Operation.FEATURES, retry_after=100.0)).wait(99)
    assert len(book.asked) == 1
    assert sum("rate limit is reached" in line for line in book.said) == 1


def test_whether_any_route_matters() -> None:
    """While a request is on its way or has failed; not on a ready server that waits for nothing."""
    book = Playbook().look()
    assert book.machine.awaits_api
    book.tell(NO_ROUTE)
    assert book.machine.awaits_api

    book = Playbook().look().tell(MANAGED, ASSIGNED, DEPLOYED)
    assert book.machine.is_ready
    assert not book.machine.awaits_api
