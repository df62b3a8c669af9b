"""The guard: make before break, repair, fights, the public interface, ServiceNet's own routes."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest

from rcnetd.basic.dataclass import replace
from rcnetd.core.actions import AddRoute, ProbeNeighbour, RemoveRoutes, TakeLinkDown
from rcnetd.core.facts import Gateway
from rcnetd.core.guard import (
    PROBE_INTERVAL,
    Guard,
    Repair,
    planned_removals,
    servicenet_probes,
)
from rcnetd.core.log import MAX_MESSAGES, OnceLog
from rcnetd.core.model import (
    METRIC,
    PROTOCOL,
    STATIC,
    Address,
    Neighbour,
    Network,
    Route,
    RouteLookup,
)
from rcnetd.core.public import choose_public
from rcnetd.core.routes import OUTSIDE, Diversion
from rcnetd.core.settings import GatewaySettings, Metadata, PublicInterface, PublicIPv6
from tests.support.playbook import (
    ASSIGNED,
    DEPLOYED,
    DEPLOYING,
    GATEWAY,
    MANAGED,
    PUBLIC,
    PUBLIC_ROUTER,
    ROUTER,
    SERVICENET_NETWORKS,
    SETTINGS,
    Playbook,
    World,
    foreign_default,
)


def ready(world: World | None = None, **changes: object) -> Playbook:
    """A server that is ready, with changed settings."""
    settings = replace(SETTINGS, **changes)  # type: ignore[arg-type] # any field of Settings
    return Playbook(world, settings).look().tell(MANAGED, ASSIGNED, DEPLOYED)


def steal(book: Playbook, route: Route | None = None) -> None:
    """Another agent sets its default route."""
    book.world.routes.append(route or foreign_default())
    book.look()


@pytest.mark.parametrize(
    "routes",
    [
        [foreign_default(0)],
        [foreign_default(1)],
        [foreign_default(100)],
        [foreign_default(0), foreign_default(100, protocol=16)],
        [foreign_default(0, ifindex=3, gateway=ROUTER)],
        [],
    ],
    ids=["metric 0", "metric 1", "metric 100", "two defaults", "on ServiceNet", "none"],
)
def test_the_switch_makes_before_it_breaks(routes: list[Route]) -> None:
    """Whatever default was there, our route is added first, and there never is none."""
    book = ready(World(routes=list(routes)).servicenet_routes())

    order = [
        type(action) for action in book.actions if isinstance(action, (AddRoute, RemoveRoutes))
    ]
    assert order == [AddRoute, RemoveRoutes][: 2 if routes else 1]
    assert book.world.without_default == 0
    assert book.is_ready


def test_what_is_removed_is_recorded() -> None:
    """`rcnetctl revert` can put every foreign route back."""
    theirs = [foreign_default(0), foreign_default(100, protocol=16)]

    removals = ready(World(routes=list(theirs)).servicenet_routes()).taken(RemoveRoutes)

    assert [RemoveRoutes(tuple(theirs), record=tuple(theirs))] == removals


def test_a_losing_default_on_a_third_link_stays() -> None:
    """Only winners and the public interface's defaults go."""
    third = foreign_default(500, ifindex=9, gateway=IPv4Address("192.168.5.1"))

    book = ready(World(routes=[foreign_default(100), third]).servicenet_routes())

    assert third in book.world.routes


@pytest.mark.parametrize(
    "routes",
    [
        [],
        [foreign_default()],
        [foreign_default(100)],
        [foreign_default(100), foreign_default(500, ifindex=9)],
        [foreign_default(100), foreign_default(0, ifindex=9), foreign_default(1, ifindex=9)],
        [foreign_default(100), replace(foreign_default(0, ifindex=9), tos=16)],
        [foreign_default(100), Route(3, ROUTER, METRIC, PROTOCOL, raw=b"leftover")],
        [foreign_default(100), Route(3, GATEWAY, METRIC, PROTOCOL, raw=b"ours")],
    ],
)
def test_what_is_planned_is_what_is_removed(routes: list[Route]) -> None:
    """`rcnetctl plan` and the guard have one rule."""
    book = Playbook(World(routes=routes).servicenet_routes()).look()
    facts = book.machine.facts
    assert facts.servicenet is not None
    public = choose_public(facts.network, facts.servicenet, facts.metadata)
    planned = planned_removals(replace(facts, public=public), GATEWAY)
    book.tell(MANAGED, ASSIGNED, DEPLOYED)

    removed = [route for route in routes if route not in book.world.routes]
    assert set(removed) == set(planned)
    assert len(removed) == len(planned)


