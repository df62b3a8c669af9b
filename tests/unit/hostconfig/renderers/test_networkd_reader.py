"""networkd's files, read as networkd reads them; compared with systemd 252 and 262."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from rcnetd.hostconfig.renderers.marked_edits import Document
from rcnetd.hostconfig.renderers.model import File, HostLink, Tree
from rcnetd.hostconfig.renderers.networkd import read_defaults, read_defaults_of
from rcnetd.hostconfig.renderers.networkd_reader import read
from tests.support.trees import PUBLIC, SERVICENET

DIRECTORY = "/etc/systemd/network"
PUBLIC_FILE = "[Match]\nName=eth0\n[Network]\nAddress=203.0.113.10/24\nGateway=203.0.113.1\n"


def tree(**files: str) -> Tree:
    """Return a tree of these files, by the first part of their names."""
    return {f"{DIRECTORY}/{name}.network": File(text.encode()) for name, text in files.items()}


def unit_of(link: HostLink, files: Tree) -> str | None:
    """Return the name of the file that configures a link."""
    unit = read({path: Document(path, file.data) for path, file in files.items()}).of(link)
    return unit.name if unit else None


def test_a_damaged_file_is_ignored_with_all_of_its_drop_ins() -> None:
    """networkd takes neither, wherever the damage is."""
    other = "[Match]\nName=eth0\n"
    drop_in = {f"{DIRECTORY}/a.network.d/x.conf": File(b"[Network\n")}
    for files in (tree(a="[Match\nName=eth0\n", b=other), {**tree(a=other, b=other), **drop_in}):
        assert unit_of(PUBLIC, files) == "b.network"


def test_reads_defaults_as_they_are() -> None:
    """Before rendering: static ones, by DHCP; not of another table, or of unmanaged links."""
    before = tree(
        a=PUBLIC_FILE + "Gateway=fe80::1\n[Route]\nGateway=203.0.113.2\nMetric=30\n"
        "[Route]\nGateway=203.0.113.3\nTable=9\n[Route]\nDestination=0.0.0.0/0\nType=blackhole\n"
        "[Route]\nGateway=_dhcp4\n[Route]\nGateway=_ipv6ra\n[Route]\nGateway=fe80::2\n"
        "[Route]\nDestination=10.0.0.0/8\nGateway=203.0.113.4\nno assignment\n",
        b="before=any section\n[Match]\nMACAddress=00:00:00:00:00:01\n[Network]\nDHCP=ipv4\n"
        "[DHCPv4]\nRouteMetric=70\n",
        c="[Match]\nName=eth2\n[Network]\nDHCP=yes\nGateway=192.0.2.1\nGateway=\n",
        d="[Match]\nName=eth3\n[Network]\nDHCP=yes\n[DHCP]\nUseRoutes=no\n",
        e="[Match]\nName=eth4\n[Network]\nDHCP=yes\n[Link]\nUnmanaged=1\n",
    )
    found = [(item.link, str(item.gateway), item.metric) for item in read_defaults(before)]
    assert [
        ("eth0", "203.0.113.1", 0),
        ("eth0", "203.0.113.2", 30),
        ("eth0", "None", 0),
        ("eth0", "None", 0),
        ("00:00:00:00:00:01", "None", 70),
        ("eth2", "192.0.2.1", 0),
        ("eth2", "None", 1024),
    ] == found


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ("[Network]\nDefaultRouteOnDevice=yes", ["None 0"]),
        ("[Network]\nDefaultRouteOnDevice=yes\nDefaultRouteOnDevice=", ["None 0"]),
        ("[Network]\nDefaultRouteOnDevice=yes\nDefaultRouteOnDevice=no", []),
        ("[Network]\nGateway=gw", []),
        ("[Network]\nGateway=192.0.2.1 192.0.2.2", []),
        ("[Network]\nVRF=blue\nGateway=192.0.2.1\nDHCP=yes\nDefaultRouteOnDevice=yes", []),
        ("[Network]\nVRF=blue\n[Route]\nGateway=192.0.2.1\nTable=main", ["192.0.2.1 0"]),
        ("[Route]\nDestination=1.2.3.4/00\nGateway=192.0.2.1\nMetric=0x10", ["192.0.2.1 16"]),
        ("[Route]\nDestination=foo\nGateway=192.0.2.1", []),
        ("[Route]\nDestination=::/0\nGateway=fe80::1", []),
        ("[Route]\nDestination=0.0.0.0/0\nGateway=fe80::1", ["None 0"]),
        ("[Route]\nDestination=0.0.0.0/0\nGateway=gw", []),
        ("[Route]\nGateway=192.0.2.1\nDestination=", []),
        ("[Route]\nGateway=192.0.2.1\nMetric=x", []),
        ("[Route]\nGateway=192.0.2.1\nType=UNICAST", []),
        ("[Route]\nGateway=192.0.2.1\nTable=MAIN", []),
        ("[Route]\nGateway=192.0.2.1\nTable=0xfe", ["192.0.2.1 0"]),
        ("[Route]\nMultiPathRoute=192.0.2.1", []),
        ("[Route]\nDestination=0.0.0.0/0\nMultiPathRoute=192.0.2.1", ["None 0"]),
        ("[Route]\nPreferredSource=192.0.2.9", ["None 0"]),
        ("[Route]\nSource=2001:db8::/32", []),
        ("[Route]\nDestination=0.0.0.0/0\nType=throw\nMetric=5", ["None 5"]),
        ("[Route]\nDestination=0.0.0.0/0\nType=local\nMetric=5", ["None 0"]),
        ("[Network]\nDHCP=yes\n[DHCPv4]\nUseGateway=no", ["None 1024"]),
        ("[Network]\nDHCP=yes\n[DHCPv4]\nUseGateway=no\nUseRoutes=no", []),
        ("[Network]\nDHCP=yes\n[DHCPv4]\nRouteTable=100", []),
        ("[Network]\nDHCP=yes\n[DHCPv4]\nRouteMetric=low", ["None 1024"]),
    ],
)
def test_every_way_to_a_default_route_is_known(lines: str, found: list[str]) -> None:
    """By what networkd makes of it, not by the text."""
    defaults = read_defaults(tree(a=f"[Match]\nName=eth0\n{lines}\n"))
    assert found == [f"{one.gateway} {one.metric}" for one in defaults]


def test_only_the_file_in_effect_counts() -> None:
    """For each link; a file for none of them counts, too."""
    files = tree(
        a="[Match]\nName=eth0 eth2\n[Network]\nGateway=203.0.113.1\n",
        b="[Match]\nName=eth0\n[Network]\nGateway=203.0.113.2\n",
        c="[Match]\nName=eth9\n[Network]\nGateway=203.0.113.3\n",
    )
    links = (PUBLIC, SERVICENET, HostLink("eth2"))
    assert [
        ("eth0", IPv4Address("203.0.113.1")),
        ("eth2", IPv4Address("203.0.113.1")),
        ("eth9", IPv4Address("203.0.113.3")),
    ] == [(one.link, one.gateway) for one in read_defaults_of(files, links)]
