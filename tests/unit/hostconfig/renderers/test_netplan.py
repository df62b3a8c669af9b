"""The netplan renderer, on trees of files kept in the repository and on made-up ones."""

from __future__ import annotations

import json
from ipaddress import IPv4Network
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rcnetd.basic.dataclass import replace
from rcnetd.core.model import METRIC
from rcnetd.core.settings import PublicInterface, PublicIPv6
from rcnetd.hostconfig.renderers.marked_edits import HEADER, OFF, applied
from rcnetd.hostconfig.renderers.model import (
    CannotPersist,
    DefaultRoute,
    File,
    HostLink,
    Target,
    Tree,
)
from rcnetd.hostconfig.renderers.netplan import OWN, PATTERNS, read_defaults, render
from tests.support.properties import check, examples
from tests.support.trees import GATEWAY, PUBLIC, SERVICENET, cases, check_golden

NO_DEFAULT = Target(SERVICENET, GATEWAY, (PUBLIC,))
DOWN = replace(NO_DEFAULT, policy=PublicInterface.DOWN)
FILE = "/etc/netplan/50-cloud-init.yaml"
SIMPLE = """\
network:
  version: 2
  ethernets:
    eth0:
      addresses: [203.0.113.10/24]
      gateway4: 203.0.113.1
    eth1:
      addresses: [10.180.1.2/19]
"""


def tree(text: str = SIMPLE, **others: str) -> Tree:
    """A tree of one file, and others beside it by their names."""
    beside = {f"/etc/netplan/{name}.yaml": File(other.encode()) for name, other in others.items()}
    return {FILE: File(text.encode()), **beside}


def ours(before: Tree, target: Target = NO_DEFAULT) -> Any:
    """What our own file says below `network`."""
    data = render(before, target)[OWN].data
    assert data is not None
    return yaml.safe_load(data)["network"]


@pytest.mark.parametrize("policy", PublicInterface)
@pytest.mark.parametrize("case", cases("netplan"))
def test_a_tree_becomes_the_expected_one(case: str, policy: PublicInterface) -> None:
    """Byte by byte; and rendered again nothing changes, whatever the policy was before."""
    check_golden("netplan", case, policy, render)


def test_our_file_is_for_root_alone() -> None:
    """As netplan asks for; a file of somebody else's keeps its mode."""
    after = applied(tree(), render(tree(), NO_DEFAULT))
    assert (0o600, 0o644) == (after[OWN].mode, after[FILE].mode)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "network: [",
            f"/etc/netplan: no definition configures eth1; add one there; {FILE}:1: not valid YAML",
        ),
        ("\udcff", f"/etc/netplan: no definition configures eth1; add one there; {FILE}: not"),
        ("[" * 60 + "]" * 60, "/etc/netplan: no definition configures eth1"),
        ("", "/etc/netplan: no definition configures eth1; add one there"),
        ("network: 5\n", "/etc/netplan: no definition configures eth1"),
        (SIMPLE.replace("eth1:", "eth7:"), "/etc/netplan: no definition configures eth1"),
        (
            SIMPLE + "      routes: &r\n      - {to: default, via: 10.180.0.1}\n"
            "    eth2:\n      routes: *r\n",
            f"{FILE}:9: is used through an alias as well",
        ),
        (
            SIMPLE + "      routes: &r\n      - {to: default, via: 10.180.0.1}\n      - *r\n",
            f"{FILE}:9: is used through an alias as well",
        ),
        (
            SIMPLE.replace("gateway4", "? gateway4\n      "),
            f"{FILE}:6: has to be removed, but shares its line with something else",
        ),
        (
            SIMPLE + "    eth2:\n      addresses: [192.0.2.9/24]\n      gateway4: 192.0.2.1\n",
            f"{FILE}: eth2 would still have a default route of metric 0",
        ),
        (
            SIMPLE.replace("eth0", "eth9").replace("eth1:", "00-all:\n      match: {name: e*}"),
            f"{FILE}:8: '00-all' configures several links, eth1 among them; give eth1 a",
        ),
        (
            SIMPLE.replace("eth0", "eth9").replace("eth1:", "all:\n      match: {name: e*}")
            + "  renderer: NetworkManager\n",
            f"{FILE}:8: 'all' configures several links, eth1 among them",
        ),
    ],
)  # fmt: skip
def test_refuses(text: str, reason: str) -> None:
    """What cannot be done safely is one line with the place."""
    before = {FILE: File(text.encode("utf-8", "surrogateescape"))}
    with pytest.raises(CannotPersist) as caught:
        render(before, NO_DEFAULT)
    assert str(caught.value).startswith(reason)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("upper", ["link: eth0", "interfaces: [eth0]"])