def test_without_servicenet_nothing_is_planned() -> None:
    """There is no link for the route."""
    facts = Playbook(World(addresses=[])).look().machine.facts
    assert facts.network.defaults
    assert () == planned_removals(facts, GATEWAY)


def test_routes_with_a_type_of_service_are_left_alone() -> None:
    """They compete for other packets only."""
    special = replace(foreign_default(ifindex=9), tos=16)

    book = ready(World(routes=[special, foreign_default(100)]).servicenet_routes())

    assert special in book.world.routes
    assert book.is_ready


def test_a_leftover_of_ours_goes_but_is_not_recorded() -> None:
    """A route of an earlier run to another gateway is ours to remove; nobody wants it back."""
    leftover = Route(3, IPv4Address("10.180.9.9"), METRIC, PROTOCOL, raw=b"leftover")

    book = ready(World(routes=[leftover]).servicenet_routes())

    assert [RemoveRoutes((leftover,), record=())] == book.taken(RemoveRoutes)


def test_our_route_of_an_earlier_run_is_kept() -> None:
    """A restart finds its route in place: nothing is added, nothing removed."""
    ours = Route(3, GATEWAY, METRIC, PROTOCOL, raw=b"ours")

    book = ready(World(routes=[ours]).servicenet_routes())

    assert book.is_ready
    assert book.taken(AddRoute) + book.taken(RemoveRoutes) == []


@pytest.mark.parametrize("metric", [0, 1])
def test_a_competitor_is_removed_at_once(metric: int) -> None:
    """A lower or an equal metric that wins is taken away again, and said who it was."""
    book = ready()
    competitor = foreign_default(metric, protocol=16)
    book.world.routes.insert(0, competitor)
    book.look()

    assert competitor not in book.world.routes
    (line,) = [line for line in book.said if "proto dhcp" in line and "took over" in line]
    assert book.machine.guard.repairs == 1
    assert book.machine.guard.last_repair == Repair(
        book.now, "takeover", line.removesuffix(", removing it")
    )


def test_a_losing_competitor_is_left_alone() -> None:
    """A default with a higher metric harms nobody; no fight is begun about it."""
    book = ready()
    steal(book, foreign_default(100, protocol=16))

    assert book.machine.guard.repairs == 0


def test_a_fight_is_damped() -> None:
    """More than five blows within 2 s of our repairs: from then on one repair per 10 s."""
    book = ready()
    book.wait(20)
    removals = len(book.taken(RemoveRoutes))
    for _ in range(100):
        book.wait(0.1)
        steal(book)
    assert len(book.taken(RemoveRoutes)) - removals == 6
    assert sum("keeps setting" in line for line in book.said) == 1
    assert book.machine.guard.is_fighting(book.now)

    before = len(book.taken(RemoveRoutes))
    for _ in range(600):
        book.wait(0.1)
        if foreign_default() not in book.world.routes:
            steal(book)
    assert 5 <= len(book.taken(RemoveRoutes)) - before <= 7


def test_a_fight_ends_when_the_other_gives_up() -> None:
    """After a quiet time a takeover is repaired at once again."""
    book = ready().wait(20)
    for _ in range(10):
        book.wait(0.1)
        steal(book)
    book.wait(30)
    assert book.world.default is not None
    assert GATEWAY == book.world.default.gateway
    assert not book.machine.guard.is_fighting(book.now)

    steal(book)
    assert GATEWAY == book.world.default.gateway


def test_takeovers_far_apart_are_no_fight() -> None:
    """Each is repaired at once, however many there are."""
    book = ready()
    for count in range(1, 21):
        book.wait(3)
        steal(book)
        assert book.machine.guard.repairs == count


def test_a_loss_is_repaired_at_once_even_in_a_fight() -> None:
    """A fight is about who wins; being without a route is worse."""
    book = ready().wait(20)
    for _ in range(10):
        book.wait(0.1)
        steal(book)
    book.world.routes.clear()
    book.look()

    assert book.world.default is not None
    assert GATEWAY == book.world.default.gateway


