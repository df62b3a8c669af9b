"""What outlives a reboot, and when it counts: conversations on simulated time."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface

import pytest

from rcnetd.basic.dataclass import replace
from rcnetd.core.actions import AddRoute, Fetch, SaveLastGood
from rcnetd.core.events import Answered, FeaturesReceived, RateLimited, RequestFailed
from rcnetd.core.lastgood import Identity, LastGood, difference
from rcnetd.core.model import Address, ConfiguredBy, Link, Operation
from rcnetd.core.servicenet import ServiceNet
from rcnetd.core.settings import GatewaySettings, Manage, Metadata, Settings
from rcnetd.core.states import State
from rcnetd.daemon.status import document, status_text
from tests.support.playbook import (
    ASSIGNED,
    DEPLOYED,
    DEPLOYING,
    ETH0,
    ETH1,
    FAILED,
    GATEWAY,
    MANAGED,
    NOT_ASSIGNED,
    OTHER_GATEWAY,
    PRIVATE,
    PUBLIC,
    SETTINGS,
    UNMANAGED,
    Playbook,
    World,
)

FEATURES, STATUS, ASK_GATEWAY = Operation.FEATURES, Operation.STATUS, Operation.GATEWAY
HERE = Identity("0123456789abcdef0123456789abcdef", "https://dfw.example")
MEMORY = LastGood(HERE, ETH1.mac or "", PRIVATE, ConfiguredBy.RCNETD, GATEWAY, deployed=True)
OFF = replace(MEMORY, configured_by=ConfiguredBy.RACKCONNECT, gateway=None)
UNTOLD = FeaturesReceived(FEATURES)


@pytest.mark.parametrize(
    ("memory", "expected"),
    [
        (MEMORY, None),
        (replace(MEMORY, identity=replace(HERE, machine_id="f" * 32)), "machine-id"),
        (
            replace(MEMORY, identity=replace(HERE, endpoint="https://ord.example")),
            "region or endpoint",
        ),
        (replace(MEMORY, mac="bc:76:4e:00:00:01"), "ServiceNet MAC"),
        (replace(MEMORY, address=IPv4Interface("10.180.1.3/19")), "ServiceNet address"),
        (OFF, "configurator (rcnetd or RackConnect)"),
    ],
)
def test_the_difference_is_named(memory: LastGood, expected: str | None) -> None:
    """In the words of the log line that says why a memory does not count."""
    here = ServiceNet(ETH1, PRIVATE, "configured")

    assert expected == difference(memory, HERE, here, ConfiguredBy.RCNETD)


def again(
    memory: LastGood | None = MEMORY,
    *answers: Answered,
    world: World | None = None,
    settings: Settings = SETTINGS,
    metadata: Metadata | None = None,
    identity: Identity = HERE,
) -> Playbook:
    """A later boot of a server, with what it remembers."""
    book = Playbook(world, settings, metadata or Metadata(), identity=identity, memory=memory)
    return book.look().tell(*answers)


def silence(book: Playbook, seconds: float) -> Playbook:
    """The API gives no answer for so long: every request fails."""
    end = book.now + seconds
    while book.now < end:
        asking = book.machine.poller.in_flight
        if asking is not None:
            book.tell(RequestFailed(asking, kind="connect", reason="refused"))
        book.wait(min(1.0, end - book.now))
    return book


def state_of(book: Playbook) -> State:
    """The machine's state, read anew."""
    return book.machine.state


def remembered(book: Playbook) -> list[LastGood]:
    """What was to be remembered so far."""
    return [action.last_good for action in book.actions if isinstance(action, SaveLastGood)]


def test_a_first_boot_is_remembered() -> None:
    """The gateway when its route is in effect, DEPLOYED when it has come; each written once."""
    book = again(None, MANAGED, ASSIGNED)
    assert [replace(MEMORY, deployed=False)] == remembered(book)

    book.wait(5).tell(DEPLOYING).wait(5).tell(DEPLOYED)
    assert [replace(MEMORY, deployed=False), MEMORY] == remembered(book)

    book.wait(2000)
    assert 2 == len(remembered(book))


def test_hands_off_is_remembered_without_a_gateway() -> None:
    """What RackConnect sets is not ours to remember."""
    assert [OFF] == remembered(again(None, UNMANAGED, DEPLOYED))[-1:]


