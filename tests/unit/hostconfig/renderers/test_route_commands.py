"""Default routes in shell commands."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from rcnetd.hostconfig.renderers.route_commands import default_routes, without_routes

ADDS_4 = [(True, 4, IPv4Address("192.0.2.1"))]
DELETES_4 = [(False, 4, None)]
ADDS_6 = [(True, 6, None)]


def found(line: str) -> list[tuple[bool, int, object]]:
    """Which default routes a line adds or deletes."""
    return [(one.adds, one.route.version, one.route.gateway) for one in default_routes(line)]


@pytest.mark.parametrize(
    ("line", "routes"),
    [
        ("ip route add default via 192.0.2.1", ADDS_4),
        ("/sbin/ip -4 ro r 0/0 via 192.0.2.1 || true", ADDS_4),
        ("ip -f inet route append to default via 192.0.2.1 2>/dev/null >&2 || :", ADDS_4),
        ("sudo -n route add default gw 192.0.2.1 || echo no", ADDS_4),
        ("LANG=C timeout 5 ip route add default via '192.0.2.1'", ADDS_4),
        ('busybox ip r a default via "192.0.2.1"', ADDS_4),
        ("! ip route add default via 192.0.2.1 # comment", ADDS_4),
        ("if true; then ip route add default via 192.0.2.1; fi", ADDS_4),
        ('sh -c "ip route add default via 192.0.2.1"', ADDS_4),
        ("ip route add default via 192.0.2.1 && ip rule add from all", ADDS_4),
        ("ip route del default", DELETES_4),
        ("route del default", DELETES_4),
        ("ip route flush table main", DELETES_4),
        ("ip route flush root 0/0", DELETES_4),
        ("ip route flush match 10/8", DELETES_4),
        ("ip -6 route add default dev eth0", ADDS_6),
        ("ip -family inet6 route add default", ADDS_6),
        ("route add -A inet6 default eth0", ADDS_6),
        ("ip route del default; ip -6 route add default dev eth0", DELETES_4 + ADDS_6),
    ],
)
def test_finds_a_default_route(line: str, routes: list[tuple[bool, int, object]]) -> None:
    """In both programs, with whatever stands before and behind."""
    assert routes == found(line)


@pytest.mark.parametrize(
    "line",
    [
        *("ip route add 10.0.0.0/8 via 192.0.2.1", "ip route add default via 192.0.2.1 table 100"),
        *("ip rule add from all lookup default", "ip route show default", "ip route flush cache"),
        *("ip route", "ip route add", "ip", "ip -4", "ip -n x route add default", "route"),
        *("ip route flush 10.0.0.0/8", "ip netns exec x ip route add default dev eth0"),
        *("route add", "route show default", "echo ip route add default", "sudo", "sudo -n x"),
        *("", "A=1", "# ip route add default via 192.0.2.1"),
        *("ip route add default via 'not closed", "ip route add default via 192.0.2.1 \\"),
    ],
)
def test_leaves_everything_else(line: str) -> None:
    """Other destinations, tables, namespaces and commands, and what no shell would run."""
    assert [] == default_routes(line)


@pytest.mark.parametrize(
    ("line", "rest"),
    [
        ("ip route add default via 192.0.2.1 || true", ""),
        ("if true; then ip route add default; fi", ""),
        ("ip route del default; route add default gw 192.0.2.1 2>&1 || exit 1", ""),
        ("cd /; ip route add default", "cd /; true"),
        ("ip route add default 2>&1 && ip rule add from all", "true 2>&1 && ip rule add from all"),
        ("for g in 1 2; do sudo ip route add default via $g; done", "for g in 1 2; do true; done"),
        ("A=b ip route add default; echo 'a;  b' | mail", "A=b true; echo 'a;  b' | mail"),
    ],
)
def test_the_command_can_be_taken_out(line: str, rest: str) -> None:
    """What remains succeeds where the command would have; nothing if nothing else is done."""
    assert rest == without_routes(line, default_routes(line))


@pytest.mark.parametrize(
    "line",
    [
        "sh -c 'ip route add default'",
        "ip route add default via $(ip -o route show | cut -d' ' -f3)",
        "ip route add default via `cat /run/gateway`",
    ],
)
def test_only_a_shell_can_tell(line: str) -> None:
    """Part of a script in quotes, or of a substitution: cannot be taken out."""
    assert [None] == [one.span for one in default_routes(line)]


def test_only_some_commands_are_taken_out() -> None:
    """For example those of one family."""
    line = "ip route add default via 192.0.2.1; ip -6 route add default dev eth0"
    assert "true; ip -6 route add default dev eth0" == without_routes(
        line, default_routes(line)[:1]
    )