def test_a_diversion_is_reported_and_not_fought() -> None:
    """A VPN's 0.0.0.0/1 wins over any default: readiness stays, nothing is removed."""
    book = ready()
    book.world.diversion = RouteLookup(1, 7, IPv4Address("10.8.0.1"), 0, 3)
    book.look()

    facts = book.machine.facts
    assert (Diversion(book.world.diversion),) == facts.route.diversions
    assert facts.route.holds
    assert not facts.route.in_effect
    assert book.machine.guard.repairs == 0


def test_a_diversion_at_the_start_is_judged_as_one_later() -> None:
    """A VPN that is up before rcnetd: READY, and the diversion is reported."""
    book = Playbook(World(diversion=RouteLookup(1, 7, None, 0, 3)).servicenet_routes()).look()
    book.tell(MANAGED, ASSIGNED, DEPLOYED)

    assert book.is_ready
    assert book.machine.facts.route.diversions
    assert not book.machine.facts.route.in_effect


def test_a_refused_change_is_tried_again_later() -> None:
    """The kernel's refusal is said once; the pause doubles up to 1 s, a change ends it."""
    world = World(refuse="Failed to add route: Network is unreachable").servicenet_routes()
    book = Playbook(world).look().tell(MANAGED, ASSIGNED).wait(60)

    tries = len(book.taken(AddRoute))
    assert 64 <= tries <= 68
    assert sum("Network is unreachable" in line for line in book.said) == 1
    assert book.taken(RemoveRoutes) == []

    world.refuse = None
    world.addresses.append(Address(2, PUBLIC))
    book.look()
    assert GATEWAY == world.routes[-1].gateway


def test_what_is_refused_together_counts_once() -> None:
    """ServiceNet's routes are added with the default: that makes the pauses no longer."""
    world = World(refuse="Failed to add route: Nexthop has invalid gateway")
    book = Playbook(world, metadata=Metadata(servicenet_router=ROUTER)).look()
    book.tell(MANAGED, ASSIGNED).wait(0.32)

    defaults = [one for one in book.actions if one == AddRoute(3, GATEWAY)]
    assert 6 == len(defaults)  # at 0, 0.01, 0.03, 0.07, 0.15 and 0.31 s


def test_a_network_that_comes_back_as_it_was_is_tried_at_once() -> None:
    """What was refused while the address went is no reason to wait once it is there again."""
    book = ready()
    addresses, book.world.refuse = book.world.addresses, "Nexthop has invalid gateway"
    book.world.routes = [route for route in book.world.routes if route.gateway != GATEWAY]
    book.look()
    assert book.world.default is None
    book.world.addresses, book.world.refuse = [], None
    book.look()
    book.world.addresses = addresses
    book.look()

    assert book.world.default is not None


def test_missing_servicenet_routes_are_added_by_the_known_router() -> None:
    """What was reached through ServiceNet stays there, before the default changes."""
    book = Playbook(metadata=Metadata(servicenet_router=ROUTER), world=World()).look()
    book.tell(MANAGED, ASSIGNED)

    added = [action.destination for action in book.actions if isinstance(action, AddRoute)]
    assert added == [
        IPv4Network("10.176.0.0/12"),
        IPv4Network("10.208.0.0/12"),
        IPv4Network("0.0.0.0/0"),
    ]


def test_a_servicenet_route_that_is_lost_again_comes_back() -> None:
    """A flap takes the routes that we added too; they are added again, at most once a second."""
    book = Playbook(metadata=Metadata(servicenet_router=ROUTER), world=World()).look()
    book.tell(MANAGED, ASSIGNED, DEPLOYED)
    lost = [route for route in book.world.routes if route.gateway == ROUTER]
    book.world.routes = [route for route in book.world.routes if route.gateway != ROUTER]
    book.look()
    assert lost[0] not in book.world.routes

    book.wait(1.1)
    assert all(route in book.world.routes for route in lost)


