"""The NetworkManager renderer, on trees of files kept in the repository and on made-up ones."""

from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcnetd.basic.dataclass import replace
from rcnetd.core.model import METRIC
from rcnetd.core.settings import Backend, PublicInterface, PublicIPv6
from rcnetd.hostconfig import verify
from rcnetd.hostconfig.policy import taken_back
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
from tests.support.trees import (
    GATEWAY,
    HERE,
    PUBLIC,
    SERVICENET,
    cases,
    read_tree,
    target_of,
)

NO_DEFAULT = Target(SERVICENET, GATEWAY, (PUBLIC,))
DOWN = replace(NO_DEFAULT, policy=PublicInterface.DOWN)
DIRECTORY = "/etc/NetworkManager/system-connections"


def tree(**files: str) -> Tree:
    """A tree of profiles that only root may read, by the first part of their names."""
    return {
        f"{DIRECTORY}/{name}.nmconnection": File(text.encode(), 0o600)
        for name, text in files.items()
    }


def golden(path: Path) -> Tree:
    """A tree in the repository, which keeps no modes."""
    return {name: replace(file, mode=0o600) for name, file in read_tree(path).items()}


@pytest.mark.parametrize("policy", PublicInterface)
@pytest.mark.parametrize("case", cases("network_manager"))
def test_a_tree_becomes_the_expected_one(case: str, policy: PublicInterface) -> None:
    """The files are the expected ones, byte by byte, whatever the policy was before."""
    before = golden(HERE / "network_manager" / case / "before")
    target = target_of("network_manager", case, policy)
    after = applied(before, render(before, target))

    assert golden(HERE / "network_manager" / case / f"after-{policy.value}") == after
    assert render(after, target) == {}
    assert verify.check(Backend.NETWORK_MANAGER, after, target) == []
    assert applied(after, taken_back(after)) == before
    for other in PublicInterface:
        there = applied(after, render(after, replace(target, policy=other)))
        assert applied(there, render(there, target)) == after


def refused(before: Tree, target: Target, reason: str) -> None:
    """The refusal is one line that begins with the place."""
    with pytest.raises(CannotPersist) as caught:
        render(before, target)
    assert str(caught.value).startswith(reason)
    assert "\n" not in str(caught.value)


HEAD = "[connection]\nid={0}\ntype=ethernet\ninterface-name={0}\n[ipv4]\nmethod=manual\n"
PUBLIC_FILE = HEAD.format("eth0") + "address1=203.0.113.10/24,203.0.113.1\n"
OWN_FILE = HEAD.format("eth1") + "address1=10.180.1.2/19\n"
BOTH = {"a": PUBLIC_FILE, "b": OWN_FILE}
A, B = f"{DIRECTORY}/a.nmconnection", f"{DIRECTORY}/b.nmconnection"
C = f"{DIRECTORY}/c.nmconnection"
ANY = "[connection]\nid=any\ntype=ethernet\nautoconnect-priority=-9\n[ipv4]\nmethod=auto\n"
OUR_ROUTE = "route{}=0.0.0.0/0,10.180.31.254,1\n"


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, f"{DIRECTORY}: no profile brings eth1 up; add one"),
        ({"a": PUBLIC_FILE}, f"{DIRECTORY}: no profile brings eth1 up"),
        (
            {"b": OWN_FILE.replace("[ipv4]", "autoconnect=0\n[ipv4]")},
            f"{DIRECTORY}: no profile brings eth1 up",
        ),
        (
            {**BOTH, "b": OWN_FILE + "route1\n"},
            f"{DIRECTORY}: no profile brings eth1 up; add one; NetworkManager ignores '{B}': {B}:8:"
            " expected a section or 'key=value' in one; fix it",
        ),
        (
            {"any": ANY.replace("-9", "999")},
            f"{DIRECTORY}/any.nmconnection: configures eth1 and a public link, and no profile can",
        ),
        (
            {**BOTH, "c": OWN_FILE.replace("eth1", "eth2") + "route1=0.0.0.0/0,192.0.2.1,0\n"},
            f"{C}: eth2 would still have a default route of metric 0; remove it",
        ),
    ],
)
def test_refuses(files: dict[str, str], reason: str) -> None:
    """What cannot be done safely is one line with the place."""
    refused(tree(**files), NO_DEFAULT, reason)


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        (
            "/run/NetworkManager/system-connections/netplan-eth1.nmconnection",
            "is netplan's; set 'persist' to 'netplan'",
        ),
        (
            "/run/NetworkManager/system-connections/eth1.nmconnection",
            f"is written again at each boot; configure the link in {DIRECTORY} instead",
        ),
    ],
)
def test_refuses_to_edit_a_profile_in_run(place: str, reason: str) -> None:
    """The program that wrote the profile writes it again."""
    for text in (OWN_FILE, OWN_FILE.replace("/19", "/19,10.180.0.1")):
        before = {A: File(PUBLIC_FILE.encode(), 0o600), place: File(text.encode(), 0o600)}
        refused(before, NO_DEFAULT, f"{place}: {reason}")


