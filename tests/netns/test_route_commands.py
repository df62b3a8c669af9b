"""Spellings of a default route: what the kernel has after `ip` or `route` ran, and what we read."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rcnetd.hostconfig.renderers.route_commands import default_routes
from rcnetd.lab.topology import Namespace
from tests.conftest import missing

pytestmark = pytest.mark.netns

G4, G6 = "203.0.113.1", "2001:db8::1"
Found = list[tuple[int, str, int, str]]
IP_LINES = [
    f"ip route add default via {G4}",
    f"ip route add via {G4} default",
    f"/sbin/ip -4 ro r 0/0 via {G4} || true",
    f"ip -f inet route append to default via {G4} 2>/dev/null >&2 || :",
    f"ip --family inet route prepend 0.0.0.0/0 via {G4}",
    f"ip -o -d r rep any via {G4}",
    f"ip -br route add default via {G4}",
    f"ip -rc 65536 -l 3 route add default via {G4}",
    f"ip -r -s -N route add default via {G4}",
    f"ip -n nowhere route add default via {G4}",
    f"ip route add all via {G4}",
    f"ip route add 0.0.0.0/0.0.0.0 via {G4}",
    f"ip route add 00/0x0 via {G4} m 0x10",
    f"ip route add 0 via {G4}",
    f"ip route add 0.0.0.0 via {G4}",
    f"ip route add 203.0.113.0/0 via {G4}",
    f"ip route add default/0 via {G4}",
    f"ip route add 10/8 via {G4}",
    f"ip route add via {G4} dev eth0 metric 0 to default",
    f"ip route add default via {G4} p 5",
    f"ip route add default via {G4} preference 07",
    f"ip route add default via {G4} table 254",
    f"ip route add default via {G4} t 9",
    f"ip route add default via {G4} table default",
    f"ip route add default via {G4} table local",
    f"ip route add default via {G4} table unspec",
    f"ip route add unicast default via {G4}",
    f"ip route add to unicast default via {G4}",
    "ip route add blackhole default metric 7",
    "ip route add unr 0/0",
    "ip route add prohibit default",
    "ip route add local default dev lo table 9",
    "ip route add local default dev lo",
    "ip route add anycast default dev lo",
    "ip route add default dev eth0",
    "ip route add default oif eth0 src 203.0.113.10 proto 3 scope link",
    "ip route add default via 198.51.100.1 dev eth0 onlink",
    f"ip route add default nexthop via {G4} nexthop via 203.0.113.2 weight 2",
    f"ip route add metric 5 default nexthop via {G4} dev eth0",
    f"ip route add default dev eth0 mtu lock 1400 advmss 3 realms 3 window 4 via {G4}",
    f"ip route add default encap ip id 5 dst 192.0.2.1 via {G4}",
    f"ip route add default via {G4} features ecn pref medium",
    f"ip route change default via {G4}",
    f"ip route test default via {G4}",
    f"ip route get {G4}",
    "ip route show default",
    f"ip route add default via {G6}",
    "ip route add default via fe80::1 dev eth0",
    f"ip route add ::/0 via {G6}",
    "ip route add ::/0 dev eth0",
    f"ip -6 route add default via {G6} metric 9",
    f"ip -6 route add 0/0 via {G6}",
    f"ip -fam inet6 r a default via {G6}",
    "ip route add default via inet6 fe80::1 dev eth0",
    "ip route add 0/0 via inet6 fe80::1 dev eth0",
    "ip -4 route add default via inet6 fe80::1 dev eth0",
    "ip route add src 2001:db8::10 default dev eth0",
    f"if true; then ip route add default via {G4}; fi",
    f"sh -c 'ip route add default via {G4}'",
    f"GW={G4}; ip route add default via {G4}",
    f"timeout 5 ip route add default via {G4} && echo yes",
    f"ip route add default via {G4} # a comment; ip route del default",
    f"ip route add default via {G4}; ip route del default",
    f"ip route add default via {G4}; ip route flush {G4}",
    f"ip route add default via {G4}; ip route flush root 0/0",
    f"ip route add default via {G4}; ip route flush dev eth0",
    f"ip route add default via {G4}; ip route flush match 10/8",
    f"ip route add default via {G4}; ip route flush cache",
]
ROUTE_LINES = [
    f"route add default gw {G4}",
    f"route add default gateway {G4} metric 5 eth0",
    f"route add -net default gw {G4}",
    f"route add -host default gw {G4}",
    f"route add -net 0 gw {G4}",
    f"route add -net 0/0 gw {G4} || true",
    f"route add 0.0.0.0/0 gw {G4}",
    f"route add 0.0.0.0 gw {G4}",
    f"route add -net 0.0.0.0 netmask 0.0.0.0 gw {G4} dev eth0",
    f"route add -net 0.0.0.0 gw {G4} netmask 0.0.0.0",
    f"route add -net 10.0.0.0 netmask 255.0.0.0 gw {G4}",
    f"route add -net 10.0.0.0/8 gw {G4}",
    f"route add default netmask 255.0.0.0 gw {G4}",
    "route add default dev eth0",
    "route add default eth0",
    "route add default device eth0 metric 0",
    "route add default reject",
    f"route --inet add default gw {G4}",
    f"route add --inet default gw {G4}",
    f"route add default -n gw {G4} -4",
    f"route add -A inet6 default gw {G6}",
    f"route add default gw {G6} -6",
    f"route --inet6 add ::/0 gw {G6} metric 7",
    f"route -Ainet6 add ::0/0 gw {G6}",
    f"route -A inet6 add :: gw {G6} eth0",
    "route -6 add default eth0",
    f"route add default gw {G4}; route del default",
    f"route add default gw {G4}; route del -net 0.0.0.0 netmask 0.0.0.0 gw {G4}",
]


@pytest.fixture(scope="module")
def links(_privilege: str) -> Iterator[Namespace]:
    """A server with one link and both families."""
    if _privilege:
        missing("netns", _privilege)
    with_links = Namespace()
    with_links.ip(
        "link add eth0 type veth peer name peer",
        "link set peer up",
        "link set eth0 up",
        "address add 203.0.113.10/24 dev eth0",
        "address add 2001:db8::10/64 dev eth0 nodad",
    )
    yield with_links
    with_links.close()


def carried_out(namespace: Namespace, line: str) -> tuple[bool, Found]:
    """Run a line; return whether it succeeded and the kernel's default routes, then remove them."""
    found: Found = []
    namespace.ip("route replace 203.0.113.0/24 dev eth0")  # some lines delete it
    with namespace:
        done = subprocess.run(["sh", "-c", line], check=False, capture_output=True)
        for version in (4, 6):
            for table in ("main", "local"):
                found += [described(version, route) for route in listed(version, table)]
                delete = f"ip -{version} route flush exact default table {table}"
                subprocess.run(delete.split(), check=True)
    return done.returncode == 0, sorted(found)


