"""The machine: conversations on simulated time."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface

import pytest
from pytest_mock import MockerFixture

from rcnetd.basic.dataclass import replace
from rcnetd.core.actions import (
    AddRoute,
    Fetch,
    HoldRequests,
    NotifyReady,
    ProbeNeighbour,
    PublishRoute,
    ReleaseFetcher,
    RemoveRoutes,
)
from rcnetd.core.events import (
    Answered,
    BudgetObserved,
    Event,
    FeaturesReceived,
    GatewayReceived,
    NoSlot,
    RateLimited,
    RequestFailed,
    StatusReceived,
)
from rcnetd.core.guard import Repair
from rcnetd.core.model import Address, AutomationStatus, Operation
from rcnetd.core.settings import GatewaySettings, Manage, Metadata, Settings
from rcnetd.core.states import Condition, State
from tests.support.playbook import (
    ASSIGNED,
    DEPLOYED,
    DEPLOYING,
    FAILED,
    GATEWAY,
    MANAGED,
    NOT_ASSIGNED,
    OTHER_GATEWAY,
    SETTINGS,
    UNMANAGED,
    UNPROCESSABLE,
    Playbook,
    World,
    boot,
)

FEATURES, STATUS, ASK_GATEWAY = Operation.FEATURES, Operation.STATUS, Operation.GATEWAY
NO_NETWORK = World(addresses=[])


def state_of(book: Playbook) -> State:
    """The machine's state, read anew."""
    return book.machine.state


def failure(operation: Operation, kind: str = "timeout") -> RequestFailed:
    """A request that failed."""
    return RequestFailed(operation, kind=kind, reason=f"{kind} it is")


def test_a_boot_with_an_instant_api() -> None:
    """Features, gateway, route, status, ready: each asked once, without waiting a turn."""
    book = boot(MANAGED, ASSIGNED, DEPLOYED)

    assert [FEATURES, ASK_GATEWAY, STATUS] == book.asked
    assert book.is_ready
    assert State.READY is state_of(book)
    assert book.now == 0.0
    assert book.world.default is not None
    assert GATEWAY == book.world.default.gateway


def test_a_boot_that_waits() -> None:
    """404 and DEPLOYING are waited out, at the pace of the budget."""
    book = boot(MANAGED, NOT_ASSIGNED, DEPLOYING)
    assert State.WAITING_FOR_GATEWAY is state_of(book)

    book.wait(5).tell(NOT_ASSIGNED).wait(5).tell(ASSIGNED)
    assert State.WAITING_FOR_DEPLOYED is state_of(book)
    assert not book.is_ready

    book.wait(5).tell(DEPLOYING).wait(5).tell(DEPLOYED)
    assert book.is_ready


def test_no_request_before_servicenet() -> None:
    """Requests are authenticated by their ServiceNet address: without it none is sent."""
    book = Playbook(World(addresses=[])).look().wait(100)

    assert book.asked == []
    assert State.WAITING_FOR_SERVICENET is state_of(book)


def test_requests_leave_from_the_servicenet_address() -> None:
    """Source address and device are ServiceNet's."""
    fetch = boot().taken(Fetch)[0]

    assert isinstance(fetch, Fetch)
    assert (IPv4Address("10.180.1.2"), "eth1") == (fetch.source, fetch.device)


def test_no_servicenet_in_time_ends_with_69() -> None:
    """By `servicenet.timeout` the daemon gives up; systemd starts it again later."""
    book = Playbook(World(addresses=[])).look().wait(301)

    assert book.machine.exit is not None
    assert book.machine.exit.exit_code == 69
    assert "no ServiceNet" in book.machine.exit.reason


def test_the_clock_for_servicenet_starts_again_when_it_goes() -> None:
    """A link that was there and went has the whole time to come back."""
    book = boot(MANAGED, NOT_ASSIGNED, DEPLOYING).wait(200)
    addresses, book.world.addresses = book.world.addresses, []
    book.look().wait(299)
    assert book.machine.exit is None
    assert State.WAITING_FOR_SERVICENET is state_of(book)

    book.world.addresses = addresses
    book.look()

    assert State.WAITING_FOR_GATEWAY is state_of(book)
    assert any("ServiceNet is gone from 'eth1'" in line for line in book.said)


