"""What real ifupdown makes of the rendered files: `ifup -a` of each release, in a namespace."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import NamedTuple

import pytest

from rcnetd.core.model import METRIC, PROTOCOL, Query, Route, RouteLookup
from rcnetd.core.routes import OUTSIDE
from rcnetd.core.settings import PublicInterface
from rcnetd.hostconfig.renderers.ifupdown import read_defaults, render
from rcnetd.hostconfig.renderers.marked_edits import applied
from rcnetd.hostconfig.renderers.model import Tree
from rcnetd.lab.topology import Namespace
from rcnetd.netlink.kernel import Kernel
from tests.boot.conftest import disk
from tests.boot.dhcp import DhcpServer
from tests.boot.guest import chroot
from tests.boot.trees import RELEASES, tree
from tests.support.trees import HERE, cases, read_tree, target_of

ROUTERS = {
    "eth0": (IPv4Interface("203.0.113.10/24"), IPv4Address("203.0.113.1")),
    "eth1": (IPv4Interface("10.180.1.2/19"), IPv4Address("10.180.0.1")),
}
# The trees have no net-tools; this is as much of route(8) as the cases need.
ROUTE = """\
#!/bin/sh
verb=$1; shift
[ "$1" != -net ] || shift
to=$1; shift
if [ "$1" = netmask ]; then to=$to/$2; shift 2; fi
[ "$1" = gw ] && shift
via=$1; shift
exec ip route "$verb" "$to" via "$via" "$@"
"""


class Server(NamedTuple):
    """A server's disk and its two links, all down."""

    root: Path
    namespace: Namespace

    def write(self, files: Tree) -> None:
        """Have these files, and no others, below /etc/network."""
        shutil.rmtree(self.root / "etc/network/interfaces.d")
        (self.root / "etc/network/interfaces.d").mkdir()
        for path, file in files.items():
            (self.root / path.lstrip("/")).write_bytes(file.data)

    def run(self, command: str) -> None:
        """Run a command line of its system; fails if it does."""
        with self.namespace:
            chroot(self.root, "sh", "-c", f"mkdir -p /run/network && {command}")

    def up(self) -> None:
        """What ifupdown's units do at boot."""
        self.run("ifup -a && ifup -a --allow=hotplug")

    def down(self) -> None:
        """And at the end; the method `manual` leaves a link up."""
        self.run("ifdown -a && ifdown -a --allow=hotplug")
        self.namespace.ip("link set eth0 down", "link set eth1 down")

    def defaults(self) -> tuple[Route, ...]:
        """The kernel's default routes."""
        with self.namespace:
            return Kernel().read(Query()).defaults

    def lookup(self) -> RouteLookup | None:
        """By which route it would send a packet outside."""
        with self.namespace:
            return Kernel().read(Query(destinations=(OUTSIDE,))).lookup(OUTSIDE)

    def found(self) -> list[tuple[str, IPv4Address | None, int]]:
        """The default routes, by link, gateway and metric."""
        with self.namespace:
            network = Kernel().read(Query())
        names = {link.ifindex: link.name for link in network.links}
        return sorted(
            (names[route.ifindex or 0], IPv4Address(str(route.gateway)), route.metric)
            for route in network.defaults
        )

    def is_up(self, name: str) -> bool:
        """Whether a link is up."""
        return "UP" in self.namespace.ip(f"link show dev {name}").split(">")[0].split(",")


@pytest.fixture(params=RELEASES)
def server(request: pytest.FixtureRequest, workplace: Path) -> Iterator[Server]:
    """A server of each release, whose links lead to routers that also serve addresses."""
    with contextlib.ExitStack() as stack:
        overlay = stack.enter_context(disk(workplace, [tree(request.param)]))
        shim = overlay.root / "usr/local/sbin/route"
        shim.write_text(ROUTE, encoding="ascii")
        shim.chmod(0o755)
        server, world = Namespace(), Namespace()
        stack.callback(server.close)
        stack.callback(world.close)
        for link, (address, router) in ROUTERS.items():
            world.ip(
                f"link add r{link} type veth peer name {link} netns {server.path}",
                f"address add {router}/{address.network.prefixlen} dev r{link}",
                f"link set r{link} up",
            )
            stack.callback(DhcpServer(world, f"r{link}", address, router).close)
        yield Server(overlay.root, server)


def is_dhcp(case: str) -> bool:
    """Whether a case has a link by DHCP, whose gateway is in no file."""
    files = read_tree(HERE / "ifupdown" / case / "before").values()
    return any(b"inet dhcp" in file.data for file in files)


def has_dhcp(root: Path) -> bool:
    """Whether a tree has a DHCP client."""
    return any(list(root.glob(f"*sbin/{name}")) for name in ("dhclient", "dhcpcd"))


@pytest.mark.parametrize("case", cases("ifupdown"))
def test_ifup_makes_what_is_rendered(server: Server, case: str) -> None:
    """Both policies, one after the other, and up again: the winning default is ours, each time."""
    before = read_tree(HERE / "ifupdown" / case / "before")
    if is_dhcp(case) and not has_dhcp(server.root):
        pytest.skip("this release has no DHCP client in its tree")
    files = before
    for policy in PublicInterface:
        target = target_of("ifupdown", case, policy)
        files = applied(files, render(files, target))
        server.write(files)
        for _ in range(2):
            server.up()

            verdict = server.lookup()
            assert verdict is not None
            assert (target.gateway, METRIC, PROTOCOL) == (
                verdict.gateway,
                verdict.metric,
                verdict.protocol,
            )
            assert [("eth1", target.gateway, METRIC)] == server.found()
            assert server.is_up("eth1")
            if policy is PublicInterface.DOWN and target.public:
                assert not server.is_up("eth0")
            for network in target.public_routes if policy is PublicInterface.NO_DEFAULT else ():
                assert f"{network} via 203.0.113.1" in server.namespace.ip("route show")
            server.down()


@pytest.mark.parametrize("case", [name for name in cases("ifupdown") if not is_dhcp(name)])
def test_the_reader_says_what_ifup_makes(server: Server, case: str) -> None:
    """Before rendering: the default routes that `read_defaults` names are the kernel's."""
    before = read_tree(HERE / "ifupdown" / case / "before")
    server.write(before)
    server.up()
    assert server.found() == sorted(
        (default.link, default.gateway, default.metric) for default in read_defaults(before)
    )


def test_ifup_has_dhcp_lose(server: Server) -> None:
    """Without rendering the default by DHCP wins; the case above shows it gone."""
    if not has_dhcp(server.root):
        pytest.skip("this release has no DHCP client in its tree")
    server.write(read_tree(HERE / "ifupdown/dhcp/before"))
    server.up()
    assert "eth0" in [link for link, _, _ in server.found()]
