"""From events to facts: one dead operation, a server that is not RackConnected, the held link."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface

import pytest

from rcnetd.basic.dataclass import replace
from rcnetd.core.actions import AddRoute, ProbeNeighbour
from rcnetd.core.events import RequestFailed
from rcnetd.core.lastgood import Identity, LastGood
from rcnetd.core.model import Address, ConfiguredBy, Link, Operation
from rcnetd.core.settings import Metadata
from rcnetd.core.states import State
from tests.support.playbook import (
    ASSIGNED,
    DEPLOYED,
    DEPLOYING,
    ETH0,
    ETH1,
    GATEWAY,
    MANAGED,
    NOT_ASSIGNED,
    PRIVATE,
    PUBLIC,
    UNMANAGED,
    Playbook,
    World,
    foreign_default,
)

FEATURES = Operation.FEATURES
IDENTITY = Identity("0" * 32, "https://dfw.api.rackconnect.rackspace.com")
LAST_GOOD = LastGood(
    IDENTITY, ETH1.mac, PRIVATE, ConfiguredBy.RCNETD, GATEWAY, deployed=True, api_address=None
)


def state_of(book: Playbook) -> State:
    """The state now."""
    return book.machine.state


def not_found(operation: Operation) -> RequestFailed:
    """404, and not from the gateway's operation."""
    return RequestFailed(operation, kind="http-404", reason="the API does not know this server")


def answer(book: Playbook, features: RequestFailed, seconds: float) -> Playbook:
    """The API answers everything but the question about features, for so long."""
    answers = {Operation.GATEWAY: ASSIGNED, Operation.STATUS: DEPLOYED, FEATURES: features}
    end = book.now + seconds
    while book.now < end:
        operation = book.machine.poller.in_flight
        if operation is not None:
            book.tell(answers[operation])
        book.wait(0.5)
    return book


@pytest.mark.parametrize("kind", ["http-500", "http-404", "invalid", "timeout"])
def test_a_dead_operation_keeps_no_server_from_its_route(kind: str) -> None:
    """After `fallback_after` the others decide; it is asked on."""
    failure = RequestFailed(FEATURES, kind=kind, reason="no")
    book = answer(Playbook().look(), failure, 110)
    assert state_of(book) is State.WAITING_FOR_FEATURES
    assert book.taken(AddRoute) == []

    answer(book, failure, 25)
    assert state_of(book) is State.READY
    assert sum("'automation_features' keeps failing" in line for line in book.said) == 1
    asked = len([operation for operation in book.asked if operation is FEATURES])
    answer(book, failure, 2000)
    assert len([operation for operation in book.asked if operation is FEATURES]) > asked


@pytest.mark.parametrize(("word", "state"), [(True, State.READY_UNMANAGED), (False, State.READY)])
def test_xenstores_word_decides_where_the_operation_is_dead(word: bool, state: State) -> None:
    """It is RackConnect's own."""
    metadata = Metadata(configure_network_stack=word)
    book = answer(
        Playbook(metadata=metadata).look(),
        RequestFailed(FEATURES, kind="http-500", reason="no"),
        140,
    )

    assert state is book.machine.state


def test_an_api_that_answers_nothing_decides_nothing() -> None:
    """Network errors are no word about this server."""
    book = Playbook().look()
    for _ in range(600):
        operation = book.machine.poller.in_flight
        if operation is not None:
            book.tell(RequestFailed(operation, kind="connect", reason="refused"))
        book.wait(1)

    assert State.WAITING_FOR_FEATURES is book.machine.state
    assert book.taken(AddRoute) == []


def not_rackconnected() -> Playbook:
    """A server whose roles name no RackConnect, and that the API does not know."""
    book = Playbook(metadata=Metadata(roles=("identity:user-admin",))).look()
    answers = {
        FEATURES: not_found(FEATURES),
        Operation.STATUS: not_found(Operation.STATUS),
        Operation.GATEWAY: NOT_ASSIGNED,
    }
    for _ in range(30):
        operation = book.machine.poller.in_flight
        if operation is not None:
            book.tell(answers[operation])
        book.wait(1)
    return book


def test_a_server_that_is_not_rackconnected() -> None:
    """Ready, nothing touched, asked about once an hour."""
    book = not_rackconnected()
    assert State.NOT_RACKCONNECTED is book.machine.state
    assert book.is_ready
    assert book.taken(AddRoute) == []

    asked = len(book.asked)
    book.wait(3500)
    assert asked == len(book.asked)
    book.wait(200)
    assert asked + 1 == len(book.asked)