def test_rackconnect_v3_is_not_ours() -> None:
    """Ready at once, nothing asked, nothing touched."""
    book = Playbook(metadata=Metadata(roles=("rackconnect:v3",))).look().wait(5000)

    assert book.is_ready
    assert State.NOT_OURS is state_of(book)
    assert book.asked == []
    assert book.taken(AddRoute) == []


def test_hands_off_touches_nothing() -> None:
    """With Configure Network Stack enabled there is no route and no file, only the wait."""
    book = boot(UNMANAGED, DEPLOYING)
    assert State.WAITING_UNMANAGED is state_of(book)

    book.wait(10).tell(DEPLOYED)

    assert State.READY_UNMANAGED is state_of(book)
    assert book.is_ready
    assert not any(book.taken(kind) for kind in (AddRoute, RemoveRoutes, PublishRoute))
    assert ASK_GATEWAY not in book.asked


def test_ready_hands_off_asks_nothing_more() -> None:
    """Afterwards the status is not watched, and there is no gateway to check."""
    book = boot(UNMANAGED, DEPLOYED).wait(7200)

    assert [FEATURES, STATUS] == book.asked
    assert len(book.taken(ReleaseFetcher)) == 1


@pytest.mark.parametrize(
    ("manage", "asked"), [(Manage.ALWAYS, ASK_GATEWAY), (Manage.NEVER, STATUS)]
)
def test_manage_decides_without_asking(manage: Manage, asked: Operation) -> None:
    """`manage: always` and `never` need no answer about the features."""
    book = Playbook(settings=replace(SETTINGS, manage=manage)).look()

    assert [asked] == book.asked
    assert any(f"'manage: {manage.value}' is set" in line for line in book.said)


@pytest.mark.parametrize(
    ("xenstore", "state"),
    [
        (True, State.WAITING_UNMANAGED),
        (False, State.WAITING_FOR_GATEWAY),
        (None, State.WAITING_FOR_GATEWAY),
    ],
)
def test_features_of_unknown_shape_leave_it_to_xenstore(
    xenstore: bool | None, state: State
) -> None:
    """Without xenstore: hands on, once `gateway_ip` has answered 200."""
    metadata = Metadata(configure_network_stack=xenstore)
    unknown = FeaturesReceived(FEATURES, configure_network_stack=None)

    book = Playbook(metadata=metadata).look().tell(unknown)

    assert state is state_of(book)
    assert book.taken(AddRoute) == []


def test_network_errors_decide_nothing_about_the_features() -> None:
    """A failure is retried, in turn with what else can be asked; nobody touches anything."""
    book = boot(failure(FEATURES)).wait(3)
    book.tell(failure(ASK_GATEWAY)).wait(5)

    assert [FEATURES, ASK_GATEWAY, FEATURES] == book.asked
    assert State.WAITING_FOR_FEATURES is state_of(book)


def test_features_are_decided_once() -> None:
    """A late second answer does not turn hands-on into hands-off."""
    book = boot(MANAGED, ASSIGNED, UNMANAGED)

    assert State.WAITING_FOR_DEPLOYED is state_of(book)


@pytest.mark.parametrize(
    ("answer", "code"), [(FAILED, 69), (UNPROCESSABLE, 76)], ids=["FAILED", "UNPROCESSABLE"]
)
@pytest.mark.parametrize("before", [(MANAGED, NOT_ASSIGNED), (UNMANAGED,)])
def test_the_end_of_the_automation_ends_the_wait(
    before: tuple[Answered, ...], answer: Answered, code: int
) -> None:
    """FAILED and UNPROCESSABLE leave the gateway at 404 for ever and must end the wait."""
    book = boot(*before, answer)

    assert book.machine.exit is not None
    assert code == book.machine.exit.exit_code
    assert not book.is_ready
    assert book.machine.handle(DEPLOYED, book.now) == []