def test_refuses_to_keep_down_what_another_is_on_top_of(upper: str) -> None:
    """netplan would reject the whole configuration."""
    section = "vlans" if "link" in upper else "bridges"
    before = tree(SIMPLE + f"  {section}:\n    top:\n      {upper}\n")
    with pytest.raises(CannotPersist, match=f"{FILE}:11: 'top' is on top of 'eth0'"):
        render(before, DOWN)


def test_a_package_s_file_is_replaced_by_an_edited_copy() -> None:
    """It has the same name, so that netplan reads it instead."""
    before = {"/lib/netplan/50-x.yaml": File(SIMPLE.encode())}
    made = render(before, NO_DEFAULT)
    copy = made["/etc/netplan/50-x.yaml"]
    assert {"/etc/netplan/50-x.yaml", OWN} == set(made)
    assert (0o600, f"{HEADER}\n{SIMPLE}") == (
        copy.mode,
        (copy.data or b"").decode().replace(OFF, ""),
    )
    assert [DefaultRoute("eth1", GATEWAY, METRIC)] == read_defaults(applied(before, made))
    assert {} == render(applied(before, made), NO_DEFAULT)


def test_refuses_to_edit_what_is_generated() -> None:
    """A file of /run would be as before at the next boot."""
    path = "/run/netplan/50-x.yaml"
    with pytest.raises(CannotPersist, match=f"{path}:6: this file is generated at each boot"):
        render({path: File(SIMPLE.encode())}, NO_DEFAULT)


def test_refuses_public_routes_without_a_gateway() -> None:
    """Nobody knows the gateway of DHCP beforehand."""
    before = tree(SIMPLE.replace("gateway4: 203.0.113.1", "dhcp4: true"))
    target = replace(NO_DEFAULT, public_routes=(IPv4Network("198.51.100.0/24"),))
    with pytest.raises(CannotPersist, match=f"{FILE}:5: 'public_routes' need the public link's"):
        render(before, target)


def test_dhcp_on_servicenet_loses() -> None:
    """Only where it would win; its other routes stay."""
    text = SIMPLE.replace("addresses: [10.180.1.2/19]", "dhcp4: yes")
    assert "dhcp4-overrides" not in ours(tree(text))["ethernets"]["eth1"]
    text += "      dhcp4-overrides: {route-metric: 1}\n"
    assert {"route-metric": 1024} == ours(tree(text))["ethernets"]["eth1"]["dhcp4-overrides"]


def test_with_the_public_link_down_servicenet_is_what_online_waits_for() -> None:
    """Without any other link networkd's wait-online would wait for nothing until it times out."""
    text = f"{SIMPLE}      optional: true\n"
    assert ours(tree(text), DOWN)["ethernets"]["eth1"]["optional"] is False
    assert "optional" not in ours(tree(text))["ethernets"]["eth1"]
    assert "optional" not in ours(tree(), DOWN)["ethernets"]["eth1"]


def test_a_mapping_left_empty_goes_too() -> None:
    """`ethernets:` without a value is an error for netplan."""
    public = "network:\n  version: 2\n  ethernets:\n    eth0: {dhcp4: true}\n"
    before = tree(SIMPLE.replace("    eth0:", "    ethx:"), zz=public)
    before = tree(public, zz="network:\n  ethernets: {eth1: {addresses: [10.180.1.2/19]}}\n")
    after = applied(before, render(before, DOWN))
    assert {"network": {"version": 2}} == yaml.safe_load(after[FILE].data)


def test_flow_style_loses_only_what_goes() -> None:
    """Wherever it is: at the beginning, in the middle, at the end, over several lines."""
    text = """\
network:
  ethernets:
    eth0: {gateway4: 203.0.113.1, addresses: [203.0.113.10/24], routes: [{to: default,
       via: 203.0.113.2}, {to: 192.0.2.0/24, via: 203.0.113.3}, # ours
       {to: 0.0.0.0/0, via: 203.0.113.4},], mtu: 1400}
    eth1: {addresses: [10.180.1.2/19], gateway4: 10.180.0.1, }
"""
    after = applied(tree(text), render(tree(text), NO_DEFAULT))
    assert {
        "eth0": {
            "addresses": ["203.0.113.10/24"],
            "routes": [{"to": "192.0.2.0/24", "via": "203.0.113.3"}],
            "mtu": 1400,
        },
        "eth1": {"addresses": ["10.180.1.2/19"]},
    } == yaml.safe_load(after[FILE].data)["network"]["ethernets"]


