"""netplan's files, read as netplan reads them; compared with netplan 0.106 and 1.2."""

from __future__ import annotations

import pytest

from rcnetd.basic.dataclass import replace
from rcnetd.hostconfig.renderers.marked_edits import Document
from rcnetd.hostconfig.renderers.model import DefaultRoute, File, HostLink
from rcnetd.hostconfig.renderers.netplan import read_defaults, read_defaults_of
from rcnetd.hostconfig.renderers.netplan_reader import Configuration, read
from tests.support.trees import PUBLIC, SERVICENET

FILE = "/etc/netplan/50.yaml"
VLAN = replace(SERVICENET, name="vlan401", kind="vlan")
NETWORKD, MANAGER = "networkd", "NetworkManager"


def configuration(text: str) -> Configuration:
    """Return what one file says."""
    return read({FILE: Document(FILE, text.encode())})


def test_networkd_uses_the_definition_that_sorts_first() -> None:
    """By the file that netplan makes of it; NetworkManager may use any."""
    text = "ethernets: {b: {match: {name: eth1}}, all: {match: {name: e*}}, eth1: {}}"
    assert ["all"] == [one.name for one in configuration(f"network: {{{text}}}").of(SERVICENET)]
    both = configuration(f"network: {{renderer: NetworkManager, {text}}}").of(SERVICENET)
    assert ["all", "b", "eth1"] == [one.name for one in both]


@pytest.mark.parametrize(
    ("text", "renderer"),
    [
        ("ethernets: {x: {}}", NETWORKD),
        ("ethernets: {x: {}}, renderer: NetworkManager", MANAGER),
        ("renderer: NetworkManager, ethernets: {renderer: networkd, x: {}}", NETWORKD),
        ("ethernets: {x: {renderer: NetworkManager}}, renderer: networkd", MANAGER),
    ],
)
def test_the_nearest_renderer_counts(text: str, renderer: str) -> None:
    """That of the definition, of its section, of all; wherever it is in the files."""
    (definition,) = configuration(f"network: {{{text}}}").definitions.values()
    assert renderer == definition.renderer


def test_what_is_said_twice_is_merged() -> None:
    """In one file as in several: mappings are merged, sequences are appended to."""
    text = (
        "network: {ethernets: {eth0: {routes: [{to: default, via: 192.0.2.1}]}}}\n"
        "network:\n  ethernets:\n    eth0: {dhcp4: yes}\n    eth0: {dhcp4: no,"
        " routes: [{to: default, via: 192.0.2.2}]}\n"
    ).replace("{ethernets", "\n  {ethernets")
    found = read_defaults({FILE: File(text.encode())})
    assert ["192.0.2.1", "192.0.2.2"] == [str(one.gateway) for one in found]


def test_a_damaged_file_is_left_out_and_noted() -> None:
    """netplan 1.2 boots without it."""
    other = "/etc/netplan/60.yaml"
    files = {FILE: "network: {ethernets: {eth0: {}}}\n", other: "network: [\n"}
    found = read({path: Document(path, text.encode()) for path, text in files.items()})
    assert [("ethernets", "eth0")] == list(found.definitions)
    assert [f"{other}:1: not valid YAML; fix it"] == found.damaged


def test_only_the_definitions_in_use_count() -> None:
    """One for none of the links counts, too; one that is shadowed for all of its links does not."""
    text = (
        "network: {ethernets: {a: {match: {name: eth*}, gateway4: 192.0.2.1},"
        " eth0: {gateway4: 192.0.2.2}, eth9: {gateway4: 192.0.2.3}, zz9: {gateway4: 192.0.2.4}}}"
    )
    found = read_defaults_of({FILE: File(text.encode())}, (PUBLIC, SERVICENET, HostLink("x")))
    gateways = [(one.link, str(one.gateway)) for one in found]
    assert [
        ("eth0", "192.0.2.1"),
        ("eth1", "192.0.2.1"),
        ("eth9", "192.0.2.3"),
        ("zz9", "192.0.2.4"),
    ] == gateways
    assert isinstance(found[0], DefaultRoute)