def test_without_a_machine_id_nothing_is_remembered_nor_used() -> None:
    """A golden image has none: what it remembered would be every server's."""
    nobody = Identity("", HERE.endpoint)
    assert [] == remembered(again(None, MANAGED, ASSIGNED, DEPLOYED, identity=nobody))

    book = again(replace(MEMORY, identity=nobody), identity=nobody)
    assert [] == book.taken(AddRoute)


def test_the_remembered_gateway_is_applied_before_any_answer() -> None:
    """The route is in effect at once, checked on the link like any other."""
    book = again()

    assert State.WAITING_FOR_DEPLOYED is state_of(book)
    assert book.world.default is not None
    assert GATEWAY == book.world.default.gateway
    assert "the gateway is remembered, the API has not confirmed it yet" in status_text(
        book.machine.snapshot(0.0)
    )
    assert document(book.machine.snapshot(0.0), pid=1, answers={})["gateway"]["remembered"]
    assert not book.is_ready


def test_a_remembered_gateway_that_does_not_answer_changes_nothing() -> None:
    """The old default stays, and the API is asked."""
    world = World(alive={OTHER_GATEWAY}).servicenet_routes()
    book = again(world=world)
    assert [] == book.taken(AddRoute)

    other = replace(ASSIGNED, gateway=OTHER_GATEWAY)
    book.tell(MANAGED, other, DEPLOYED)
    assert book.world.default is not None
    assert OTHER_GATEWAY == book.world.default.gateway
    assert book.is_ready


def test_everything_is_confirmed_afterwards() -> None:
    """Who configures, the gateway, the status: each asked once, and nothing new to remember."""
    book = again(MEMORY, MANAGED, ASSIGNED, DEPLOYED)

    assert [FEATURES, ASK_GATEWAY, STATUS] == book.asked
    assert book.is_ready
    assert [] == remembered(book)
    assert "remembered" not in status_text(book.machine.snapshot(0.0))


def test_a_bridge_is_known_by_its_card() -> None:
    """A container joins ServiceNet's bridge, which takes its MAC: after a flap, too."""
    bridge = Link(7, "br-snet", "02:00:00:00:00:01", kind="bridge")
    container = Link(8, "v0", "02:00:00:00:00:01", kind="veth", master=7)
    links = [ETH0, replace(ETH1, master=7), bridge, container]
    addresses = [Address(2, PUBLIC), Address(7, PRIVATE)]
    book = again(world=World(links=links, addresses=addresses))
    assert GATEWAY == book.machine.facts.gateway.address

    book.world.links[2] = replace(bridge, carrier=False)
    book.look()
    book.world.links[2] = replace(bridge, mac="02:00:00:00:00:00")
    book.look()
    assert GATEWAY == book.machine.facts.gateway.address
    assert not any("not used" in line for line in book.said)

    book.tell(MANAGED, ASSIGNED, DEPLOYED)
    assert [] == remembered(book)  # nothing new: the card is the same


def test_another_gateway_moves_the_route() -> None:
    """The API's fresh answer wins; make before break."""
    book = again(MEMORY, MANAGED, replace(ASSIGNED, gateway=OTHER_GATEWAY))

    assert book.world.default is not None
    assert OTHER_GATEWAY == book.world.default.gateway
    assert 0 == book.world.without_default
    assert OTHER_GATEWAY == remembered(book)[-1].gateway


def test_404_does_not_take_the_remembered_gateway_away() -> None:
    """Only a valid new answer changes the route."""
    book = again(MEMORY, MANAGED, NOT_ASSIGNED, DEPLOYED)

    assert book.world.default is not None
    assert GATEWAY == book.world.default.gateway
    assert book.is_ready


def test_while_the_gateway_is_not_confirmed_it_takes_turns_with_the_status() -> None:
    """A gateway_ip that fails for long does not keep DEPLOYED from being noticed."""
    book = again(MEMORY, MANAGED)
    assert [FEATURES, ASK_GATEWAY] == book.asked

    book.tell(RequestFailed(ASK_GATEWAY, kind="timeout", reason="")).wait(20).tell(DEPLOYING)
    book.wait(20)
    assert [FEATURES, ASK_GATEWAY, STATUS, ASK_GATEWAY] == book.asked