def test_the_status_is_asked_now_and_then_while_the_gateway_is_awaited() -> None:
    """FAILED long after the first look is noticed too."""
    book = boot(MANAGED, NOT_ASSIGNED, DEPLOYING)
    for _ in range(60):
        book.wait(4.3).tell(NOT_ASSIGNED if book.asked[-1] is ASK_GATEWAY else DEPLOYING)

    statuses = book.asked.count(STATUS)
    assert statuses == 2
    assert book.asked.count(ASK_GATEWAY) > 50


def test_failed_with_our_route_in_effect_stays_and_guards() -> None:
    """The daemon asks once a minute whether Rackspace has repaired it."""
    book = boot(MANAGED, ASSIGNED, FAILED)
    assert State.FAILED is state_of(book)
    assert book.machine.exit is None

    asked = len(book.asked)
    book.wait(59)
    assert len(book.asked) == asked
    book.wait(2)
    assert [STATUS] == book.asked[asked:]

    book.tell(DEPLOYED)
    assert book.is_ready


def test_failed_then_deploying_waits_anew() -> None:
    """A repair by hand runs the automation again: a new wait with a whole `deploy_timeout`."""
    book = boot(MANAGED, ASSIGNED, FAILED).wait(3590)
    book.tell(DEPLOYING)
    assert State.WAITING_FOR_DEPLOYED is state_of(book)

    book.wait(3000)

    assert book.machine.exit is None


def test_unprocessable_after_failed_ends() -> None:
    """76: systemd does not start us again."""
    book = boot(MANAGED, ASSIGNED, FAILED).wait(61).tell(UNPROCESSABLE)

    assert book.machine.exit is not None
    assert book.machine.exit.exit_code == 76


def test_not_deployed_in_time_ends_with_75() -> None:
    """`deploy_timeout` bounds every wait; the route stays."""
    book = boot(MANAGED, ASSIGNED, DEPLOYING)
    book.machine.poller.in_flight = None
    book.wait(3601)

    assert book.machine.exit is not None
    assert book.machine.exit.exit_code == 75
    assert book.world.default is not None
    assert GATEWAY == book.world.default.gateway


def test_an_unknown_status_is_not_deployed_and_is_logged_once() -> None:
    """A word that the API page does not know is never taken for DEPLOYED."""
    word = StatusReceived(STATUS, status=AutomationStatus.UNKNOWN, word="deployed?")

    book = boot(MANAGED, ASSIGNED, word, word)

    assert not book.is_ready
    assert sum("'deployed?' is unknown" in line for line in book.said) == 1


def test_a_dead_gateway_changes_nothing() -> None:
    """The gateway must answer on the link before anything is changed; it is asked again."""
    book = Playbook(World(alive=set()).servicenet_routes()).look().tell(MANAGED, ASSIGNED)
    book.wait(12)

    assert State.CHECKING_GATEWAY is state_of(book)
    assert book.taken(AddRoute) == []
    assert len(book.taken(ProbeNeighbour)) >= 2
    assert sum("does not answer on 'eth1'" in line for line in book.said) == 1

    book.world.alive.add(GATEWAY)
    book.wait(6)
    assert State.WAITING_FOR_DEPLOYED is state_of(book)


def test_without_the_check_a_silent_gateway_is_used() -> None:
    """`gateway.check: false` is for gateways that answer no ARP."""
    settings = replace(SETTINGS, gateway=GatewaySettings(check=False))
    book = Playbook(World(alive=set()).servicenet_routes(), settings).look()

    book.tell(MANAGED, ASSIGNED)

    assert State.WAITING_FOR_DEPLOYED is state_of(book)


@pytest.mark.parametrize(
    "gateway",
    ["10.180.1.2", "10.180.0.0", "10.180.31.255", "10.180.32.1", "224.0.0.1", "0.0.0.0"],
)
def test_a_doubtful_gateway_changes_no_route(gateway: str) -> None:
    """Said once, with its reason, and asked again."""
    doubtful = GatewayReceived(ASK_GATEWAY, gateway=IPv4Address(gateway))

    book = boot(MANAGED, doubtful, DEPLOYED, doubtful)

    assert State.WAITING_FOR_GATEWAY is state_of(book)
    assert book.taken(AddRoute) == []
    assert sum(f"the API's gateway {gateway}" in line for line in book.said) == 1
    assert gateway in book.machine.facts.gateway.rejected


