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
from rcnetd.hostconfig.renderers.model import Target, Tree
from rcnetd.lab.topology import Namespace
from rcnetd.netlink.kernel import Kernel
from tests.boot.conftest import disk
from tests.boot.debs import extract
from tests.boot.dhcp import DhcpServer
from tests.boot.guest import chroot
from tests.boot.trees import RELEASES, tree
from tests.support.trees import HERE, cases, read_tree, target_of

ROUTERS = {
    "eth0": (IPv4Interface("203.0.113.10/24"), IPv4Address("203.0.113.1")),
    "eth1": (IPv4Interface("10.180.1.2/19"), IPv4Address("10.180.0.1")),
    "eth2": (IPv4Interface("192.168.3.3/24"), IPv4Address("192.168.3.1")),
}
# ifupdown-ng reads no globs before 0.12, which Debian 13 has.
READERS = (
    *((release, "ifupdown") for release in RELEASES),
    *((release, "ifupdown2") for release in RELEASES if release != "bullseye"),
    *((release, "ifupdown-ng") for release in RELEASES[-1:]),
)
# What dhclient needs besides, in one release.
LIBRARIES = {"bullseye": ("libdns-export1110", "libisc-export1105")}
UP = {
    "ifupdown": "ifup -a && ifup -a --allow=hotplug",
    "ifupdown2": 'ifup -a; links=$(ifquery --list --allow=hotplug); [ -z "$links" ] || ifup $links',
    "ifupdown-ng": "ifup -a",
}


class Server(NamedTuple):
    """A server's disk and its links, all down."""

    root: Path
    namespace: Namespace
    reader: str

    def write(self, files: Tree) -> None:
        """Have these files, and no others, below /etc/network."""
        shutil.rmtree(self.root / "etc/network/interfaces.d")
        (self.root / "etc/network/interfaces.d").mkdir()
        for path, file in files.items():
            (self.root / path.lstrip("/")).write_bytes(file.data)

    def run(self, command: str) -> bool:
        """Run a command line of its system, with its own /sys; return whether it succeeded."""
        script = f"mount -t sysfs none /sys; mkdir -p /run/network; {command}"
        with self.namespace, contextlib.suppress(AssertionError):
            chroot(self.root, "sh", "-c", script)
            return True
        return False

    def up(self) -> bool:
        """What the units of these programs do at boot."""
        return self.run(UP[self.reader])

    def down(self) -> None:
        """And at the end; the method `manual` leaves a link up."""
        self.run(UP[self.reader].replace("ifup", "ifdown"))
        # ifupdown-ng leaves a link in its state whose `down` fails; a boot begins without.
        (self.root / "run/ifstate").unlink(missing_ok=True)
        self.namespace.ip(
            *(f"link set {link} down" for link in ROUTERS),
            *(f"address flush dev {link}" for link in ROUTERS),
        )

    def configures(self, name: str) -> bool:
        """Whether a link has its address."""
        address, _ = ROUTERS[name]
        return str(address.ip) in self.namespace.ip(f"address show dev {name}")

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


@pytest.fixture(params=READERS, ids="-".join)
def server(request: pytest.FixtureRequest, workplace: Path) -> Iterator[Server]:
    """A server for each program, whose links lead to routers that also serve addresses."""
    release, reader = request.param
    with contextlib.ExitStack() as stack:
        overlay = stack.enter_context(disk(workplace, [tree(release)]))
        packages = (reader, "net-tools", "isc-dhcp-client", *LIBRARIES.get(release, ()))
        extract(overlay.root, release, *packages)
        if reader == "ifupdown2":  # as its postinst does
            (overlay.root / "usr/share/ifupdown2/ifupdown2").chmod(0o755)
        if reader == "ifupdown-ng":  # Debian 13 has it beside ifupdown, as ifup-ng and so on
            for name in ("ifup", "ifdown", "ifquery"):
                (overlay.root / f"usr/sbin/{name}").unlink()
                (overlay.root / f"usr/sbin/{name}").symlink_to("ifupdown-ng")
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
        yield Server(overlay.root, server, reader)


def is_dhcp(case: str) -> bool:
    """Whether a case has a link by DHCP, whose gateway is in no file."""
    files = read_tree(HERE / "ifupdown" / case / "before").values()
    return any(b"inet dhcp" in file.data for file in files)


@pytest.mark.parametrize("case", cases("ifupdown"))
def test_ifup_makes_what_is_rendered(server: Server, case: str) -> None:
    """Both policies, one after the other, and up again: the winning default is ours, each time."""
    files = read_tree(HERE / "ifupdown" / case / "before")
    server.write(files)
    ok = server.up()
    # To ifupdown2 the lines of a template are those of the stanza before.
    if not server.configures("eth1") or (case, server.reader) == ("ifupdown-ng", "ifupdown2"):
        pytest.skip(f"{server.reader} does not configure eth1 from these files")
    server.down()
    for policy in PublicInterface:
        target = target_of("ifupdown", case, policy)
        files = applied(files, render(files, target))
        server.write(files)
        for _ in range(2 if server.reader == "ifupdown" else 1):
            assert server.up() or not ok
            check(server, target)
            server.down()


def check(server: Server, target: Target) -> None:
    """The kernel has what the target says."""
    lookup = server.lookup()
    assert lookup is not None
    ours = (lookup.gateway, lookup.metric, lookup.protocol)
    assert (target.gateway, METRIC, PROTOCOL) == ours
    assert [("eth1", target.gateway, METRIC)] == server.found()
    assert server.configures("eth1")
    down = target.policy is PublicInterface.DOWN
    if down and target.public:
        assert not server.is_up("eth0")
    for network in () if down else target.public_routes:
        assert f"{network} via 203.0.113.1" in server.namespace.ip("route show")


@pytest.mark.parametrize("case", [name for name in cases("ifupdown") if not is_dhcp(name)])
def test_the_reader_says_what_ifup_makes(server: Server, case: str) -> None:
    """Before rendering: the default routes that `read_defaults` names are the kernel's."""
    if server.reader != "ifupdown":
        pytest.skip("the other two have metrics of their own")
    before = read_tree(HERE / "ifupdown" / case / "before")
    server.write(before)
    if not server.up():
        pytest.skip("ifupdown 0.8 does not understand these files")
    assert server.found() == sorted(
        (default.link, default.gateway, default.metric) for default in read_defaults(before)
    )


def test_ifup_has_dhcp_lose(server: Server) -> None:
    """Without rendering the default by DHCP wins; the case above shows it gone."""
    case = "use-dhcp" if server.reader == "ifupdown-ng" else "dhcp"
    server.write(read_tree(HERE / "ifupdown" / case / "before"))
    server.up()
    assert "eth0" in [link for link, _, _ in server.found()]