def test_reads_defaults_as_they_are() -> None:
    """Before rendering: by gateway4, by route, by DHCP; not of another table, nor what is none."""
    text = (
        SIMPLE
        + """\
      dhcp4: "ON"
      routes:
      - {to: default, via: 10.180.0.1, metric: 20}
      - {to: default, via: fe80::1}
      - {to: 0/0, scope: link}
      - {to: 0.0.0.0/0, via: 10.180.0.2, table: 254, metric: 30}
      - {to: 0.0.0.0/0, via: 10.180.0.3, table: 9}
      - {to: 0.0.0.0/0, type: blackhole}
      - {to: 10.176.0.0/12, via: 10.180.0.1}
    by-mac:
      match: {macaddress: "00:11:22:33:44:55"}
      set-name: lan
      dhcp4: true
      dhcp4-overrides: {route-metric: 700}
    lost: {dhcp4: true, dhcp4-overrides: {use-routes: no}}
"""
    )
    found = [(item.link, str(item.gateway), item.metric) for item in read_defaults(tree(text))]
    assert [
        ("eth0", "203.0.113.1", 0),
        ("eth1", "10.180.0.1", 20),
        ("eth1", "None", 0),
        ("eth1", "10.180.0.2", 30),
        ("eth1", "None", 0),
        ("eth1", "None", 100),
        ("lan", "None", 700),
    ] == found


def test_the_matching_definition_is_found() -> None:
    """By MAC in any case, by the new name, by a pattern, by driver; of several networkd's first."""
    others = "".join(
        f"    {name}:\n      match: {{{match}}}\n      dhcp4: true\n"
        for name, match in (("m0", "name: wlan*"), ("m1", 'macaddress: "00:00:00:00:00:01"'))
    )
    for name, match in (
        ("a", 'macaddress: "BC:76:4E:20:6C:5B"'),
        ("b", "name: enp*}, set-name: eth1, x: {"),
        ("c", "name: '*1'"),
        ("d", "driver: virtio_net"),
        ("d", "driver: [virtio_net, xen]"),
    ):
        text = f"network:\n  ethernets:\n    {name}: {{match: {{{match}}}}}\n{others}"
        target = replace(NO_DEFAULT, public=())
        assert {name} == set(ours(tree(text), target)["ethernets"])
        both = f"{text}    zz: {{match: {{name: eth1}}}}\n"
        assert {name} == set(ours(tree(both), target)["ethernets"])


def test_refuses_a_name_that_needs_quoting() -> None:
    """The kernel takes almost any name for a link."""
    with pytest.raises(CannotPersist, match="has characters other than letters, digits and"):
        render(tree(), replace(NO_DEFAULT, servicenet=HostLink("eth1\n")))


def test_a_damaged_neighbour_is_left_to_netplan() -> None:
    """Its check finds out whether the boot can do without that file."""
    assert render(tree(zz="network: ["), NO_DEFAULT) == render(tree(), NO_DEFAULT)


def test_the_definition_with_the_address_is_copied() -> None:
    """A distribution's pattern may sort before the one that was meant."""
    glob = "    all: {match: {name: e*}, dhcp4: yes}\n"
    made = ours(tree(SIMPLE + glob))["ethernets"]
    assert {"00-rcnetd-eth1", "all"} == set(made)
    assert ["10.180.1.2/19"] == made["00-rcnetd-eth1"]["addresses"]
    assert "dhcp4" not in made["00-rcnetd-eth1"]
    other = replace(NO_DEFAULT, servicenet=HostLink("eth1", SERVICENET.mac))
    assert "dhcp4" in ours(tree(SIMPLE + glob), other)["ethernets"]["00-rcnetd-eth1"]


def test_patterns_are_of_what_is_read() -> None:
    """The shell gives these files, and no others are asked for."""
    assert ("/lib/netplan/*.yaml", "/etc/netplan/*.yaml", "/run/netplan/*.yaml") == PATTERNS


# Made-up trees


