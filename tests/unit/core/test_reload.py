"""Other settings while it runs: nothing is lost, what they change is done, all is asked again."""

from __future__ import annotations

import pytest

from rcnetd.basic.dataclass import replace
from rcnetd.core.actions import Fetch, PublishRoute, RemoveRoutes, SaveLastGood, TakeLinkDown
from rcnetd.core.events import Event, Reconfigured, RequestFailed
from rcnetd.core.lastgood import Identity
from rcnetd.core.model import ConfiguredBy, Operation
from rcnetd.core.settings import (
    GatewaySettings,
    Manage,
    PublicInterface,
    ServiceNetSettings,
    Settings,
)
from rcnetd.core.states import State
from tests.support.playbook import (
    ASSIGNED,
    DEPLOYED,
    DEPLOYING,
    ETH1,
    FAILED,
    GATEWAY,
    MANAGED,
    NOT_ASSIGNED,
    UNMANAGED,
    Playbook,
)

HERE = Identity("0" * 32, "https://dfw.api.rackconnect.rackspace.com")
ELSEWHERE = Identity("0" * 32, "https://ord.api.rackconnect.rackspace.com")


def server(*answers: Event, settings: Settings | None = None) -> Playbook:
    """A server that was told these answers."""
    return Playbook(settings=settings or Settings(), identity=HERE).look().tell(*answers)


def reload(book: Playbook, identity: Identity = HERE, **changes: object) -> list[str]:
    """Give it its settings with *changes*; what is said from then on."""
    said = len(book.said)
    settings = replace(book.machine.facts.settings, **changes)  # type: ignore[arg-type] # any
    book.actions.clear()
    book.tell(Reconfigured(settings, identity)).look()
    return book.said[said:]


def test_nothing_is_lost() -> None:
    """Ready stays ready, the route stays; the gateway is asked for again at once."""
    book = server(MANAGED, ASSIGNED, DEPLOYED)

    assert ["the settings were read again"] == reload(book)
    assert State.READY is book.machine.state
    assert not book.taken(RemoveRoutes)
    assert [Operation.GATEWAY] == book.asked
    book.tell(ASSIGNED).wait(60)
    assert [Operation.GATEWAY] == book.asked


def test_what_is_persisted_follows() -> None:
    """The persister is told of other settings, without another word about the route."""
    book = server(MANAGED, ASSIGNED, DEPLOYED)
    said = reload(book, public_interface=PublicInterface.DOWN)

    settings = Settings(public_interface=PublicInterface.DOWN)
    assert [PublishRoute(ETH1.ifindex, GATEWAY, settings)] == book.taken(PublishRoute)
    assert not any("default route is via" in line for line in said)
    reload(book)
    assert not book.taken(PublishRoute)


@pytest.mark.parametrize(
    ("answers", "state", "operation"),
    [
        ([], State.WAITING_FOR_FEATURES, Operation.FEATURES),
        ([MANAGED, NOT_ASSIGNED], State.WAITING_FOR_GATEWAY, Operation.GATEWAY),
        ([MANAGED, ASSIGNED, DEPLOYING], State.WAITING_FOR_DEPLOYED, Operation.GATEWAY),
        ([UNMANAGED, DEPLOYING], State.WAITING_UNMANAGED, Operation.STATUS),
    ],
)
def test_a_request_on_its_way_is_asked_again(
    answers: list[Event], state: State, operation: Operation
) -> None:
    """In every state that waits for an answer: the one of before does not come any more."""
    book = server(*answers)
    reload(book)
    book.wait(10)

    assert state is book.machine.state
    assert operation in book.asked


def test_the_public_interface_follows_the_policy() -> None:
    """`down` is done now, not at the next start."""
    book = server(MANAGED, ASSIGNED, DEPLOYED)
    reload(book, public_interface=PublicInterface.DOWN)

    assert not book.taken(RemoveRoutes)
    assert [2] == [action.ifindex for action in book.taken(TakeLinkDown)]  # type: ignore[attr-defined]


def test_manage_never_lets_go_and_auto_asks() -> None:
    """Hands off: the route stays but is not guarded. Back to auto: the features decide again."""
    book = server(MANAGED, ASSIGNED, DEPLOYED)
    reload(book, manage=Manage.NEVER)
    assert "READY_UNMANAGED" == book.machine.state.name
    assert book.world.default is not None
    assert GATEWAY == book.world.default.gateway
    assert not book.taken(RemoveRoutes)

    reload(book, manage=Manage.AUTO)
    assert [Operation.FEATURES] == book.asked
    book.tell(MANAGED).wait(10)
    assert State.READY is book.machine.state
    assert [Operation.FEATURES, Operation.GATEWAY] == book.asked