def test_servicenet_routes_come_back_as_they_were_seen() -> None:
    """A flap takes them with the default: by the router that they had, whoever set them."""
    book = ready()
    servicenet = book.world.addresses[-1]
    book.world.flush(3)
    book.look()
    book.world.addresses.append(servicenet)
    book.actions.clear()
    book.look()

    added = [action for action in book.actions if isinstance(action, AddRoute)]
    kept = [AddRoute(3, ROUTER, network, protocol=STATIC) for network in SERVICENET_NETWORKS]
    assert [*kept, AddRoute(3, GATEWAY)] == added
    assert not any("no route keeps" in line for line in book.said)


def test_a_way_around_servicenet_is_not_kept_in_mind() -> None:
    """Routes by another link, or of another table, are no way to ServiceNet."""
    book = ready()
    vpn = IPv4Address("203.0.113.9")
    book.world.routes = [
        replace(route, ifindex=2, gateway=vpn) if route.gateway == ROUTER else route
        for route in book.world.routes
    ]
    book.look()
    book.world.routes = [route for route in book.world.routes if route.gateway != vpn]
    book.actions.clear()
    book.look()

    gateways = {action.gateway for action in book.actions if isinstance(action, AddRoute)}
    assert {ROUTER} == gateways


@pytest.mark.parametrize("router", [None, IPv4Address("10.99.0.1")])
def test_without_a_router_a_warning_names_what_is_missing(router: IPv4Address | None) -> None:
    """A router outside our subnet is as good as none."""
    book = Playbook(metadata=Metadata(servicenet_router=router), world=World()).look()
    book.tell(MANAGED, ASSIGNED, DEPLOYED)

    assert any("no route keeps 10.208.0.0/12 on ServiceNet" in line for line in book.said)
    assert book.is_ready


def test_public_interface_down() -> None:
    """With `down` the interface is set down once our route is in effect, its addresses recorded."""
    book = ready(public_interface=PublicInterface.DOWN)

    assert [TakeLinkDown(2, (Address(2, PUBLIC),))] == book.taken(TakeLinkDown)
    assert book.is_ready
    book.look()
    assert len(book.taken(TakeLinkDown)) == 1


def test_public_routes_stay_by_the_old_gateway() -> None:
    """Added before the default goes that led there; not with the interface down, nor by others."""
    networks = (IPv4Network("192.0.2.0/24"), IPv4Network("198.51.100.0/25"))
    old = foreign_default(0)
    third = foreign_default(0, ifindex=9, gateway=IPv4Address("192.168.5.1"))
    book = ready(
        World(routes=[old, replace(old, gateway=None), third]).servicenet_routes(),
        public_routes=networks,
    )
    kept = [one for one in book.taken(AddRoute) if getattr(one, "destination", None) in networks]
    via = IPv4Address("203.0.113.1")
    assert [AddRoute(2, via, network, protocol=STATIC) for network in networks] == kept
    order = [action for action in book.actions if action in (*kept, *book.taken(RemoveRoutes))]
    assert kept == order[: len(kept)]
    assert book.is_ready

    book = ready(
        World(routes=[old]).servicenet_routes(),
        public_routes=networks,
        public_interface=PublicInterface.DOWN,
    )
    assert not [
        one for one in book.taken(AddRoute) if getattr(one, "destination", None) in networks
    ]


def test_public_interface_down_without_one() -> None:
    """A server without a public default has nothing to set down."""
    world = World(routes=[], addresses=[Address(3, World().addresses[1].interface)])

    assert ready(world, public_interface=PublicInterface.DOWN).taken(TakeLinkDown) == []


@pytest.mark.parametrize(
    ("policy", "removed"), [(PublicIPv6.KEEP, False), (PublicIPv6.NO_DEFAULT, True)]
)
def test_the_public_ipv6_default(policy: PublicIPv6, removed: bool) -> None:
    """It stays with a warning, or goes if it is told to."""
    route = Route(2, None, 1024, 9, raw=b"ipv6")
    settings = replace(SETTINGS, public_ipv6=policy)
    world = World().servicenet_routes()
    book = Playbook(world, settings)
    shown = world.network

    def network(machine: object) -> Network:
        return replace(shown(machine), ipv6_defaults=(route,))  # type: ignore[arg-type]

    world.network = network  # type: ignore[method-assign]
    book.look().tell(MANAGED, ASSIGNED, DEPLOYED)

    assert removed == (RemoveRoutes((route,), record=(route,)) in book.taken(RemoveRoutes))
    assert removed != any("bypasses the RackConnect firewall" in line for line in book.said)
    assert removed is book.machine.query.ipv6  # a policy is watched, a warning is given once


