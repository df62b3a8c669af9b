"""What the kernel's default routes mean for ours."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest

from rcnetd.core.model import METRIC, PROTOCOL, Network, Route, RouteLookup
from rcnetd.core.routes import OUTSIDE, RouteState, describe, judge, probe_address
from rcnetd.core.servicenet import ServiceNet
from tests.support.playbook import ETH0, ETH1, GATEWAY, OTHER_GATEWAY, PRIVATE, foreign_default

SERVICENET = ServiceNet(ETH1, PRIVATE, "")
OURS = Route(3, GATEWAY, METRIC, PROTOCOL, raw=b"ours")
OUR_VERDICT = RouteLookup(0, 3, GATEWAY, METRIC, PROTOCOL)


def judged(*defaults: Route, verdict: RouteLookup | None, applied: bool = False) -> RouteState:
    """The judgement of these defaults."""
    network = Network((ETH0, ETH1), defaults=defaults, verdicts=((OUTSIDE, verdict),))
    return judge(network, SERVICENET, GATEWAY, applied=applied)


def test_our_route_that_wins_is_in_effect() -> None:
    """Present, first, and the kernel's verdict."""
    state = judged(OURS, verdict=OUR_VERDICT)

    assert RouteState(present=True, in_effect=True, holds=True) == state


@pytest.mark.parametrize(
    "verdict",
    [
        None,
        RouteLookup(1, 3, GATEWAY, METRIC, PROTOCOL),
        RouteLookup(0, 2, GATEWAY, METRIC, PROTOCOL),
        RouteLookup(0, 3, OTHER_GATEWAY, METRIC, PROTOCOL),
        RouteLookup(0, 3, GATEWAY, METRIC, 4),
    ],
)
def test_any_other_verdict_is_not_in_effect(verdict: RouteLookup | None) -> None:
    """Only a route of prefix length 0 that is ours counts; the rest is a diversion."""
    state = judged(OURS, verdict=verdict)

    assert not state.in_effect
    assert not state.holds
    assert state.diversion == verdict
    assert judged(OURS, verdict=verdict, applied=True).holds


def test_winners_are_those_before_ours() -> None:
    """Those behind lose, and are no concern."""
    first, last = foreign_default(0), foreign_default(100)

    state = judged(first, OURS, last, verdict=RouteLookup(0, 2, None, 0, 3))

    assert state.winners == (first,)
    assert state.present
    assert state.diversion is None


def test_without_ours_no_route_is_a_winner_to_remove() -> None:
    """Nothing may be removed while ours is not there."""
    state = judged(foreign_default(), verdict=None)

    assert not state.present
    assert state.winners == ()


def test_ours_to_another_gateway_is_a_leftover() -> None:
    """So is ours on another link or with another metric."""
    others = (
        Route(3, OTHER_GATEWAY, METRIC, PROTOCOL),
        Route(2, GATEWAY, METRIC, PROTOCOL),
        Route(3, GATEWAY, 5, PROTOCOL),
    )

    assert judged(*others, verdict=None).leftovers == others


def test_without_servicenet_or_gateway_there_is_nothing_to_judge() -> None:
    """Neither present nor in effect."""
    network = Network(defaults=(OURS,))

    assert RouteState() == judge(network, None, GATEWAY, applied=True)
    assert RouteState() == judge(network, SERVICENET, None, applied=True)


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
    ],
)
def test_a_route_is_described_as_ip_route_would(route: Route, text: str) -> None:
    """People know these words."""
    assert text == describe(route, Network((ETH0, ETH1)))
