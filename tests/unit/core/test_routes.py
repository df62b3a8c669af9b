"""What the kernel's default routes mean for ours."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest

from rcnetd.basic.dataclass import replace
from rcnetd.core.model import METRIC, PROTOCOL, Network, Route, RouteLookup
from rcnetd.core.routes import (
    OTHER_HALF,
    OUTSIDE,
    Diversion,
    RouteState,
    describe,
    evaluate_route,
    probe_address,
)
from rcnetd.core.servicenet import ServiceNet
from tests.support.playbook import ETH0, ETH1, GATEWAY, OTHER_GATEWAY, PRIVATE, foreign_default

SERVICENET = ServiceNet(ETH1, PRIVATE, "")
OURS = Route(3, GATEWAY, METRIC, PROTOCOL, raw=b"ours")
OUR_LOOKUP = RouteLookup(0, 3, GATEWAY, METRIC, PROTOCOL)


NO_ROUTE = RouteLookup(refusal="no route")


def evaluated(
    *defaults: Route,
    lookup: RouteLookup,
    by_source: RouteLookup | None = None,
    other: RouteLookup | None = None,
) -> RouteState:
    """How our route stands with these defaults; *other* is the lookup of the internet's half."""
    lookups = ((OUTSIDE, lookup), *(((OTHER_HALF, other),) if other else ()))
    network = Network((ETH0, ETH1), defaults=defaults, lookups=lookups, source_lookup=by_source)
    return evaluate_route(network, SERVICENET, GATEWAY)


def test_our_route_that_wins_is_in_effect() -> None:
    """Present, first, and the kernel's answer, also for packets from our own address."""
    expected = RouteState(present=True, in_effect=True, holds=True)

    assert expected == evaluated(OURS, lookup=OUR_LOOKUP)
    assert expected == evaluated(OURS, lookup=OUR_LOOKUP, by_source=OUR_LOOKUP)


HALF = RouteLookup(1, 2, None, 0, 3)
UNREACHABLE = RouteLookup(refusal="unreachable")


@pytest.mark.parametrize(
    ("lookup", "other", "texts"),
    [
        (OUR_LOOKUP, OUR_LOOKUP, []),
        (OUR_LOOKUP, HALF, ["to 0.0.0.0/1 is diverted by a /1 route of table main dev eth0"]),
        (OUR_LOOKUP, UNREACHABLE, ["to 62.0.0.1/32 is refused (unreachable)"]),
        (HALF, OUR_LOOKUP, ["is diverted by a /1 route of table main dev eth0"]),
        (HALF, HALF, ["is diverted by a /1 route of table main dev eth0"]),
    ],
)
def test_both_halves_of_the_internet_are_asked(
    lookup: RouteLookup, other: RouteLookup, texts: list[str]
) -> None:
    """A VPN may take one of them, and what takes both is said once."""
    state = evaluated(OURS, lookup=lookup, other=other)

    network = Network((ETH0, ETH1))
    assert [f"traffic {text}" for text in texts] == [
        diversion.describe(network) for diversion in state.diversions
    ]
    assert state.in_effect is (texts == [])
    assert state.holds


def test_our_route_is_ours_whoever_set_it() -> None:
    """The host's network configuration sets what we persisted, with another protocol."""
    static = replace(OURS, protocol=4)
    lookup = replace(OUR_LOOKUP, protocol=4)

    assert RouteState(present=True, in_effect=True, holds=True) == evaluated(static, lookup=lookup)
    assert evaluated(static, OURS, lookup=lookup).competitors == ()


@pytest.mark.parametrize(
    ("lookup", "text"),
    [
        (NO_ROUTE, "traffic is refused (no route)"),
        (RouteLookup(refusal="blackhole"), "traffic is refused (blackhole)"),
        (
            RouteLookup(1, 3, GATEWAY, METRIC, PROTOCOL),
            "traffic is diverted by a /1 route of table main via 10.180.31.254 dev eth1",
        ),
        (
            RouteLookup(0, 7, None, 0, 3, table=52),
            "traffic is diverted by a route of table 52 dev #7",
        ),
        (
            RouteLookup(0, 3, OTHER_GATEWAY, METRIC, PROTOCOL),
            "traffic is diverted by a route of table main via 10.180.30.254 dev eth1",
        ),
    ],
)
def test_any_other_answer_is_a_diversion(lookup: RouteLookup, text: str) -> None:
    """It is named, and it does not undo that our route holds: at a start as later."""
    state = evaluated(OURS, lookup=lookup)

    assert not state.in_effect
    assert state.holds
    assert [text] == [item.describe(Network((ETH0, ETH1))) for item in state.diversions]