def test_a_gateway_answer_without_servicenet_is_not_believed() -> None:
    """An answer that comes after ServiceNet has gone cannot be judged."""
    book = boot(MANAGED)
    book.world.addresses = []
    book.look().tell(ASSIGNED)

    assert book.machine.facts.gateway.candidate is None


def test_a_new_address_forgets_a_gateway_that_does_not_fit() -> None:
    """When the address moves to another subnet, the API is asked again before anything else."""
    book = boot(MANAGED, ASSIGNED, DEPLOYED)
    book.world.flush(3)
    book.world.addresses.append(replace(NO_NETWORK_ADDRESS, ifindex=3))
    book.look()

    assert book.machine.facts.gateway.address is None
    assert book.is_ready
    book.wait(5)
    assert ASK_GATEWAY is book.asked[-1]


NO_NETWORK_ADDRESS = replace(World().addresses[1], interface=IPv4Interface("10.208.9.9/19"))


def test_a_candidate_that_no_longer_fits_is_dropped() -> None:
    """The same for an answer that was still being checked."""
    book = Playbook(World(alive=set()).servicenet_routes()).look().tell(MANAGED, ASSIGNED)
    book.world.flush(3)
    book.world.addresses.append(replace(NO_NETWORK_ADDRESS, ifindex=3))
    book.look()

    assert book.machine.facts.gateway.candidate is None
    assert State.WAITING_FOR_GATEWAY is state_of(book)


def test_servicenet_that_comes_back_goes_on_where_it_was() -> None:
    """A flap before READY costs neither the mode nor the gateway."""
    book = boot(MANAGED, ASSIGNED, DEPLOYING)
    addresses = list(book.world.addresses)
    book.world.flush(3)
    book.look()
    assert State.WAITING_FOR_SERVICENET is state_of(book)

    book.world.addresses = addresses
    book.look()

    assert State.WAITING_FOR_DEPLOYED is state_of(book)
    assert book.asked.count(FEATURES) == 1


def test_the_guard_puts_a_lost_route_back() -> None:
    """After READY a lost route is back with the next look; the state stays."""
    book = boot(MANAGED, ASSIGNED, DEPLOYED)
    book.world.routes = [route for route in book.world.routes if route.gateway != GATEWAY]
    book.look()

    assert book.world.default is not None
    assert GATEWAY == book.world.default.gateway
    assert State.READY is state_of(book)
    assert book.machine.guard.repairs == 1
    lost = Repair(book.now, "lost", f"default route via {GATEWAY} was lost")
    assert lost == book.machine.guard.last_repair
    assert len(book.taken(NotifyReady)) == 1


def test_a_lost_route_while_waiting_is_applied_again() -> None:
    """Before READY the same repair is visible as a state."""
    book = boot(MANAGED, ASSIGNED, DEPLOYING)
    book.world.routes = [route for route in book.world.routes if route.gateway != GATEWAY]
    book.look()

    assert State.WAITING_FOR_DEPLOYED is state_of(book)
    assert book.machine.guard.repairs == 1


def test_the_gateway_is_rechecked() -> None:
    """Every `recheck_interval` the gateway is asked again; the same answer changes nothing."""
    book = boot(MANAGED, ASSIGNED, DEPLOYED).wait(899)
    asked = len(book.asked)
    book.wait(2)
    assert [ASK_GATEWAY] == book.asked[asked:]

    changes = len(book.taken(AddRoute))
    book.tell(ASSIGNED)
    assert len(book.taken(AddRoute)) == changes


