"""The NetworkManager renderer, on trees of files kept in the repository and on made-up ones."""

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
from rcnetd.hostconfig.renderers.network_manager import PATTERNS, read_defaults, render
from tests.support.properties import check, examples
from tests.support.trees import GATEWAY, PUBLIC, SERVICENET, cases, check_golden

NO_DEFAULT = Target(SERVICENET, GATEWAY, (PUBLIC,))
DOWN = replace(NO_DEFAULT, policy=PublicInterface.DOWN)
DIRECTORY = "/etc/NetworkManager/system-connections"


def tree(**files: str) -> Tree:
    """A tree of these files, by the first part of their names."""
    return {f"{DIRECTORY}/{name}.nmconnection": File(text.encode()) for name, text in files.items()}


@pytest.mark.parametrize("policy", PublicInterface)
@pytest.mark.parametrize("case", cases("network_manager"))
def test_a_tree_becomes_the_expected_one(case: str, policy: PublicInterface) -> None:
    """Byte by byte; and rendered again nothing changes, whatever the policy was before."""
    check_golden("network_manager", case, policy, render)


def refused(before: Tree, target: Target, reason: str) -> None:
    """It is one line with the place."""
    with pytest.raises(CannotPersist) as caught:
        render(before, target)
    assert str(caught.value).startswith(reason)
    assert "\n" not in str(caught.value)


HEAD = "[connection]\nid={0}\ntype=ethernet\ninterface-name={0}\n[ipv4]\nmethod=manual\n"
PUBLIC_FILE = HEAD.format("eth0") + "address1=203.0.113.10/24,203.0.113.1\n"
OWN_FILE = HEAD.format("eth1") + "address1=10.180.1.2/19\n"
BOTH = {"a": PUBLIC_FILE, "b": OWN_FILE}
A, B = f"{DIRECTORY}/a.nmconnection", f"{DIRECTORY}/b.nmconnection"
ANY = "[connection]\nid=any\ntype=ethernet\nautoconnect-priority=-9\n[ipv4]\nmethod=auto\n"


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, f"{DIRECTORY}: no profile brings eth1 up"),
        ({"a": PUBLIC_FILE}, f"{DIRECTORY}: no profile brings eth1 up"),
        ({"b": OWN_FILE.replace("[ipv4]", "autoconnect=no\n[ipv4]")}, f"{DIRECTORY}: no profile"),
        ({"a": "[connection\n"}, f"{A}:1: '[connection' is no section; mend it"),
        ({"a": "x=y\n"}, f"{A}:1: is in no section"),
        ({"a": "[x]\ny\n"}, f"{A}:2: is in no section, or no 'key=value'; mend it"),
        ({"x": OWN_FILE, **BOTH}, f"{B}: '{DIRECTORY}/x.nmconnection' is for eth1 too"),
        ({"any": ANY}, f"{DIRECTORY}/any.nmconnection: is for eth1 and a public interface"),
        ({**BOTH, "a": PUBLIC_FILE + "gateway=gw\n"}, f"{A}:8: 'gw' is not an address"),
        ({**BOTH, "b": OWN_FILE + "route1=0.0.0.0/0,10.180.0.1,x\n"}, f"{B}:8: 'x' is not a metri"),
        (
            {**BOTH, "c": OWN_FILE.replace("eth1", "eth2") + "route1=0.0.0.0/0,192.0.2.1,0\n"},
            f"{DIRECTORY}/c.nmconnection: eth2 would have a default route of metric 0 still",
        ),
    ],
)
def test_refuses(files: dict[str, str], reason: str) -> None:
    """What cannot be done safely is one line with the place."""
    if "not a metric" in reason or "'x'" in reason:
        with pytest.raises(CannotPersist) as caught:
            read_defaults(tree(**files))
        assert str(caught.value).startswith(reason)
        return
    refused(tree(**files), NO_DEFAULT, reason)


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("/run/NetworkManager/system-connections/netplan-eth1", "is netplan's"),
        ("/run/NetworkManager/system-connections/eth1.nmconnection", "is made anew"),
    ],
)
def test_refuses_to_edit_what_is_not_ours_to_edit(place: str, reason: str) -> None:
    """A profile that is only in /run is somebody's who makes it again."""
    before = {A: File(PUBLIC_FILE.encode()), place: File(OWN_FILE.encode())}
    refused(before, NO_DEFAULT, f"{place}: {reason}")
    gateway = OWN_FILE.replace("/19", "/19,10.180.0.1")
    refused({**before, place: File(gateway.encode())}, NO_DEFAULT, f"{place}:7: is not in")


def test_refuses_public_routes_without_a_gateway() -> None:
    """Nobody knows the gateway of DHCP beforehand."""
    before = tree(a=PUBLIC_FILE.replace(",203.0.113.1", ""), b=OWN_FILE)
    target = replace(NO_DEFAULT, public_routes=(IPv4Network("198.51.100.0/24"),))
    refused(before, target, f"{A}: public_routes need the public link's old gateway")


def test_refuses_to_keep_down_what_a_profile_of_all_brings_up() -> None:
    """It cannot be told to leave one out."""
    refused(tree(**BOTH, any=ANY), DOWN, f"{DIRECTORY}/any.nmconnection: would bring eth0 up")


