"""The networkd renderer, on trees of files kept in the repository and on made-up ones."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcnetd.basic.dataclass import replace
from rcnetd.core.model import METRIC
from rcnetd.core.settings import PublicInterface, PublicIPv6
from rcnetd.hostconfig.renderers.marked_edits import OFF, applied
from rcnetd.hostconfig.renderers.model import (
    CannotPersist,
    DefaultRoute,
    File,
    HostLink,
    Target,
    Tree,
)
from rcnetd.hostconfig.renderers.networkd import PATTERNS, read_defaults, render
from tests.support.properties import check, examples
from tests.support.trees import (
    GATEWAY,
    HERE,
    PUBLIC,
    SERVICENET,
    cases,
    contents,
    read_tree,
    target_of,
)

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
    before = read_tree(HERE / "networkd" / case / "before")
    target = target_of("networkd", case, policy)
    after = applied(before, render(before, target))

    assert contents(read_tree(HERE / "networkd" / case / f"after-{policy.value}")) == contents(
        after
    )
    assert render(after, target) == {}
    for other in PublicInterface:
        there = applied(after, render(after, replace(target, policy=other)))
        assert contents(applied(there, render(there, target))) == contents(after)


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
        ({}, f"{DIRECTORY}: nothing configures eth1"),
        ({"a": PUBLIC_FILE}, f"{DIRECTORY}: nothing configures eth1"),
        ({"a": "[Match\n"}, f"{A}:1: '[Match' is no section; mend it"),
        ({"b": OWN_FILE + "[Link]\nUnmanaged=yes\n"}, f"{B}: leaves eth1 unmanaged"),
        ({**BOTH, "a": "[Match]\nName=e*\n"}, f"{A}: configures eth1 and a public interface"),
        ({**BOTH, "a": "[Match]\nDriver=virtio\n"}, f"{A}:2: only networkd can tell whether 'Driv"),
        ({**BOTH, "a": PUBLIC_FILE + "Gateway=gw\n"}, f"{A}:6: 'gw' is not an address"),
        (
            {**BOTH, "b": OWN_FILE + "[Route]\nGateway=x\nDestination=0.0.0.0/0\n"},
            f"{B}:5: 'x' is not an address",
        ),
        (
            {**BOTH, "c": "[Match]\nName=eth2\n[Route]\nGateway=192.0.2.1\nMetric=x\n"},
            f"{DIRECTORY}/c.network:3: 'x' is not a metric",
        ),
        (
            {**BOTH, "c": "[Match]\nName=eth2\n[Network]\nGateway=192.0.2.1\n"},
            f"{DIRECTORY}/c.network: eth2 would have a default route of metric 0 still",
        ),
    ],
)
def test_refuses(files: dict[str, str], reason: str) -> None:
    """What cannot be done safely is one line with the place."""
    refused(tree(**files), NO_DEFAULT, reason)


@pytest.mark.parametrize(
    ("place", "reason"),
    [("/run/systemd/network", "is made anew"), ("/usr/lib/systemd/network", "is a package's")],
)
def test_refuses_to_edit_what_is_not_ours_to_edit(place: str, reason: str) -> None:
    """Ours goes beside it; a route in it cannot be taken back from there."""
    path = f"{place}/a.network"
    before = {path: File(PUBLIC_FILE.encode()), B: File(OWN_FILE.encode())}
    refused(before, NO_DEFAULT, f"{path}:5: {reason}")
    assert {f"{DIRECTORY}/{name}.network.d/zz-rcnetd.conf" for name in "ab"} == set(
        render(before, DOWN)
    )


def test_refuses_public_routes_without_a_gateway() -> None:
    """Nobody knows the gateway of DHCP beforehand."""
    before = tree(a="[Match]\nName=eth0\n[Network]\nDHCP=yes\n", b=OWN_FILE)
    target = replace(NO_DEFAULT, public_routes=(IPv4Network("198.51.100.0/24"),))
    refused(before, target, f"{A}: public_routes need the public link's old gateway")


def test_a_public_interface_that_is_not_configured_stays_so() -> None:
    """There is nothing to be done for it."""
    for target in (NO_DEFAULT, DOWN):
        assert {f"{B}.d/zz-rcnetd.conf"} == set(render(tree(b=OWN_FILE), target))


@pytest.mark.parametrize(
    ("match", "fits"),
    [
        ("Name=eth1", True),
        ("Name=eth0 eth*", True),
        ("Name=eth0", False),
        ("Name=!eth0", True),
        ("Name=!eth0 eth1", False),
        ("Name=eth0\nName=\nName=eth1", True),
        ("Name=eth0\nName=eth1", True),
        ("MACAddress=00:00:00:00:00:01 BC-76-4E-20-6C-5B", True),
        ("MACAddress=00:00:00:00:00:01", False),
        ("Type=ether\nName=e*", True),
        ("Type=wlan", False),
        ("Driver=x\nName=eth0", False),
        ("Name=", True),
        ("", True),
    ],
)
def test_matches_as_networkd_does(match: str, fits: bool) -> None:
    """A unit that fits is the one that gets our drop-in."""
    target = replace(NO_DEFAULT, public=())
    before = tree(a=f"[Match]\n{match}\n[Network]\nAddress=10.180.1.2/19\n", z=OWN_FILE)
    name = "a" if fits else "z"
    assert {f"{DIRECTORY}/{name}.network.d/zz-rcnetd.conf"} == set(render(before, target))


def test_reads_defaults_as_they_are() -> None:
    """Before rendering: static ones, by DHCP; not of another table, another type, or unmanaged."""
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
        ("00:00:00:00:00:01", "None", 70),
        ("eth2", "None", 1024),
    ] == found


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


@examples
@given(trees(), WISHES)
def test_properties(before: Tree, target: Target) -> None:
    """Rendered twice is once; other lines survive; one default wins, and it is ours."""
    for line in check(before, target, PATTERNS, render, read_defaults):
        assert not any(word in line for word in (b"Address", b"DNS", b"# y", b"10.176", b"Table"))
