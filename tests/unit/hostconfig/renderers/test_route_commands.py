"""Default routes in shell commands."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from rcnetd.hostconfig.renderers.route_commands import CommandRoute, default_routes

GATEWAY = IPv4Address("192.0.2.1")
ADDED = CommandRoute(adds=True, gateway=GATEWAY)


@pytest.mark.parametrize(
    ("command", "route"),
    [
        ("ip route add default via 192.0.2.1", ADDED),
        ("/sbin/ip -4 ro r 0/0 via 192.0.2.1 || true", ADDED),
        ("ip -f inet route append to default via 192.0.2.1 2>/dev/null >&2 || :", ADDED),
        ("ip route change unicast 0.0.0.0/0 via 192.0.2.1 table main", ADDED),
        ("sudo route add default gw 192.0.2.1 || echo no", ADDED),
        ("route add -net 0.0.0.0 netmask 0.0.0.0 gw 192.0.2.1", ADDED),
        ("LANG=C ip route add default via '192.0.2.1'", ADDED),
        (
            "ip route add default via 192.0.2.1 dev $IFACE metric 7 onlink proto 3",
            CommandRoute(adds=True, gateway=GATEWAY, metric=7, link="$IFACE"),
        ),
        ("ip route add default dev ppp0", CommandRoute(adds=True, link="ppp0")),
        ("ip route add default via $GW metric $M", CommandRoute(adds=True)),
        ("ip route del default", CommandRoute(adds=False)),
        ("route del default", CommandRoute(adds=False)),
        ("ip -6 route add default via fe80::1", CommandRoute(adds=True, version=6)),
        ("ip -f inet6 route add default via fe80::1", CommandRoute(adds=True, version=6)),
        ("ip route add ::/0 via fe80::1", CommandRoute(adds=True, version=6)),
        ("route -A inet6 add default gw fe80::1", CommandRoute(adds=True, version=6)),
        ("route -6 add ::/0 gw fe80::1", CommandRoute(adds=True, version=6)),
        (
            "if true; then ip route add default via 192.0.2.1; fi",
            CommandRoute(adds=True, gateway=GATEWAY, mixed=True),
        ),
        (
            'sh -c "ip route add default via 192.0.2.1"',
            CommandRoute(adds=True, gateway=GATEWAY, mixed=True),
        ),
        (
            "ip route add default via 192.0.2.1 && ip rule add from all",
            CommandRoute(adds=True, gateway=GATEWAY, mixed=True),
        ),
    ],
)
def test_finds_a_default_route(command: str, route: CommandRoute) -> None:
    """In both commands and all spellings; what is not alone in its line is mixed."""
    (found,) = default_routes(command)
    assert found == route


@pytest.mark.parametrize(
    "command",
    [
        "ip route add 10.0.0.0/8 via 192.0.2.1",
        "ip route add default via 192.0.2.1 table 100",
        "ip rule add from all lookup default",
        "ip route show default",
        "ip route",
        "ip route add",
        "ip",
        "ip -4",
        "route add -net 0.0.0.0 netmask 255.0.0.0 gw 192.0.2.1",
        "route",
        "route add",
        "echo ip route add default",
        "echo 'not closed",
        "sudo",
        "",
        "A=1",
        "# ip route add default via 192.0.2.1",
    ],
)
def test_leaves_everything_else(command: str) -> None:
    """Other destinations, other tables, other commands, and what no shell would run."""
    assert default_routes(command) == []