@pytest.mark.parametrize(
    "answer",
    [
        NOT_ASSIGNED,
        failure(ASK_GATEWAY),
        RateLimited(ASK_GATEWAY),
        GatewayReceived(ASK_GATEWAY, gateway=IPv4Address("10.180.1.2")),
        GatewayReceived(ASK_GATEWAY, gateway=IPv4Address("10.180.17.17")),
    ],
    ids=["404", "failed", "403", "own address", "dead"],
)
def test_a_recheck_without_a_valid_new_answer_changes_nothing(answer: Answered) -> None:
    """An error, an empty, an invalid or a dead answer changes nothing, ever."""
    book = boot(MANAGED, ASSIGNED, DEPLOYED).wait(901)
    routes = list(book.world.routes)

    book.tell(answer).wait(30)

    assert routes == book.world.routes
    assert book.is_ready


def test_a_valid_new_gateway_moves_the_route() -> None:
    """Make before break, also from our own old route to the new one."""
    book = boot(MANAGED, ASSIGNED, DEPLOYED).wait(901)

    book.tell(GatewayReceived(ASK_GATEWAY, gateway=OTHER_GATEWAY))

    assert book.world.default is not None
    assert OTHER_GATEWAY == book.world.default.gateway
    assert not any(route.gateway == GATEWAY for route in book.world.routes)
    assert book.world.without_default == 0


def test_a_recheck_back_to_the_present_gateway_drops_the_candidate() -> None:
    """An answer that was a passing error of the API leaves nothing behind."""
    book = boot(MANAGED, ASSIGNED, DEPLOYED).wait(901)
    book.tell(GatewayReceived(ASK_GATEWAY, gateway=IPv4Address("10.180.17.17")))
    assert book.machine.facts.gateway.candidate is not None

    book.tell(ASSIGNED)

    assert book.machine.facts.gateway.candidate is None


def test_the_recheck_comes_while_waiting_too() -> None:
    """From the first apply on the gateway is asked again, also before DEPLOYED."""
    book = boot(MANAGED, ASSIGNED, DEPLOYING)
    for _ in range(250):
        book.wait(4.3).tell(DEPLOYING if book.asked[-1] is STATUS else ASSIGNED)

    assert book.asked.count(ASK_GATEWAY) == 2


def test_a_short_recheck_leaves_the_status_its_turn() -> None:
    """Also one that is shorter than the polls' spacing: DEPLOYED is noticed."""
    settings = replace(SETTINGS, gateway=GatewaySettings(recheck_interval=2.0))
    book = boot(MANAGED, ASSIGNED, DEPLOYING, settings=settings)
    for _ in range(20):
        book.wait(4.3).tell(DEPLOYING if book.asked[-1] is STATUS else ASSIGNED)

    assert {STATUS, ASK_GATEWAY} == set(book.asked[-2:])


def test_recheck_zero_is_never() -> None:
    """`gateway.recheck_interval: 0` asks no more after READY."""
    settings = replace(SETTINGS, gateway=GatewaySettings(recheck_interval=0.0))
    book = boot(MANAGED, ASSIGNED, DEPLOYED, settings=settings).wait(86400)

    assert [FEATURES, ASK_GATEWAY, STATUS] == book.asked


def test_the_fetcher_is_let_go_when_idle() -> None:
    """After READY the next request is far away: the fetcher's memory goes, once."""
    assert len(boot(MANAGED, ASSIGNED, DEPLOYED).wait(600).taken(ReleaseFetcher)) == 1


def test_the_fetcher_is_kept_while_servicenet_is_awaited() -> None:
    """The first request goes out when the address comes: nothing may have to be loaded then."""
    assert Playbook(World(addresses=[])).look().wait(200).taken(ReleaseFetcher) == []


def test_one_request_at_a_time() -> None:
    """While a request is under way no other is sent, however long it takes."""
    assert [FEATURES] == boot().wait(100).asked


def test_a_403_silences_and_is_told_to_everybody() -> None:
    """The window has certainly passed before the next request, of whatever kind."""
    book = boot(MANAGED, RateLimited(ASK_GATEWAY))
    assert [HoldRequests(61.0)] == book.taken(HoldRequests)

    asked = len(book.asked)
    book.wait(60)
    assert len(book.asked) == asked
    book.wait(2)
    assert len(book.asked) == asked + 1