def test_refuses_public_routes_without_a_gateway() -> None:
    """Nobody knows the gateway that DHCP will give."""
    before = tree(a=PUBLIC_FILE.replace(",203.0.113.1", ""), b=OWN_FILE)
    target = replace(NO_DEFAULT, public_routes=(IPv4Network("198.51.100.0/24"),))
    refused(before, target, f"{A}: 'public_routes' need the public link's gateway, but none is")


def test_a_profile_of_many_links_leaves_out_the_one_that_stays_down() -> None:
    """A pattern excludes the link; the others keep their profile."""
    path = f"{DIRECTORY}/any.nmconnection"
    data = render(tree(**BOTH, any=ANY), DOWN)[path].data
    assert data is not None
    assert b"[match]\ninterface-name=!eth0;\n" in data


def test_every_profile_of_a_link_that_stays_down_is_stopped() -> None:
    """NetworkManager tries the next one when the first one fails."""
    second = PUBLIC_FILE.replace("[ipv4]", "autoconnect-priority=-3\n[ipv4]")
    changes = render(tree(**BOTH, second=second), DOWN)
    for path in (A, f"{DIRECTORY}/second.nmconnection"):
        data = changes[path].data
        assert data is not None
        assert b"\nautoconnect=false\n" in data


def test_profiles_of_equal_priority_are_all_edited() -> None:
    """NetworkManager takes the one that was active last; any of them has to be right."""
    after = applied(tree(**BOTH, c=OWN_FILE), render(tree(**BOTH, c=OWN_FILE), NO_DEFAULT))
    for path in (B, C):
        assert OUR_ROUTE.format(1) in after[path].data.decode()


def test_a_profile_of_lower_priority_stays_as_it_is() -> None:
    """NetworkManager does not take it."""
    lower = OWN_FILE.replace("[ipv4]", "autoconnect-priority=-1\n[ipv4]")
    assert set(render(tree(**BOTH, c=lower), NO_DEFAULT)) == {A, B}


def test_modes_stay() -> None:
    """A file that root alone may read stays so."""
    before = {path: replace(file, mode=0o400) for path, file in tree(**BOTH).items()}
    after = applied(before, render(before, NO_DEFAULT))
    assert {file.mode for file in after.values()} == {0o400}


@pytest.mark.parametrize(("mode", "uid"), [(0o644, 0), (0o600, 1000)])
def test_a_file_that_network_manager_ignores_stays_ignored(mode: int, uid: int) -> None:
    """It is neither edited nor made readable; the refusal says why it does not count."""
    before = tree(**BOTH)
    before = {**before, B: replace(before[B], mode=mode, uid=uid)}
    refused(before, NO_DEFAULT, f"{DIRECTORY}: no profile brings eth1 up; add one; NetworkManager")
    before = {
        **before,
        C: replace(before[B], mode=mode, uid=uid),
        B: File(OWN_FILE.encode(), 0o600),
    }
    assert C not in render(before, NO_DEFAULT)


def test_a_missing_section_gets_a_method() -> None:
    """NetworkManager rejects a section without one, and assumes `auto` without the section."""
    before = tree(a=PUBLIC_FILE, b="[connection]\ntype=ethernet\ninterface-name=eth1\n")
    data = render(before, NO_DEFAULT)[B].data
    assert data is not None
    assert b"[ipv4]\nmethod=auto\nroute1=0.0.0.0/0,10.180.31.254,1\n" in data


