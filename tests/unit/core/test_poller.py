"""A request starts over when what it depends on has changed; what failed is not awaited."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface

from rcnetd.basic.dataclass import replace
from rcnetd.core.actions import AbandonRequest, Fetch, Log, RestartRequest
from rcnetd.core.events import DependenciesChanged, RateLimited, RequestFailed
from rcnetd.core.model import Operation
from tests.support.playbook import (
    ASSIGNED,
    DEPLOYED,
    MANAGED,
    Playbook,
    World,
    boot,
    foreign_default,
)

NO_ROUTE = RequestFailed(Operation.FEATURES, kind="connect", reason="Network is unreachable")


def test_a_request_on_its_way_starts_over() -> None:
    """The resolver's file has changed: what has no connection yet is done again."""
    book = Playbook().look().tell(DependenciesChanged())

    assert [RestartRequest()] == book.taken(RestartRequest)


def test_a_request_from_an_address_that_is_gone_is_cut_off() -> None:
    """No answer comes back to it: the next one goes out at once, from the address that counts."""
    world = World()
    book = Playbook(world).look()
    world.addresses = [
        replace(entry, interface=IPv4Interface("10.180.1.3/19"))
        if entry.interface.ip == IPv4Address("10.180.1.2")
        else entry
        for entry in world.addresses
    ]
    book.look()

    assert [AbandonRequest()] == book.taken(AbandonRequest)
    sent = [action for action in book.taken(Fetch) if isinstance(action, Fetch)]
    assert ["10.180.1.2", "10.180.1.3"] == [str(action.source) for action in sent]
    assert 1 == len({action.operation for action in sent})
    assert [AbandonRequest()] == book.look().taken(AbandonRequest)  # nothing has changed


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


def test_a_route_to_the_api_is_noticed_before_it_is_known_who_configures() -> None:
    """At a first boot ServiceNet's own routes come after its address; the default stays."""
    world = World()
    book = Playbook(world).look()
    assert [] == book.taken(RestartRequest)
    world.servicenet_routes()
    book.look()

    assert [RestartRequest()] == book.taken(RestartRequest)
    assert [RestartRequest()] == book.look().taken(RestartRequest)  # nothing has changed


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


def warnings(book: Playbook) -> list[str]:
    """What the log has by default, about requests."""
    lines = [line for line in book.taken(Log) if isinstance(line, Log)]
    return [line.text for line in lines if line.level == "warning" and "Failed to ask" in line.text]


def test_one_dead_operation_is_said_once() -> None:
    """Whatever the others answer meanwhile: they say nothing of it."""
    book = Playbook().look()
    for _ in range(20):
        book.tell(NO_ROUTE, ASSIGNED, DEPLOYED).wait(1)

    assert 1 == len(warnings(book))
    assert not any("answers again" in line for line in book.said)
    assert NO_ROUTE == book.machine.poller.last_failure


def test_each_operation_that_answers_again_is_said() -> None:
    """The last of them by the API's name."""
    book = Playbook().look().tell(NO_ROUTE, replace(NO_ROUTE, operation=Operation.GATEWAY))
    assert 1 == len(warnings(book))  # for the same reason
    book.tell(ASSIGNED, MANAGED)

    assert [line for line in book.said if "answers again" in line] == [
        "'gateway_ip' answers again", "the API answers again"
    ]  # fmt: skip
    assert book.machine.poller.last_failure is None


def test_a_failed_recheck_says_when_the_next_one_is() -> None:
    """Once READY the API is asked again at the next recheck; the log names no backoff."""
    book = boot(MANAGED, ASSIGNED, DEPLOYED)
    book.wait(15 * 60)
    assert Operation.GATEWAY is book.asked[-1]
    book.tell(RequestFailed(Operation.GATEWAY, kind="dns", reason="no such name"))

    assert "Failed to ask 'gateway_ip': no such name, retrying in 15 min" == book.said[-1]