def test_the_api_outside_servicenets_networks_is_kept_too() -> None:
    """A lab's API address is looked after like the networks; a network that is ours is not."""
    book = ready()
    assert len(servicenet_probes(book.machine.facts)) == 2

    api = replace(book.machine.facts.api, peer=IPv4Address("192.0.2.7"))
    facts = replace(book.machine.facts, api=api)
    assert servicenet_probes(facts)[-1] == (IPv4Network("192.0.2.7/32"), IPv4Address("192.0.2.7"))
    assert servicenet_probes(replace(facts, servicenet=None)) == ()


def test_while_the_kernel_asks_there_is_nothing_to_do() -> None:
    """A probe that is under way is neither repeated nor taken for silence."""
    book = Playbook(World(alive=set())).look().tell(MANAGED, ASSIGNED)
    facts = book.machine.facts
    incomplete = replace(facts, network=replace(facts.network, neighbour=Neighbour.INCOMPLETE))

    guard = Guard(OnceLog())
    unchanged = Gateway(candidate=GATEWAY)
    assert (unchanged, []) == guard.check(incomplete, book.now)
    stale = replace(facts, network=replace(facts.network, neighbour=Neighbour.STALE))
    assert (unchanged, [ProbeNeighbour(3, GATEWAY)]) == guard.check(stale, book.now)
    assert (unchanged, []) == guard.check(stale, book.now + PROBE_INTERVAL / 2)
    assert book.now + PROBE_INTERVAL == guard.wake_at


def test_a_silent_gateway_is_probed_again_and_again() -> None:
    """Every five seconds, not at every look."""
    book = Playbook(World(alive=set()).servicenet_routes()).look().tell(MANAGED, ASSIGNED)
    for _ in range(100):
        book.wait(PROBE_INTERVAL / 50).look()

    assert 2 <= len(book.taken(ProbeNeighbour)) <= 4


def test_an_onlink_gateway_is_added_as_such() -> None:
    """Outside the subnet the kernel has to be told that the gateway is on the link."""
    gateway = IPv4Address("10.180.40.1")
    world = World(alive={gateway}).servicenet_routes()
    settings = replace(SETTINGS, gateway=GatewaySettings(onlink=True))
    book = Playbook(world, settings).look().tell(MANAGED, replace(ASSIGNED, gateway=gateway))

    assert AddRoute(3, gateway, onlink=True) in book.taken(AddRoute)


def test_messages_that_are_said_once_are_bounded() -> None:
    """An API that invents a new gateway each time cannot fill the memory."""
    guard, network = Guard(OnceLog()), Network()
    said = [line for n in range(300) for line in guard.change_failed(f"reason {n}", network, 0.0)]

    assert len(said) == MAX_MESSAGES


def test_nothing_is_done_without_servicenet() -> None:
    """While ServiceNet is away there is nothing to repair with."""
    book = ready()
    book.world.flush(3)
    changes = len(book.taken(AddRoute))
    book.look().wait(30)

    assert len(book.taken(AddRoute)) == changes
    assert book.is_ready


def test_the_verdict_is_asked_for_an_outside_address() -> None:
    """Nothing else counts as in effect."""
    book = Playbook().look().tell(MANAGED, ASSIGNED, DEPLOYING)

    assert OUTSIDE in book.machine.query.destinations
    assert PUBLIC_ROUTER != OUTSIDE


def test_one_event_is_one_repair() -> None:
    """A `replace` that takes ours away and wins: one repair, whose line names the winner."""
    book = ready()
    thief = Route(None, None, METRIC, 3, raw=b"nhid", nexthop_id=7)
    book.world.routes = [thief, *(one for one in book.world.routes if one.gateway != GATEWAY)]
    book.look()

    assert book.machine.guard.repairs == 1
    assert book.machine.guard.last_repair is not None
    assert "default nhid 7" in book.machine.guard.last_repair.reason