def test_our_route_is_known_without_our_marks() -> None:
    """`nmcli connection modify` keeps our values, but no comments; nothing is written again."""
    without_gateway = PUBLIC_FILE.replace(",203.0.113.1", "")
    assert render(tree(a=without_gateway, b=OWN_FILE + OUR_ROUTE.format(3)), NO_DEFAULT) == {}


def test_an_old_route_of_ours_without_our_marks_goes() -> None:
    """A new gateway leaves no route by the old one."""
    old = OWN_FILE + "route1=0.0.0.0/0,10.180.31.253,1\n"
    after = applied(tree(a=PUBLIC_FILE, b=old), render(tree(a=PUBLIC_FILE, b=old), NO_DEFAULT))
    assert [DefaultRoute("eth1", GATEWAY, METRIC)] == read_defaults(after)


def test_a_vlan_is_not_configured_by_the_profile_of_its_parent() -> None:
    """A VLAN has its parent's MAC address, but needs a profile of its own type."""
    vlan = HostLink("vlan401", SERVICENET.mac, SERVICENET.addresses)
    before = tree(
        a=PUBLIC_FILE,
        b="[connection]\ntype=vlan\ninterface-name=vlan401\n[vlan]\nid=401\n[ipv4]\nmethod=manual\n"
        "address1=10.180.1.2/19\n",
        c="[connection]\ntype=ethernet\n[ethernet]\nmac-address=BC:76:4E:20:6C:5B\n[ipv4]\n"
        "method=disabled\n",
    )
    assert set(render(before, replace(NO_DEFAULT, servicenet=vlan))) == {A, B}


def test_a_link_of_another_kind_needs_a_profile_of_its_type() -> None:
    """The kernel says what kind a link is; a veth pair counts as Ethernet."""
    bond = replace(SERVICENET, kind="bond")
    refused(tree(**BOTH), replace(NO_DEFAULT, servicenet=bond), f"{DIRECTORY}: no profile brings")
    veth = replace(NO_DEFAULT, servicenet=replace(SERVICENET, kind="veth"))
    assert set(render(tree(**BOTH), veth)) == {A, B}


def test_a_copy_takes_no_name_that_is_in_use() -> None:
    """The UUID makes it hide the profile in /usr/lib, whatever its name."""
    vendor = "/usr/lib/NetworkManager/system-connections/a.nmconnection"
    text = OWN_FILE.replace("[ipv4]", "uuid=5f4b0a7e-6f0e-4c7e-9c53-0b8f1a3f1d11\n[ipv4]")
    before = {**tree(a=PUBLIC_FILE), vendor: File(text.encode(), 0o600)}
    assert set(render(before, NO_DEFAULT)) == {A, f"{DIRECTORY}/rcnetd-a.nmconnection"}
    before = {f"{DIRECTORY}/a.nmconnection": File(b"[x]\n", 0o600),
              vendor: File(OWN_FILE.encode(), 0o600)}  # fmt: skip
    refused(before, NO_DEFAULT, f"{vendor}: without 'uuid=' only a file of its name can replace")


def test_numbers_of_any_length_do_no_harm() -> None:
    """Python refuses to convert more than 4300 digits."""
    digits = "9" * 5000
    lines = (
        f"route1=0.0.0.0/{digits},192.0.2.1\nroute2=0.0.0.0/0,192.0.2.1,{digits}\n"
        f"route{digits}=0.0.0.0/0,192.0.2.1\nroute4=0.0.0.0/0,192.0.2.1\nroute-metric={digits}\n"
        f"route4_options=table={digits}\n"
    )
    ipv6 = f"[ipv6]\nmethod=auto\nroute1=::/0,{digits}\n"
    before = {
        **tree(a=PUBLIC_FILE + lines + ipv6, b=OWN_FILE),
        "/etc/NetworkManager/conf.d/9.conf": File(
            f"[connection]\nipv4.route-metric={digits}\n".encode()
        ),
    }
    target = replace(NO_DEFAULT, public_ipv6=PublicIPv6.NO_DEFAULT)
    after = applied(before, render(before, target))
    assert [DefaultRoute("eth1", GATEWAY, METRIC)] == read_defaults(after)