def test_every_profile_of_a_public_interface_that_is_to_be_down_stops() -> None:
    """Also the next best."""
    second = PUBLIC_FILE.replace("[ipv4]", "autoconnect-priority=-3\n[ipv4]")
    changes = render(tree(**BOTH, second=second), DOWN)
    for path in (A, f"{DIRECTORY}/second.nmconnection"):
        data = changes[path].data
        assert data is not None
        assert b"\nautoconnect=false\n" in data


def test_files_are_for_root_alone() -> None:
    """NetworkManager ignores others."""
    assert {0o600} == {change.mode for change in render(tree(**BOTH), NO_DEFAULT).values()}


def test_sections_that_are_not_there_are_added() -> None:
    """At the end."""
    before = tree(a=PUBLIC_FILE, b="[connection]\ntype=ethernet\ninterface-name=eth1\n")
    data = render(before, NO_DEFAULT)[B].data
    assert data is not None
    assert b"[ipv4]\nroute1=0.0.0.0/0,10.180.31.254,1\n" in data


@pytest.mark.parametrize(
    ("words", "fits"),
    [
        ("interface-name=eth1", True),
        ("interface-name=eth10", False),
        ("[ethernet]\nmac-address=BC:76:4E:20:6C:5B", True),
        ("[ethernet]\nmac-address=BC:76:4E:20:6C:50", False),
        ("interface-name=eth0\n[ethernet]\nmac-address=BC:76:4E:20:6C:5B", False),
        ("[match]\ninterface-name=eth0;eth1", True),
        ("[match]\ninterface-name=wl*", False),
        ("x=y", True),
    ],
)
def test_matches_as_network_manager_does(words: str, fits: bool) -> None:
    """A profile that fits, of a higher priority, is the one that gets our route."""
    target = replace(NO_DEFAULT, public=())
    text = f"[connection]\ntype=ethernet\nautoconnect-priority=3\n{words}\n[ipv4]\nmethod=manual\n"
    before = tree(a=text, b=OWN_FILE)
    assert {A if fits else B} == set(render(before, target))


def test_reads_defaults_as_they_are() -> None:
    """Before rendering: static ones, by DHCP; not of another table, nor what never connects."""
    before = tree(
        a=PUBLIC_FILE + "addresses=203.0.113.11/24,203.0.113.2;203.0.113.12/24;\n"
        "route-metric=20\nroute1=0.0.0.0/0,203.0.113.3,30\nroute2=0.0.0.0/0,203.0.113.4\n"
        "route2_options=table=9\nroute3=0.0.0.0/0\nroute4=10.0.0.0/8,203.0.113.5\n",
        b=ANY.replace("type=", "interface-name=eth2\ntype="),
        c=ANY.replace("[ipv4]", "autoconnect=false\n[ipv4]"),
        d=ANY + "never-default=true\n",
        e=ANY.replace("ethernet", "wifi"),
        f=PUBLIC_FILE.replace("manual", "disabled"),
    )
    found = [(item.link, str(item.gateway), item.metric) for item in read_defaults(before)]
    assert [
        ("eth0", "203.0.113.1", 20),
        ("eth0", "203.0.113.2", 20),
        ("eth0", "203.0.113.3", 30),
        ("eth0", "None", 20),
        ("eth2", "None", 100),
    ] == found


def test_patterns_are_of_what_is_read() -> None:
    """The shell gives these files, and no others are asked for."""
    assert f"{DIRECTORY}/*" in PATTERNS


def test_ours_is_the_one_that_wins() -> None:
    """The whole of what a next boot comes up with."""
    after = applied(tree(**BOTH), render(tree(**BOTH), NO_DEFAULT))
    assert [DefaultRoute("eth1", GATEWAY, METRIC)] == read_defaults(after)
    assert f"{OFF}address1=203.0.113.10/24,203.0.113.1\n" in after[A].data.decode()


# Made-up trees


@st.composite
def profiles(draw: st.DrawFn, link: str, address: str, gateway: str) -> list[str]:
    """A link configured in one of many ways."""
    options = [
        f"address1={address},{gateway}",
        f"address2={address}",
        f"gateway={gateway}",
        "dns=192.0.2.53;",
        "route-metric=1",
        "never-default=false",
        f"route1=0.0.0.0/0,{gateway},5",
        f"route1=10.176.0.0/12,{gateway}",
        f"route7=0.0.0.0/0,{gateway}",
        "route7_options=mtu=1400",
        f"routes=10.208.0.0/12,{gateway}",
        "# y",
        "",
    ]
    chosen = draw(st.lists(st.sampled_from(options), max_size=8, unique=True))
    ipv4 = ["[ipv4]", f"method={draw(st.sampled_from(['manual', 'auto']))}", *chosen]
    connection = ["[connection]", f"id={link}", "type=ethernet", f"interface-name={link}"]
    ipv6 = ["[ipv6]", "method=manual", "address1=2001:db8::2/64,fe80::1", "route1=::/0,fe80::2"]
    return [line for part in draw(st.permutations([connection, ipv4, ipv6])) for line in part]


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """Two links, with or without a last newline."""
    made = {}
    for link, address, gateway in (
        ("eth0", "203.0.113.10/24", "203.0.113.1"),
        ("eth1", "10.180.1.2/19", "10.180.0.1"),
    ):
        text = "\n".join(draw(profiles(link, address, gateway))) + draw(st.sampled_from(["\n", ""]))
        made[f"{DIRECTORY}/{link}"] = File(text.encode(), 0o600)
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
        assert not any(word in line for word in (b"method", b"# y", b"10.176", b"10.208"))
