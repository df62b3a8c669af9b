"""The networkd renderer, on trees of files kept in the repository and on made-up ones."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest
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
from rcnetd.hostconfig.renderers.networkd import PATTERNS, read_defaults, read_defaults_of, render
from tests.support.properties import check, examples
from tests.support.trees import GATEWAY, PUBLIC, SERVICENET, cases, check_golden

NO_DEFAULT = Target(SERVICENET, GATEWAY, (PUBLIC,))
DOWN = replace(NO_DEFAULT, policy=PublicInterface.DOWN)
DIRECTORY = "/etc/systemd/network"


def tree(**files: str) -> Tree:
    """A tree of these files, by the first part of their names."""
    return {f"{DIRECTORY}/{name}.network": File(text.encode()) for name, text in files.items()}


@pytest.mark.parametrize("policy", PublicInterface)
@pytest.mark.parametrize("case", cases("networkd"))
def test_a_tree_becomes_the_expected_one(case: str, policy: PublicInterface) -> None:
    """Byte by byte; and rendered again nothing changes, whatever the policy was before."""
    check_golden("networkd", case, policy, render)


def refused(before: Tree, target: Target, reason: str) -> None:
    """It is one line with the place."""
    with pytest.raises(CannotPersist) as caught:
        render(before, target)
    assert str(caught.value).startswith(reason)
    assert "\n" not in str(caught.value)


PUBLIC_FILE = "[Match]\nName=eth0\n[Network]\nAddress=203.0.113.10/24\nGateway=203.0.113.1\n"
OWN_FILE = "[Match]\nName=eth1\n[Network]\nAddress=10.180.1.2/19\n"
BOTH = {"a": PUBLIC_FILE, "b": OWN_FILE}
A, B = f"{DIRECTORY}/a.network", f"{DIRECTORY}/b.network"


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, f"{DIRECTORY}: no file configures eth1; add a .network file there"),
        ({"a": PUBLIC_FILE}, f"{DIRECTORY}: no file configures eth1"),
        (
            {"b": "[Network]\nDHCP=yes\n", "m": "\n"},
            f"{DIRECTORY}: no file configures eth1; add a .network file there;"
            f" {B} is damaged or has no valid [Match]",
        ),
        ({"b": OWN_FILE + "[Link]\nUnmanaged=yes\n"}, f"{B}: sets Unmanaged=yes for eth1"),
        ({"0": "[Match]\nName=e*\n"}, f"{DIRECTORY}/0.network: configures eth1 and other links"),
        ({**BOTH, "a": "[Match]\nDriver=virtio\n"}, f"{A}:2: only networkd can tell whether 'Driv"),
        (
            {**BOTH, "c": "[Match]\nName=eth2\n[Network]\nGateway=192.0.2.1\n"},
            f"{DIRECTORY}/c.network: eth2 would still have a default route of metric 0",
        ),
    ],
)
def test_refuses(files: dict[str, str], reason: str) -> None:
    """What cannot be done safely is one line with the place."""
    refused(tree(**files), NO_DEFAULT, reason)


def test_a_package_s_file_is_replaced_by_an_edited_copy() -> None:
    """It has the same name, so that networkd reads it instead; so has one of a drop-in."""
    vendor = "/usr/lib/systemd/network"
    drop_in = "[Route]\nGateway=203.0.113.2\n"
    before = {
        f"{vendor}/a.network": File(PUBLIC_FILE.encode()),
        f"{vendor}/a.network.d/b.conf": File(drop_in.encode()),
        B: File(OWN_FILE.encode()),
    }
    made = render(before, NO_DEFAULT)
    assert {A, f"{A}.d/b.conf", f"{B}.d/zz-rcnetd.conf"} == set(made)
    for path, text in ((A, PUBLIC_FILE), (f"{A}.d/b.conf", drop_in)):
        data = made[path].data
        assert data is not None
        assert data.decode().replace(OFF, "") == f"{HEADER}\n{text}"
    assert [DefaultRoute("eth1", GATEWAY, METRIC)] == read_defaults(applied(before, made))
    assert {} == render(applied(before, made), NO_DEFAULT)
    assert {f"{one}.d/zz-rcnetd.conf" for one in (A, B)} == set(render(before, DOWN))


def test_refuses_to_edit_what_is_generated() -> None:
    """A file of /run would be as before at the next boot; to keep a link down, it can stay."""
    path = "/run/systemd/network/a.network"
    before = {path: File(PUBLIC_FILE.encode()), B: File(OWN_FILE.encode())}
    refused(before, NO_DEFAULT, f"{path}:5: this file is generated at each boot")
    assert {f"{one}.d/zz-rcnetd.conf" for one in (A, B)} == set(render(before, DOWN))


def test_refuses_public_routes_without_a_gateway() -> None:
    """Nobody knows the gateway of DHCP beforehand."""
    before = tree(a="[Match]\nName=eth0\n[Network]\nDHCP=yes\n", b=OWN_FILE)
    target = replace(NO_DEFAULT, public_routes=(IPv4Network("198.51.100.0/24"),))
    refused(before, target, f"{A}: 'public_routes' need the public link's gateway")


def test_a_public_interface_that_is_not_configured_stays_so() -> None:
    """There is nothing to be done for it."""
    for target in (NO_DEFAULT, DOWN):
        assert {f"{B}.d/zz-rcnetd.conf"} == set(render(tree(b=OWN_FILE), target))


def test_refuses_a_name_that_needs_quoting() -> None:
    """The kernel takes almost any name for a link."""
    for name in ("a`id`", "a b", "eth0;", "e\n"):
        with pytest.raises(CannotPersist, match="has characters other than letters, digits and"):
            render(tree(**BOTH), replace(NO_DEFAULT, public=(HostLink(name),)))


def test_a_file_for_both_links_is_copied_for_servicenet() -> None:
    """The copy sorts first; it has all but [Match] and the default routes."""
    text = (
        "[Match]\nName=eth*\n[Network]\nGateway=10.180.0.1\nLLDP=yes\n[Route]\nGateway=10.180.0.2\n"
    )
    made = render(tree(b=text), NO_DEFAULT)
    copy = made[f"{DIRECTORY}/00-rcnetd-eth1.network"].data
    assert copy is not None
    lines = copy.decode().split("\n")
    assert ["[Match]", "Name=eth1", "", "[Network]", "LLDP=yes", ""] == lines[1:7]
    assert b"10.180.0." not in copy
    after = applied(tree(b=text), made)
    assert [DefaultRoute("eth1", GATEWAY, METRIC)] == read_defaults_of(after, (SERVICENET, PUBLIC))


def test_a_losing_default_that_leads_nowhere_stays() -> None:
    """It is what remains when our route is gone; one that would win goes."""
    route = "[Route]\nDestination=0.0.0.0/0\nType=unreachable\nMetric={}\n"
    for metric, stays in ((1, False), (2, True)):
        before = tree(a=PUBLIC_FILE + route.format(metric), b=OWN_FILE)
        assert stays is (
            f"\nMetric={metric}".encode() in applied(before, render(before, NO_DEFAULT))[A].data
        )


def test_with_the_public_link_down_servicenet_is_what_online_waits_for() -> None:
    """Without any other link wait-online would wait for nothing until it times out."""
    before = tree(a=PUBLIC_FILE, b=OWN_FILE + "[Link]\nRequiredForOnline=no\n")
    for target, times in ((DOWN, 1), (NO_DEFAULT, 0)):
        data = render(before, target)[f"{B}.d/zz-rcnetd.conf"].data
        assert data is not None
        assert times == data.count(b"[Link]\nRequiredForOnline=yes\n")


def test_patterns_are_of_what_is_read() -> None:
    """The shell gives these files, and no others are asked for."""
    assert f"{DIRECTORY}/*.network" in PATTERNS
    assert f"{DIRECTORY}/*.network.d/*.conf" in PATTERNS


def test_ours_is_the_one_that_wins() -> None:
    """The whole of what a next boot comes up with."""
    after = applied(tree(**BOTH), render(tree(**BOTH), NO_DEFAULT))
    assert [DefaultRoute("eth1", GATEWAY, METRIC)] == read_defaults(after)
    assert f"{OFF}Gateway=203.0.113.1\n" in after[A].data.decode()


# Made-up trees


@st.composite
def units(draw: st.DrawFn, link: str, address: str, gateway: str) -> list[str]:
    """A link configured in one of many ways."""
    parts = [
        ["[Network]", f"Address={address}", "DNS=192.0.2.53"],
        ["[Network]", f"Gateway={gateway}"],
        ["[Network]", "DHCP=yes"],
        ["[Network]", "Gateway=fe80::1", "Gateway=", f"Gateway=\\\n  {gateway}"],
        ["[DHCPv4]", "RouteMetric=1"],
        ["[Route]", f"Gateway={gateway}", "# a comment", "Metric=7"],
        ["[Route]", "Destination=0.0.0.0/0", "Gateway=fe80::1"],
        ["[Route]", "Destination=10.176.0.0/12", f"Gateway={gateway}"],
        ["[Route]", f"Gateway={gateway}", "Table=9"],
        ["; [Route]", f"#Gateway={gateway}"],
    ]
    chosen = draw(st.lists(st.sampled_from([p for p in parts if "::1" not in p[-1]]), max_size=6))
    lines = ["[Match]", draw(st.sampled_from([f"Name={link}", f"Name=x* {link}"]))]
    for part in chosen:
        lines += [*draw(st.sampled_from([[], [""], ["# y"]])), *part]
    return lines


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """Two links, with or without drop-ins, with either ending of lines."""
    made = {}
    for link, address, gateway in (
        ("eth0", "203.0.113.10/24", "203.0.113.1"),
        ("eth1", "10.180.1.2/19", "10.180.0.1"),
    ):
        lines = draw(units(link, address, gateway))
        end = draw(st.sampled_from(["\n", "\n", "\r\n"]))
        last = draw(st.sampled_from([end, ""]))
        split = draw(st.sampled_from([len(lines), 2]))
        rest = lines[split:]
        if not rest or not rest[0].startswith("["):
            split, rest = len(lines), []
        path = f"{DIRECTORY}/{link}.network"
        made[path] = File((end.join("\n".join(lines[:split]).split("\n")) + last).encode())
        if rest:
            text = end.join("\n".join(rest).split("\n")) + last
            made[f"{path}.d/more.conf"] = File(text.encode())
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
    """Rendered twice is once; other lines survive; one default wins, and it is ours."""
    links = (target.servicenet, *target.public)
    for line in check(
        before, target, PATTERNS, render, lambda files: read_defaults_of(files, links)
    ):
        assert not any(word in line for word in (b"Address", b"DNS", b"# y", b"10.176", b"Table"))