def test_manage_always_takes_over() -> None:
    """Whatever the features said."""
    book = server(UNMANAGED, DEPLOYED)
    reload(book, manage=Manage.ALWAYS)
    book.wait(10).tell(ASSIGNED)

    assert State.READY is book.machine.state
    assert book.machine.facts.configured_by is ConfiguredBy.RCNETD


def test_another_region_is_another_api() -> None:
    """Its answers are awaited before anything is remembered as its own."""
    book = server(MANAGED, ASSIGNED, DEPLOYED)
    reload(book, ELSEWHERE)
    book.look()

    assert State.READY is book.machine.state
    assert not book.taken(SaveLastGood)
    assert book.machine.facts.gateway.is_remembered
    book.tell(ASSIGNED)
    (remembered,) = book.taken(SaveLastGood)
    assert isinstance(remembered, SaveLastGood)
    assert (ELSEWHERE, GATEWAY, False) == (
        remembered.last_good.identity, remembered.last_good.gateway, remembered.last_good.deployed
    )  # fmt: skip


def test_a_failed_automation_is_asked_elsewhere() -> None:
    """FAILED was the other region's word."""
    book = server(MANAGED, ASSIGNED, FAILED)
    reload(book, ELSEWHERE)

    assert State.WAITING_FOR_DEPLOYED is book.machine.state


def test_the_budget_is_the_new_one() -> None:
    """From the next request on."""
    book = server(MANAGED, NOT_ASSIGNED)
    reload(book, requests_per_minute=10)
    book.actions.clear()
    for _ in range(20):
        book.wait(9.9).tell(NOT_ASSIGNED)

    assert 19 <= len(book.taken(Fetch)) <= 21
    assert 10 == book.machine.poller.pacer.limit


def test_deadlines_move_by_the_difference() -> None:
    """Time that has passed counts."""
    book = server(settings=Settings(servicenet=ServiceNetSettings(name="eth7", timeout=100.0)))
    book.wait(60)
    reload(book, servicenet=ServiceNetSettings(name="eth7", timeout=70.0), deploy_timeout=10.0)
    assert book.machine.exit is None

    book.wait(10)
    assert book.machine.exit is not None
    assert 69 == book.machine.exit.exit_code


def test_another_servicenet_is_taken() -> None:
    """The setting names it now."""
    book = server(settings=Settings(servicenet=ServiceNetSettings(name="eth7")))
    assert "WAITING_FOR_SERVICENET" == book.machine.state.name
    reload(book, servicenet=ServiceNetSettings(name="eth1"))

    assert State.WAITING_FOR_FEATURES is book.machine.state


def test_a_gateway_that_is_no_longer_allowed_is_let_go() -> None:
    """The route stays in the kernel until the API gives a valid one."""
    off_subnet = replace(ASSIGNED, gateway=GATEWAY + 256)
    settings = Settings(gateway=GatewaySettings(onlink=True, check=False))
    book = server(MANAGED, off_subnet, DEPLOYED, settings=settings)
    assert State.READY is book.machine.state
    said = reload(book, gateway=GatewaySettings())

    assert any("asking the API again" in line for line in said)
    assert not book.taken(RemoveRoutes)
    assert [Operation.GATEWAY] == book.asked


def test_failures_of_before_are_still_counted() -> None:
    """A reload is no way around the backoff."""
    book = server(MANAGED)
    for _ in range(5):
        book.wait(31).tell(RequestFailed(Operation.GATEWAY, None, "timeout", "timed out"))
    failures = book.machine.poller.pacer.failures
    reload(book)

    assert failures == book.machine.poller.pacer.failures
    assert not book.asked


def test_who_configures_can_be_set_before_it_is_known() -> None:
    """Without waiting for the API's word."""
    book = server()
    reload(book, manage=Manage.ALWAYS)

    assert State.WAITING_FOR_GATEWAY is book.machine.state


def test_other_servicenet_settings_choose_again() -> None:
    """The link that was chosen by the previous ones is not held."""
    book = server(MANAGED, ASSIGNED, DEPLOYED)
    reload(book, servicenet=ServiceNetSettings(name="eth0"))

    assert book.machine.facts.servicenet is not None
    assert "eth0" == book.machine.facts.servicenet.link.name