def listed(version: int, table: str) -> list[dict[str, Any]]:
    """The default routes of a table, without the kernel's own."""
    command = ["ip", "-j", "-d", f"-{version}", "route", "show", "default", "table", table]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    routes: list[dict[str, Any]] = json.loads(out or "[]")
    return [route for route in routes if route.get("dev") != "lo" or route["protocol"] != "kernel"]


def described(version: int, route: dict[str, Any]) -> tuple[int, str, int, str]:
    """Family, first gateway, metric and type."""
    hop = route.get("nexthops", [route])[0]
    gateway = hop.get("gateway") or hop.get("via", {}).get("host")
    return version, gateway or "", route.get("metric", 0), route.get("type", "unicast")


def understood(line: str) -> Found:
    """The same by our reading, deletions included."""
    found: Found = []
    for command in default_routes(line):
        route = command.route
        metric = {4: 0, 6: 1 if line.startswith("route") else 1024}[route.version]
        metric = route.metric or metric
        if command.adds:
            # The kernel has no gateway for routes that refuse; an IPv6 one is dropped.
            gateway = route.gateway if route.kind == "unicast" else None
            found.append((route.version, str(gateway or ""), metric, route.kind))
        else:
            found = [one for one in found if route.gateway and str(route.gateway) != one[1]]
    return sorted(found)


@pytest.mark.parametrize("line", [*IP_LINES, *ROUTE_LINES])
def test_the_kernel_has_what_we_read(links: Namespace, line: str) -> None:
    """For each spelling: the same routes, or the program refuses the line."""
    if line in ROUTE_LINES and not shutil.which("route"):
        missing("netns", "no net-tools")
    ok, found = carried_out(links, line)
    assert (found == understood(line)) or (not ok and not found)


GATEWAYS = st.sampled_from(
    ["via 203.0.113.1", "via inet 203.0.113.2", "dev eth0", "via 2001:db8::1"]
)
DESTINATIONS = [
    *("default", "all", "0/0", "0.0.0.0/0", "0/0.0.0.0", "::/0", "0", "10/8", "to default", "any"),
    *("unicast default", "to blackhole 0/0", "throw ::/0", "192.0.2.0/24"),
]
INFO = [
    *("metric 7", "m 0x9", "prio 010", "preference 5", "table main", "tab 254", "table 9", "t 0"),
    *("proto static", "p 3", "scope global", "onlink", "mtu 1400", "mtu lock 1400", "pref high"),
    *(
        "src 203.0.113.10",
        "dev eth0",
        "oif eth0",
        "realm 4",
        "initcw 10",
        "quick 1",
        "congctl reno",
    ),
    *("hoplimit 9", "from ::/0", "dsfield 4", "rtt 5", "expires 60"),
]


@st.composite
def lines(draw: st.DrawFn) -> str:
    """A line of `ip`: its words in any order."""
    option = draw(st.sampled_from(["", "", "-4 ", "-6 ", "-f inet6 ", "-family inet "]))
    verb = draw(st.sampled_from(["add", "a", "replace", "r", "append", "prep", "change"]))
    parts = [draw(st.sampled_from(DESTINATIONS)), draw(GATEWAYS)]
    parts += draw(st.lists(st.sampled_from(INFO), max_size=3, unique=True))
    return f"ip {option}route {verb} {' '.join(draw(st.permutations(parts)))}"


@settings(max_examples=int(os.environ.get("RCNETD_EXAMPLES", "150")))
@given(line=lines())
def test_the_kernel_has_what_we_read_of_any_line(links: Namespace, line: str) -> None:
    """Whatever the order of the words."""
    ok, found = carried_out(links, line)
    assert (found == understood(line)) or (not ok and not found)