@st.composite
def definitions(draw: st.DrawFn, address: str, gateway: str) -> dict[str, Any]:
    """A link configured in one of many ways."""
    said: dict[str, Any] = {}
    routes = st.sampled_from(
        [
            {"to": "default", "via": gateway},
            {"to": "0.0.0.0/0", "via": gateway, "metric": 5},
            {"to": "default", "via": "fe80::1"},
            {"to": "0.0.0.0/0", "via": gateway, "table": 9},
            {"to": "192.0.2.0/24", "via": gateway},
            {"to": "10.176.0.0/12", "via": gateway, "on-link": True},
        ]
    )
    values: dict[str, st.SearchStrategy[Any]] = {
        "addresses": st.just([address, "2001:db8::1/64"]),
        "gateway4": st.just(gateway),
        "gateway6": st.just("fe80::1"),
        "routes": st.lists(routes, min_size=1, max_size=4),
        "dhcp4": st.booleans(),
        "dhcp4-overrides": st.sampled_from([{"route-metric": 1}, {"use-routes": False}]),
        "nameservers": st.just({"addresses": ["192.0.2.53"], "search": ["a", "b"]}),
        "mtu": st.just(1400),
    }
    for key in draw(st.permutations(sorted(values))):
        if draw(st.booleans()):
            said[key] = draw(values[key])
    return said or {"mtu": 1500}


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """One file or several, in block or flow style, with comments, with either ending of lines."""
    files: dict[str, dict[str, Any]] = {}
    for link, address, gateway in (
        ("eth0", "203.0.113.10/24", "203.0.113.1"),
        ("eth1", "10.180.1.2/19", "10.180.0.1"),
    ):
        for name in draw(st.lists(st.sampled_from("abc"), min_size=1, max_size=2, unique=True)):
            ethernets = files.setdefault(name, {})
            ethernets[link] = json.loads(json.dumps(draw(definitions(address, gateway))))
    made: dict[str, File] = {}
    for name, ethernets in files.items():
        network = {"network": {"version": 2, "ethernets": ethernets}}
        text = yaml.safe_dump(
            network,
            default_flow_style=draw(st.sampled_from([True, False, None])),
            width=draw(st.sampled_from([30, 1000])),
            indent=draw(st.sampled_from([2, 4])),
            sort_keys=False,
        )
        lines = []
        for line in text.removesuffix("\n").split("\n"):
            lines += [line, *draw(st.sampled_from([[], [], [], ["# y: [x"], ["", "  # z"]]))]
        end: str = draw(st.sampled_from(["\n", "\n", "\r\n"]))
        text = end.join(lines) + draw(st.sampled_from([end, ""]))
        made[f"/etc/netplan/{name}.yaml"] = File(text.encode())
    return made


WISHES = st.builds(
    replace,
    st.sampled_from([NO_DEFAULT, DOWN]),
    public_ipv6=st.sampled_from(PublicIPv6),
    onlink=st.booleans(),
    public=st.sampled_from([(PUBLIC,), (PUBLIC, HostLink("eth9"))]),
)


@pytest.mark.long
@examples
@given(trees(), WISHES)
def test_properties(before: Tree, target: Target) -> None:
    """Rendered twice is once; other lines survive; one default wins, ours; all else is said."""
    check(before, target, PATTERNS, render, read_defaults)
    after = applied(before, render(before, target))
    assert set(yaml.safe_load(after[OWN].data)["network"]["ethernets"]) <= {"eth0", "eth1"}
    for path, file in before.items():
        _keeps(yaml.safe_load(file.data), yaml.safe_load(after[path].data), target)


def _keeps(before: Any, after: Any, target: Target) -> None:
    """Nothing is lost but default routes, and with `down` the public link."""
    for link, said in before["network"]["ethernets"].items():
        found = (after["network"].get("ethernets") or {}).get(link) or {}
        if link == "eth0" and target.policy is PublicInterface.DOWN:
            assert found == {}
            continue
        for key, value in said.items():
            if key == "routes":
                kept = [one for one in value if one in found.get("routes", [])]
                gone = [one for one in value if one not in kept]
                assert kept == found.get("routes", [])
                assert all(one["to"] in ("default", "0.0.0.0/0") for one in gone)
                assert not any("table" in one for one in gone)
            elif not key.startswith("gateway"):
                assert found[key] == value


def test_ours_is_the_one_that_wins() -> None:
    """The whole of what a next boot comes up with."""
    after = applied(tree(), render(tree(), NO_DEFAULT))
    assert [DefaultRoute("eth1", GATEWAY, METRIC)] == read_defaults(after)