def test_a_403_is_logged_once() -> None:
    """A second 403 in a row is no news."""
    book = boot(MANAGED, RateLimited(ASK_GATEWAY, retry_after=90.0))
    book.wait(91).tell(RateLimited(ASK_GATEWAY))

    logs = [action for action in book.taken_logs() if "rate limit" in action.text]
    assert ["warning", "debug"] == [action.level for action in logs]


def test_the_same_failure_is_logged_once() -> None:
    """Never the same failure twice; another one is news, and so is the end of it."""
    book = boot(failure(FEATURES))
    book.wait(2).tell(failure(FEATURES)).wait(3).tell(failure(FEATURES, "dns"))
    book.wait(5).tell(MANAGED)

    levels = [log.level for log in book.taken_logs() if log.text.startswith("Failed to ask")]
    assert ["warning", "debug", "warning"] == levels
    assert "the API answers again" in book.said
    assert book.machine.poller.last_failure is None


def test_a_refusal_by_the_ledger_is_waited_out() -> None:
    """Without a slot nothing was sent; the machine knows when one is free."""
    book = boot()
    book.tell(BudgetObserved(tuple(20.0 for _ in range(18))), NoSlot(FEATURES))
    assert book.machine.poller.in_flight is None

    book.wait(19)
    assert book.asked == [FEATURES]
    book.wait(2)
    assert book.asked == [FEATURES, FEATURES]


def test_what_the_ledger_refused_is_as_urgent_as_before() -> None:
    """It was not sent: it need not await a turn as well."""
    book = boot()
    book.tell(BudgetObserved(tuple(0.5 for _ in range(18))), NoSlot(FEATURES)).wait(1.5)

    assert [FEATURES, FEATURES] == book.asked


def test_route_json_is_written_once_per_route() -> None:
    """The persister is told when a route comes into effect, not at every look."""
    book = boot(MANAGED, ASSIGNED, DEPLOYED).wait(300)

    assert [PublishRoute(3, GATEWAY, Settings())] == book.taken(PublishRoute)


def test_an_unknown_event_is_a_bug_with_a_name() -> None:
    """Nothing is ignored silently."""

    class Surprise(Event):
        pass

    class Riddle(Answered):
        pass

    with pytest.raises(AssertionError, match="Surprise"):
        boot().machine.handle(Surprise(), 0.0)
    with pytest.raises(AssertionError, match="Riddle"):
        boot().machine.handle(Riddle(FEATURES), 0.0)


def test_the_same_answer_again_does_not_begin_the_check_anew() -> None:
    """A gateway that is silent is not asked more often because the API says it twice."""
    book = boot(MANAGED, ASSIGNED, world=World(alive=set()).servicenet_routes())
    probes = len(book.taken(ProbeNeighbour))
    book.tell(ASSIGNED)

    assert State.CHECKING_GATEWAY is state_of(book)
    assert probes == len(book.taken(ProbeNeighbour))


def test_a_cycle_in_the_table_is_found(mocker: MockerFixture) -> None:
    """A table that never settles is our mistake; it ends loudly, not in an endless loop."""
    here, there = State.WAITING_FOR_SERVICENET, State.WAITING_FOR_GATEWAY
    cycle = {
        here: ((Condition.SERVICENET_PRESENT, there),),
        there: ((Condition.SERVICENET_PRESENT, here),),
    }
    mocker.patch.dict("rcnetd.core.machine.TRANSITIONS", cycle, clear=True)

    with pytest.raises(AssertionError, match="the table has a cycle through"):
        Playbook().look()


def test_failed_and_without_a_valid_gateway_asks_for_one() -> None:
    """The address moved while the automation was FAILED: the guard needs a new gateway."""
    book = boot(MANAGED, ASSIGNED, FAILED)
    book.world.addresses[-1] = Address(3, IPv4Interface("10.181.1.2/24"))
    book.look().wait(10)

    assert State.FAILED is state_of(book)
    assert book.machine.facts.gateway.address is None
    assert ASK_GATEWAY is book.asked[-1]