def test_a_server_that_becomes_rackconnected_later() -> None:
    """From then on it is ours."""
    book = not_rackconnected().wait(3700).tell(DEPLOYING)

    assert state_of(book) is State.WAITING_FOR_FEATURES
    book.tell(MANAGED, ASSIGNED, DEPLOYED)
    assert state_of(book) is State.READY


def test_one_path_that_is_wrong_does_not_mean_not_rackconnected() -> None:
    """Roles without RackConnect are not enough: the API has to answer 404 to everything."""
    book = Playbook(metadata=Metadata(roles=("identity:user-admin",))).look()

    answer(book, not_found(FEATURES), 140)
    assert State.READY is book.machine.state


VIP = Address(3, IPv4Interface("10.180.1.200/32"))


def test_a_virtual_address_in_front_of_ours() -> None:
    """A /32 of keepalived's has no subnet: the address whose subnet holds the gateway is meant."""
    world = World(addresses=[Address(2, PUBLIC), VIP, Address(3, PRIVATE)]).servicenet_routes()
    book = Playbook(world).look().tell(MANAGED, ASSIGNED, DEPLOYED)

    assert book.is_ready
    assert PRIVATE == book.machine.facts.servicenet.address  # type: ignore[union-attr] # it is there


def test_our_own_address_counts_again_when_it_is_back() -> None:
    """Beside a virtual one of the same subnet: what is remembered comes first."""
    vip = Address(3, IPv4Interface("10.180.1.200/19"))
    world = World(addresses=[Address(2, PUBLIC), vip]).servicenet_routes()
    book = Playbook(world, identity=IDENTITY, memory=LAST_GOOD).look()
    book.tell(MANAGED, ASSIGNED, DEPLOYED)
    world.addresses.append(Address(3, PRIVATE))
    book.look()

    assert PRIVATE == book.machine.facts.servicenet.address  # type: ignore[union-attr] # it is there


def test_the_chosen_link_is_known_by_its_index() -> None:
    """A container's veth joins ServiceNet's bridge, whose MAC changes: it still is ServiceNet."""
    port = replace(ETH1, master=7)
    bridge = Link(7, "br-snet", ETH1.mac, kind="bridge")
    world = World(links=[ETH0, port, bridge], addresses=[Address(2, PUBLIC), Address(7, PRIVATE)])
    book = Playbook(world, metadata=Metadata(servicenet_mac=ETH1.mac)).look()
    book.tell(MANAGED, ASSIGNED, DEPLOYED)
    assert book.is_ready

    world.links[2] = replace(bridge, mac="0e:00:00:00:00:01")
    world.routes = [route for route in world.routes if route.gateway != GATEWAY]
    book.look()

    assert world.default is not None
    assert GATEWAY == world.default.gateway
    assert not any("ServiceNet is gone" in line for line in book.said)


def test_a_restart_is_ready_as_before_it() -> None:
    """Whatever the API does: no operation of an operator waits for it."""
    book = Playbook(identity=IDENTITY, memory=LAST_GOOD, was_ready=True).look()

    assert book.is_ready
    assert State.READY is book.machine.state
    assert any("DEPLOYED was reported before the restart" in line for line in book.said)
    operation = book.machine.poller.in_flight
    assert operation is not None
    book.tell(RequestFailed(operation, kind="connect", reason="refused")).wait(20)
    assert len(book.asked) > 1  # all is asked again


@pytest.mark.parametrize("by", ConfiguredBy)
def test_a_restart_does_not_wait_for_servicenet(by: ConfiguredBy) -> None:
    """A running daemon is READY without it, too; what has changed meanwhile is asked."""
    is_ours = by is ConfiguredBy.RCNETD
    memory = replace(LAST_GOOD, configured_by=by, gateway=GATEWAY if is_ours else None)
    world = World(links=[ETH0], addresses=[Address(2, PUBLIC)]).servicenet_routes()
    book = Playbook(world, identity=IDENTITY, memory=memory, was_ready=True).look()
    assert book.is_ready

    world.links.append(ETH1)
    world.addresses.append(Address(3, PRIVATE))
    book.look().tell(MANAGED, ASSIGNED, DEPLOYED)
    assert State.READY is book.machine.state
    assert GATEWAY == world.default.gateway  # type: ignore[union-attr] # it is there