def test_a_try_is_not_a_repair() -> None:
    """What the kernel refuses is not in effect again."""
    book = ready()
    book.world.routes.clear()
    book.world.refuse = "Failed to add the route: Nexthop has invalid gateway"
    book.look().wait(10)
    assert book.machine.guard.repairs == 0

    book.world.refuse = None
    book.wait(2)
    assert book.machine.guard.repairs == 1
    assert sum("was lost, putting it back" in line for line in book.said) == 1


def test_the_connected_route_is_put_back_with_ours() -> None:
    """A flush of the link takes both; ours stands on the other."""
    book = ready()
    subnet = book.world.addresses[1].interface.network
    book.world.flushed.add(subnet)
    book.world.routes.clear()
    book.look()

    assert subnet not in book.world.flushed
    assert book.world.default is not None
    added = [one for one in book.taken(AddRoute) if one.gateway is None]  # type: ignore[attr-defined]
    assert [subnet] == [one.destination for one in added]  # type: ignore[attr-defined]


def test_our_route_set_by_the_host_is_nothing_to_fight() -> None:
    """The persisted route, put there by its backend with another protocol."""
    book = ready()
    theirs = Route(3, GATEWAY, METRIC, STATIC, raw=b"static")
    book.world.routes = [theirs, *(one for one in book.world.routes if one.gateway != GATEWAY)]
    book.look().wait(70)

    assert theirs in book.world.routes
    assert book.machine.guard.repairs == 0
    assert not any("took over" in line or "was lost" in line for line in book.said)


def test_what_another_table_diverts_is_not_missing() -> None:
    """No ServiceNet route is added that is there; the table is named."""
    book = Playbook(World(diversion=RouteLookup(0, 9, None, 0, 3, table=52)).servicenet_routes())
    book.look().tell(MANAGED, ASSIGNED, DEPLOYED)

    assert [GATEWAY] == [one.gateway for one in book.taken(AddRoute)]  # type: ignore[attr-defined]
    assert any("10.176.0.0/12 is diverted by a route of table 52" in line for line in book.said)
    assert not any("no route keeps" in line for line in book.said)


def test_what_a_rule_refuses_is_not_missing() -> None:
    """`ip rule add blackhole`: reported as it is."""
    book = ready()
    book.world.diversion = RouteLookup(refusal="blackhole")
    before = len(book.taken(AddRoute))
    book.look().wait(30)

    assert before == len(book.taken(AddRoute))
    (diversion,) = book.machine.facts.route.diversions
    assert diversion.describe(Network()) == "traffic is refused (blackhole)"


def test_plan_and_guard_agree() -> None:
    """What would be removed is what is removed; a losing default on a third link stays."""
    third = foreign_default(500, ifindex=9, gateway=IPv4Address("192.168.5.1"))
    theirs = [foreign_default(0), foreign_default(100, protocol=16)]
    book = Playbook(World(routes=[*theirs, third]).servicenet_routes()).look()
    book.tell(MANAGED)
    book.machine.facts = replace(book.machine.facts, network=book.world.network(book.machine))
    facts = book.machine.facts
    assert facts.servicenet is not None
    public = choose_public(facts.network, facts.servicenet, Metadata())

    planned = planned_removals(replace(facts, public=public), GATEWAY)
    book.tell(ASSIGNED, DEPLOYED)

    assert tuple(theirs) == planned
    assert [RemoveRoutes(planned, record=planned)] == book.taken(RemoveRoutes)
    assert () == planned_removals(replace(facts, servicenet=None), GATEWAY)


def test_losses_in_a_row_are_repaired_at_once_and_logged_seldom() -> None:
    """120 a second for ten seconds."""
    book = ready().wait(100)
    for number in range(1200):
        book.now = 100 + number / 120
        book.world.routes = [one for one in book.world.routes if one.gateway != GATEWAY]
        book.look()
        assert book.world.default is not None

    assert book.machine.guard.repairs == 1200
    assert sum("was lost" in line for line in book.said) <= 6


def test_a_takeover_that_cannot_be_removed_is_one_takeover() -> None:
    """Tried again until it works; told once."""
    book = ready()
    book.world.refuse = "Failed to remove the route"
    steal(book)
    book.wait(1)
    book.world.refuse = None
    book.wait(2)

    assert book.machine.guard.repairs == 1
    assert sum("took over" in line for line in book.said) == 1