@pytest.mark.parametrize(
    ("memory", "word"),
    [
        (replace(MEMORY, identity=replace(HERE, machine_id="f" * 32)), "machine-id"),
        (replace(MEMORY, identity=replace(HERE, endpoint="https://lon.example")), "region"),
        (replace(MEMORY, mac="bc:76:4e:ff:ff:ff"), "MAC"),
        (replace(MEMORY, address=IPv4Interface("10.180.1.3/19")), "address"),
        (replace(MEMORY, address=IPv4Interface("10.180.1.2/20")), "address"),
    ],
)
def test_what_is_of_another_server_is_not_used(memory: LastGood, word: str) -> None:
    """A copy of a disk, another region, another link or address: as on a first boot."""
    book = again(memory)

    assert State.WAITING_FOR_FEATURES is state_of(book)
    assert [] == book.taken(AddRoute)
    assert any(f"of another {word}" in line or word in line for line in book.said)

    book.tell(MANAGED, ASSIGNED, DEPLOYED)
    assert [MEMORY] == remembered(book)[-1:]


def test_what_is_of_another_mode_is_not_used() -> None:
    """The settings say hands off: what was remembered of hands on is void."""
    book = again(settings=replace(SETTINGS, manage=Manage.NEVER))

    assert [] == book.taken(AddRoute)
    silence(book, 300)
    assert not book.is_ready


def test_a_mode_that_is_set_needs_no_answer() -> None:
    """`manage: always`: the remembered gateway is used, the features are not asked."""
    book = again(settings=replace(SETTINGS, manage=Manage.ALWAYS))

    assert State.WAITING_FOR_DEPLOYED is state_of(book)
    assert [ASK_GATEWAY] == book.asked


def test_never_on_a_server_that_has_become_rackconnect_v3() -> None:
    """Not ours, whatever it was."""
    book = again(metadata=Metadata(roles=("rackconnect:v3-network",)))

    assert State.NOT_OURS is state_of(book)
    assert [] == book.taken(AddRoute)


def test_an_invalid_remembered_gateway_is_not_used() -> None:
    """It is judged like an answer of the API's."""
    book = again(replace(MEMORY, gateway=PRIVATE.ip))

    assert [] == book.taken(AddRoute)
    assert any("the remembered gateway 10.180.1.2" in line for line in book.said)
    assert State.WAITING_FOR_GATEWAY is state_of(book)


def test_an_address_that_moves_voids_it() -> None:
    """Remembered for one address, never used with another."""
    book = again()
    book.world.addresses[-1] = Address(3, IPv4Interface("10.180.1.9/19"))
    book.look()

    assert book.machine.facts.gateway.address is None
    assert not book.machine.facts.last_good_matches


def test_hands_off_after_all() -> None:
    """The feature was enabled since: no more guarding, the wait is for DEPLOYED."""
    book = again(MEMORY, UNMANAGED)
    assert State.WAITING_UNMANAGED is state_of(book)
    assert book.machine.facts.gateway.address is None

    book.tell(DEPLOYED)
    assert State.READY_UNMANAGED is state_of(book)
    assert [OFF] == remembered(book)[-1:]


def test_hands_on_after_all() -> None:
    """The feature was disabled since: the route is ours to set."""
    book = again(OFF)
    assert State.WAITING_UNMANAGED is state_of(book)

    book.tell(MANAGED, ASSIGNED, DEPLOYED)
    assert State.READY is state_of(book)
    assert [MEMORY] == remembered(book)[-1:]


def test_features_of_unknown_shape_leave_the_remembered_mode() -> None:
    """A doubtful answer changes nothing."""
    assert State.WAITING_UNMANAGED is state_of(again(OFF, UNTOLD))


def test_remembered_deployed_counts_when_the_api_is_dead() -> None:
    """After `fallback_after` without any answer, and not before; STATUS says so."""
    book = silence(again(), 119)
    assert not book.is_ready

    silence(book, 2)
    assert book.is_ready
    text = status_text(book.machine.snapshot(book.now))
    assert "DEPLOYED is remembered from an earlier boot, the API has not answered yet" in text
    automation = document(book.machine.snapshot(book.now), pid=1, answers={})["automation"]
    assert {"status": None, "source": "is remembered from an earlier boot"} == automation
    assert [] == remembered(book)


def test_hands_off_is_trusted_too() -> None:
    """Nothing to set, and DEPLOYED last time."""
    book = silence(again(OFF), 121)

    assert State.READY_UNMANAGED is state_of(book)


@pytest.mark.parametrize("answer", [MANAGED, RateLimited(FEATURES)])
def test_any_answer_is_worth_more(answer: Answered) -> None:
    """The API lives: what it says counts, not what it said."""
    book = silence(again(MEMORY, answer), 300)

    assert not book.is_ready