@pytest.mark.parametrize("name", ["a;b", "a b", "a`id`", "$x", "a\nb"])
def test_a_name_that_is_not_a_plain_word_is_refused(name: str) -> None:
    """The kernel allows almost any, but a file gives some characters a meaning."""
    target = replace(NO_DEFAULT, servicenet=HostLink(name, SERVICENET.mac))
    refused(tree(**BOTH), target, f"the name of link {name!r} has characters")


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
def test_a_fitting_profile_of_higher_priority_gets_our_route(words: str, fits: bool) -> None:
    """It is the one that NetworkManager takes."""
    target = replace(NO_DEFAULT, public=())
    text = f"[connection]\ntype=ethernet\nautoconnect-priority=3\n{words}\n[ipv4]\nmethod=auto\n"
    before = tree(a=text, b=OWN_FILE)
    assert {A if fits else B} == set(render(before, target))


def test_reads_defaults_as_they_are() -> None:
    """Static ones and those of DHCP; none of another table, nor of what never connects."""
    before = tree(
        a=PUBLIC_FILE + "address2=203.0.113.11/24,203.0.113.2\n"
        "route-metric=20\nroute1=0.0.0.0/0,203.0.113.3,30\nroute2=0.0.0.0/0,203.0.113.4\n"
        "route2_options=table=9\nroute3=203.0.113.0/0\nroute4=10.0.0.0/8,203.0.113.5\n",
        b=ANY.replace("type=", "interface-name=eth2\ntype="),
        c=ANY.replace("[ipv4]", "autoconnect=false\n[ipv4]"),
        d=ANY + "never-default=true\n",
        e=ANY.replace("ethernet", "wifi"),
        f=PUBLIC_FILE.replace("manual", "disabled"),
        g=ANY.replace("[ipv4]", "[match]\ninterface-name=eth5;!eth6;eth7\n[ipv4]"),
    )
    found = [(item.link, str(item.gateway), item.metric) for item in read_defaults(before)]
    assert [
        ("eth0", "203.0.113.3", 30),
        ("eth0", "None", 20),
        ("eth0", "203.0.113.1", 20),
        ("eth2", "None", 100),
        ("eth5", "None", 100),
        ("eth7", "None", 100),
    ] == found


def test_patterns_are_of_what_is_read() -> None:
    """The shell reads these files, and no others."""
    assert f"{DIRECTORY}/*" in PATTERNS


def test_ours_is_the_one_that_wins() -> None:
    """It is the only default route of the next boot."""
    after = applied(tree(**BOTH), render(tree(**BOTH), NO_DEFAULT))
    assert [DefaultRoute("eth1", GATEWAY, METRIC)] == read_defaults(after)
    assert f"{OFF}address1=203.0.113.10/24,203.0.113.1\n" in after[A].data.decode()


# Made-up trees


@st.composite
def profiles(draw: st.DrawFn, link: str, address: str, gateway: str) -> list[str]:
    """A link configured in one of many ways."""
    first = draw(
        st.sampled_from(
            [
                f"address1={address},{gateway}",
                f"address1={address}",
                f"addresses1={address.replace('/', ';')};{gateway};",
            ]
        )
    )
    options = [
        f"address2={address}",
        f"gateway={gateway}",
        "dns=192.0.2.53;",
        "route-metric=1",
        "never-default=false",
        f"route1=0.0.0.0/0,{gateway},5",
        f"route2=10.176.0.0/12,{gateway}",
        f"routes7=0.0.0.0;0;{gateway};0;",
        "routes7_options=mtu=1400",
        "route8=0.0.0.0/0,,1",
        "route8_options=type=blackhole",
        f"routes=10.208.0.0/12,{gateway}",
        "# y",
        "",
    ]
    chosen = [first, *draw(st.lists(st.sampled_from(options), max_size=8, unique=True))]
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


@pytest.mark.long
@examples
@given(trees(), WISHES)
def test_properties(before: Tree, target: Target) -> None:
    """Rendered twice is once; other lines survive; one default wins, and it is ours."""
    for line in check(before, target, PATTERNS, render, read_defaults):
        assert not any(word in line for word in (b"method", b"# y", b"10.176", b"10.208"))