def test_packets_from_our_own_address_are_asked_about_too() -> None:
    """A rule for them sends every connection of this server elsewhere."""
    by_source = RouteLookup(0, 3, IPv4Address("10.180.0.1"), 0, 4, table=100)
    state = evaluated(OURS, lookup=OUR_LOOKUP, by_source=by_source)

    assert not state.in_effect
    assert state.holds
    assert (Diversion(by_source, "from ServiceNet's address"),) == state.diversions


@pytest.mark.parametrize(("tos", "diverts"), [(0x10, True), (0x08, True), (0xB8, False)])
def test_a_default_of_a_tos_diverts_what_has_it(tos: int, diverts: bool) -> None:
    """The kernel compares TOS before metric, but only the bits of IPTOS_RT_MASK."""
    special = replace(foreign_default(100), tos=tos)
    state = evaluated(OURS, special, lookup=OUR_LOOKUP)

    assert state.in_effect
    assert diverts is bool(state.diversions)
    assert not diverts or f"with TOS {tos:#04x}" in state.diversions[0].describe(Network())


def test_a_default_of_a_metric_not_above_ours_is_a_competitor() -> None:
    """Wherever it stands: the kernel uses both. Those behind with a higher metric lose."""
    first, equal, last = foreign_default(0), foreign_default(1), foreign_default(100)

    state = evaluated(first, OURS, equal, last, lookup=RouteLookup(0, 2, None, 0, 3))

    assert state.competitors == (first, equal)
    assert state.present
    assert not state.holds
    assert state.diversions == ()


def test_without_ours_no_route_is_to_be_removed() -> None:
    """Nothing may be removed while ours is not there."""
    state = evaluated(foreign_default(), lookup=NO_ROUTE)

    assert not state.present
    assert state.competitors == ()


def test_ours_to_another_gateway_is_a_leftover() -> None:
    """So is ours on another link or with another metric."""
    others = (
        Route(3, OTHER_GATEWAY, METRIC, PROTOCOL),
        Route(2, GATEWAY, METRIC, PROTOCOL),
        Route(3, GATEWAY, 5, PROTOCOL),
    )

    assert evaluated(*others, lookup=NO_ROUTE).leftovers == others


def test_without_servicenet_or_gateway_there_is_nothing_to_evaluate() -> None:
    """Neither present nor in effect."""
    network = Network(defaults=(OURS,))

    assert RouteState() == evaluate_route(network, None, GATEWAY)
    assert RouteState() == evaluate_route(network, SERVICENET, None)


def test_a_network_is_probed_outside_our_own_subnet() -> None:
    """An address on the link would say nothing about the network's route."""
    network = IPv4Network("10.176.0.0/12")

    assert probe_address(network, IPv4Network("10.180.0.0/19")) == IPv4Address("10.176.0.1")
    assert probe_address(network, IPv4Network("10.176.0.0/19")) == IPv4Address("10.191.255.254")


@pytest.mark.parametrize(
    ("route", "text"),
    [
        (foreign_default(), "default via 203.0.113.1 dev eth0 proto boot metric 0"),
        (OURS, "default via 10.180.31.254 dev eth1 proto rcnetd metric 1"),
        (Route(None, None, 7, 200), "default proto 200 metric 7"),
        (Route(None, None, 0, 3, kind="blackhole"), "blackhole default proto boot metric 0"),
        (Route(2, None, 0, 3, tos=16), "default dev eth0 tos 0x10 proto boot metric 0"),
        (
            Route(None, None, 0, 3, nexthop_id=9, nexthops=((2, GATEWAY), (9, None))),
            "default nhid 9 (via 10.180.31.254 dev eth0, dev #9) proto boot metric 0",
        ),
    ],
)
def test_a_route_is_described_as_ip_route_would(route: Route, text: str) -> None:
    """People know these words."""
    assert text == describe(route, Network((ETH0, ETH1)))