def test_what_was_not_deployed_is_not_trusted() -> None:
    """A server that was not DEPLOYED last time waits."""
    assert not silence(again(replace(MEMORY, deployed=False)), 300).is_ready


def test_a_fresh_answer_is_remembered_instead() -> None:
    """FAILED now: it was DEPLOYED last time, and is not any more."""
    book = again(MEMORY, MANAGED, ASSIGNED, FAILED)

    assert State.FAILED is state_of(book)
    assert [replace(MEMORY, deployed=False)] == remembered(book)


@pytest.mark.parametrize("memory", [MEMORY, OFF])
def test_trust_is_made_good_when_the_api_is_back(memory: LastGood) -> None:
    """Who configures and the status are confirmed, at the pace of `gateway.recheck_interval`."""
    book = silence(again(memory), 121)
    if book.machine.poller.in_flight:
        book.tell(RequestFailed(FEATURES, kind="connect", reason="refused"))
    book.wait(1800).tell(UNMANAGED if memory is OFF else MANAGED)
    book.wait(1800).tell(DEPLOYED)

    assert STATUS in book.asked
    assert not book.machine.facts.automation.source
    assert book.machine.facts.is_confirmed


def test_a_trusted_server_turns_out_to_be_hands_off() -> None:
    """Ready it stays; the guard ends."""
    book = silence(again(), 121).wait(1800).tell(UNMANAGED)

    assert State.READY_UNMANAGED is state_of(book)


def test_a_trusted_server_turns_out_to_be_hands_on() -> None:
    """Ready it stays; the route is set."""
    book = silence(again(OFF), 121).wait(1800).tell(MANAGED).wait(1800).tell(DEPLOYED)
    book.wait(60).tell(ASSIGNED)

    assert State.READY is state_of(book)
    assert book.world.default is not None
    assert IPv4Address(GATEWAY) == book.world.default.gateway


def test_without_recheck_nothing_more_is_asked() -> None:
    """`gateway.recheck_interval: 0`: a trusted server stays with what it knows."""
    settings = replace(SETTINGS, gateway=GatewaySettings(recheck_interval=0.0))
    book = silence(again(settings=settings), 121)
    asked = len(book.asked)

    assert asked == len(book.wait(10_000).asked)


# The API's last address

API = IPv4Address("10.208.0.10")
DNS = RequestFailed(Operation.FEATURES, kind="dns", reason="cannot resolve it")


def last_fetch(book: Playbook) -> Fetch:
    """The last request."""
    fetch = [action for action in book.actions if isinstance(action, Fetch)][-1]
    assert isinstance(fetch, Fetch)
    return fetch


def test_the_last_address_is_asked_when_the_name_fails() -> None:
    """Remembered from an earlier boot; the name comes first, and again after a while."""
    book = again(replace(MEMORY, api_address=API))
    assert last_fetch(book).address is None

    book.tell(DNS).wait(2)
    assert API == last_fetch(book).address
    assert f"asking {API}, where the API was last" in book.said
    book.tell(MANAGED).wait(10).tell(ASSIGNED).wait(10).tell(DEPLOYED)
    assert State.READY is state_of(book)
    book.wait(900)
    assert last_fetch(book).address is None


def test_an_address_where_nothing_answers_is_no_longer_asked() -> None:
    """Back to the name with the next request."""
    book = again(replace(MEMORY, api_address=API)).tell(DNS).wait(2)
    book.tell(RequestFailed(Operation.FEATURES, kind="connect", reason="refused")).wait(4)

    assert last_fetch(book).address is None


def test_without_a_proven_address_the_name_is_all_there_is() -> None:
    """A first boot."""
    book = again(None).tell(DNS).wait(2)

    assert last_fetch(book).address is None
    assert 2 == len(book.asked)


def test_where_an_answer_came_from_is_remembered() -> None:
    """With the right certificate: an answer, not a connection."""
    book = again(None, replace(MANAGED, peer=API), ASSIGNED)
    assert API == remembered(book)[-1].api_address

    book = again(None, RequestFailed(Operation.FEATURES, API, "certificate", "wrong"), MANAGED,
                 ASSIGNED)  # fmt: skip
    assert remembered(book)[-1].api_address is None


def test_never_from_http() -> None:
    """Anyone can answer there."""
    here = Identity(HERE.machine_id, "http://10.0.0.1")
    book = again(None, replace(MANAGED, peer=API), ASSIGNED, identity=here)

    assert remembered(book)[-1].api_address is None
