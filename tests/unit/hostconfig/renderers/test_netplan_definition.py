"""A definition of netplan's; compared with netplan 0.106 and 1.2."""

from __future__ import annotations

import pytest

from rcnetd.basic.dataclass import replace
from rcnetd.hostconfig.renderers.marked_edits import Document
from rcnetd.hostconfig.renderers.model import File, HostLink
from rcnetd.hostconfig.renderers.netplan import read_defaults
from rcnetd.hostconfig.renderers.netplan_reader import Configuration, read
from tests.support.trees import SERVICENET

FILE = "/etc/netplan/50.yaml"
VLAN = replace(SERVICENET, name="vlan401", kind="vlan")
NETWORKD, MANAGER = "networkd", "NetworkManager"


def configuration(text: str) -> Configuration:
    """Return what one file says."""
    return read({FILE: Document(FILE, text.encode())})


def used(match: str, link: HostLink, renderer: str = NETWORKD) -> bool:
    """Whether a definition of an Ethernet link with this match is used for *link*."""
    ethernets = f"ethernets: {{x: {{match: {{{match}}}, dhcp4: true}}}}"
    return bool(configuration(f"network: {{renderer: {renderer}, {ethernets}}}").of(link))


@pytest.mark.parametrize(
    ("match", "fits"),
    [
        ("macaddress: 'BC:76:4E:20:6C:5B'", True),
        ("macaddress: 'bc:76:4e:20:6c:5b', name: eth*", True),
        ("macaddress: 'bc:76:4e:20:6c:5b', name: en*", False),
        ("macaddress: 'bc:76:4e:20:6c:5a', name: eth1", False),
        ("name: 'e*1'", True),
        ("name: eth0", False),
        ("driver: virtio_net", True),
        ("driver: [virtio_net, xen], name: en*", False),
    ],
)
def test_a_match_fits_if_all_of_it_does(match: str, fits: bool) -> None:
    """A driver cannot be seen in the files, so it is taken to fit."""
    assert fits is used(match, SERVICENET)
    assert fits is used(match, SERVICENET, MANAGER)


def test_an_empty_match_is_the_backends_matter() -> None:
    """networkd ignores a file whose [Match] is empty; NetworkManager takes it for any link."""
    assert not used("", SERVICENET)
    assert used("", SERVICENET, MANAGER)


def test_a_link_is_matched_by_its_new_name() -> None:
    """`set-name` renames it before the backend sees it."""
    text = "network: {ethernets: {x: {match: {name: ens*}, set-name: eth1}}}"
    assert configuration(text).of(SERVICENET)
    assert not configuration(text).of(replace(SERVICENET, name="ens3"))


@pytest.mark.parametrize("renderer", [NETWORKD, MANAGER])
def test_a_virtual_link_is_not_matched_by_the_address_below(renderer: str) -> None:
    """A VLAN or bond has its link's MAC address; netplan's match is for the permanent one."""
    text = (
        f"network: {{renderer: {renderer}, ethernets: {{a: {{match: {{macaddress:"
        " 'bc:76:4e:20:6c:5b'}}}, vlans: {vlan401: {link: a, id: 401}}}"
    )
    for link in (VLAN, replace(VLAN, kind=None)):  # the files say as well that it is a VLAN
        assert ["vlan401"] == [one.name for one in configuration(text).of(link)]
    assert not used("macaddress: 'bc:76:4e:20:6c:5b'", VLAN, renderer)


def test_a_pattern_matches_a_virtual_link_for_networkd_alone() -> None:
    """NetworkManager's profile is for Ethernet."""
    assert used("name: 'v*'", VLAN)
    assert not used("name: 'v*'", VLAN, MANAGER)


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("gateway4: 192.0.2.1", ["192.0.2.1 0"]),
        ("routes: [{to: default, via: 192.0.2.1, metric: 010}]", ["192.0.2.1 10"]),
        ("routes: [{to: 192.0.2.0/0, via: 192.0.2.1}]", ["192.0.2.1 0"]),
        ("routes: [{to: 0.0.0.0/00, via: 192.0.2.1}]", ["192.0.2.1 0"]),
        ("routes: [{to: 0.0.0.0/0, scope: link}]", ["None 0"]),
        ("routes: [{to: 0.0.0.0/0}]", ["None 0"]),
        ("routes: [{to: 0.0.0.0/0, type: throw, metric: 7}]", ["None 7"]),
        ("routes: [{to: 0.0.0.0/0, type: local, metric: 7}]", ["None 0"]),
        ("routes: [{to: 0.0.0.0/0, via: 192.0.2.1, table: 0}]", ["192.0.2.1 0"]),
        ("routes: [{to: 0.0.0.0/0, via: 192.0.2.1, table: 255}]", ["192.0.2.1 0"]),
        ("routes: [{to: 0.0.0.0/0, via: 192.0.2.1, table: 100}]", []),
        ("routes: [{to: default, via: 'fe80::1'}]", []),
        ("routes: [{to: '::/0', via: 'fe80::1'}]", []),
        ("routes: [{to: 192.0.2.0/24, via: 192.0.2.1}]", []),
        ("dhcp4: On", ["None 100"]),
        ("dhcp4: yes, dhcp4-overrides: {route-metric: 7}", ["None 7"]),
        ("dhcp4: yes, dhcp4-overrides: {use-routes: false}", []),
        ("dhcp4: no", []),
        ("dhcp6: yes, gateway6: 'fe80::1'", []),
    ],
)
def test_every_way_to_a_default_route_is_known(said: str, found: list[str]) -> None:
    """By what netplan makes of it, not by the text."""
    tree = {FILE: File(f"network: {{ethernets: {{eth0: {{{said}}}}}}}".encode())}
    assert found == [f"{one.gateway} {one.metric}" for one in read_defaults(tree)]


def test_a_member_of_a_vrf_has_its_routes_in_another_table() -> None:
    """So has the VRF itself."""
    text = (
        "network: {ethernets: {eth0: {gateway4: 192.0.2.1, dhcp4: yes}},"
        " vrfs: {blue: {table: 9, interfaces: [eth0]}}}"
    )
    assert [] == read_defaults({FILE: File(text.encode())})