def test_a_restart_as_another_machine_waits_for_servicenet() -> None:
    """What is remembered is another's."""
    world = World(links=[ETH0], addresses=[Address(2, PUBLIC)])
    other = replace(LAST_GOOD, identity=replace(IDENTITY, machine_id="another"))
    assert not Playbook(world, identity=IDENTITY, memory=other, was_ready=True).look().is_ready
    assert not Playbook(world, identity=IDENTITY, was_ready=True).look().is_ready


def test_a_restart_does_not_ask_whether_the_gateway_answers() -> None:
    """It has answered in this boot: a running daemon does not ask either."""
    world = World(alive=set()).servicenet_routes()
    book = Playbook(world, identity=IDENTITY, memory=LAST_GOOD, was_ready=True).look()

    assert State.READY is book.machine.state
    assert GATEWAY == world.default.gateway  # type: ignore[union-attr] # it is there


def test_a_restart_with_nothing_to_do() -> None:
    """The server was not RackConnected; the API is asked, but not waited for."""
    roles = Metadata(roles=("identity:user-admin",))
    book = Playbook(metadata=roles, was_ready=True, was_not_rackconnected=True).look()
    assert State.NOT_RACKCONNECTED is book.machine.state

    book.wait(3700).tell(DEPLOYED).tell(MANAGED, ASSIGNED, DEPLOYED)
    assert State.READY is state_of(book)


def test_a_silent_gateway_is_probed_on_the_link_that_is_servicenet_now() -> None:
    """ServiceNet's port joins a bridge while the gateway is asked: it is asked there, at once."""
    world = World(alive=set()).servicenet_routes()
    book = Playbook(world, identity=IDENTITY, memory=LAST_GOOD).look()
    assert [ProbeNeighbour(3, GATEWAY)] == book.taken(ProbeNeighbour)

    world.links[1:] = [replace(ETH1, master=7), Link(7, "br-snet", ETH1.mac, kind="bridge")]
    world.addresses[1] = Address(7, PRIVATE)
    book.look()
    probes = [ProbeNeighbour(3, GATEWAY), ProbeNeighbour(7, GATEWAY)]
    assert probes == book.taken(ProbeNeighbour)


def test_a_restart_with_another_address_is_a_new_boot() -> None:
    """What was READY was another server's."""
    other = replace(LAST_GOOD, address=IPv4Interface("10.180.9.9/19"))

    assert not Playbook(identity=IDENTITY, memory=other, was_ready=True).look().is_ready


def test_no_deployed_in_time_has_the_true_reason() -> None:
    """Which of the two was missing."""
    book = Playbook().look().tell(MANAGED, ASSIGNED, DEPLOYING).wait(3700)
    assert book.machine.exit is not None
    assert "the automation is DEPLOYING" in book.machine.exit.reason

    silent = Playbook(World(alive=set()).servicenet_routes()).look()
    silent.tell(MANAGED, ASSIGNED, DEPLOYED).wait(3700)
    assert silent.machine.exit is not None
    assert "no route is in effect" in silent.machine.exit.reason


def test_unmanaged_at_a_restart() -> None:
    """RackConnect configures the network: READY at once there, too."""
    memory = replace(LAST_GOOD, configured_by=ConfiguredBy.RACKCONNECT, gateway=None)
    book = Playbook(identity=IDENTITY, memory=memory, was_ready=True).look()

    assert State.READY_UNMANAGED is book.machine.state
    book.tell(UNMANAGED)
    assert State.READY_UNMANAGED is book.machine.state


def test_a_list_of_links_that_keeps_changing_is_no_proof_of_absence() -> None:
    """Nothing is known, so nothing is done; it is read again soon."""
    book = Playbook().look().tell(MANAGED, ASSIGNED, DEPLOYED)
    world = book.world
    shown = world.network
    world.network = lambda machine: replace(  # type: ignore[method-assign]
        shown(machine), links=(), addresses=(), is_complete=False
    )
    book.look()

    assert book.machine.query.links is None
    assert book.machine.wake_at <= book.now + 1
    assert not any("ServiceNet is gone" in line for line in book.said)
    world.network = shown  # type: ignore[method-assign]
    world.routes.insert(0, foreign_default())
    book.look()
    assert foreign_default() not in world.routes


def test_a_gateway_outside_of_every_subnet_names_ours() -> None:
    """With one address there is nothing to choose."""
    book = Playbook().look().tell(MANAGED, replace(ASSIGNED, gateway=IPv4Address("10.99.0.1")))

    assert "is not in the ServiceNet subnet 10.180.0.0/19" in book.machine.facts.gateway.rejected
