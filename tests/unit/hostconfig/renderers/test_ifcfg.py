"""The ifcfg renderer, on trees of files kept in the repository and on made-up ones.

Enterprise Linux has no tool that reads a copy of the files. A second reader judges the results
(`ifcfg_reader.py`).
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcnetd.basic.dataclass import replace
from rcnetd.core.settings import PublicInterface, PublicIPv6
from rcnetd.hostconfig.policy import taken_back
from rcnetd.hostconfig.renderers.ifcfg import PATTERNS, is_read, read_defaults, render
from rcnetd.hostconfig.renderers.marked_edits import OFF, applied
from rcnetd.hostconfig.renderers.model import CannotPersist, File, HostLink, Target, Tree
from tests.support.properties import check, examples
from tests.support.trees import GATEWAY, PUBLIC, SERVICENET, cases, check_golden

NETWORK = "/etc/sysconfig/network"
SCRIPTS = "/etc/sysconfig/network-scripts"
NO_DEFAULT = Target(SERVICENET, GATEWAY, (PUBLIC,))
DOWN = replace(NO_DEFAULT, policy=PublicInterface.DOWN)
ETH0 = "DEVICE=eth0\nBOOTPROTO=none\nIPADDR=203.0.113.10\nPREFIX=24\nGATEWAY=203.0.113.1\n"
ETH1 = "DEVICE=eth1\nBOOTPROTO=none\nIPADDR=10.180.1.2\nPREFIX=19\n"


def tree(**files: str) -> Tree:
    """A tree of `ifcfg_eth0="…"` and so on; `network` is the global file."""
    before = {"ifcfg_eth0": ETH0, "ifcfg_eth1": ETH1, **files}
    return {
        NETWORK if name == "network" else f"{SCRIPTS}/{name.replace('_', '-', 1)}": File(
            text.encode()
        )
        for name, text in before.items()
        if text
    }


def rendered(before: Tree, target: Target = NO_DEFAULT) -> dict[str, str]:
    """The changed files, by their names, after rendering."""
    made = render(before, target)
    after = applied(before, made)
    return {path.rpartition("/")[2]: after[path].data.decode() for path in made}


@pytest.mark.parametrize("policy", PublicInterface)
@pytest.mark.parametrize("case", cases("ifcfg"))
def test_a_tree_becomes_the_expected_one(case: str, policy: PublicInterface) -> None:
    """Byte by byte; and rendered again nothing changes, whatever the policy was before."""
    check_golden("ifcfg", case, policy, render)


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"ifcfg_eth0": "", "ifcfg_eth1": ""}, f"{SCRIPTS}: there are no ifcfg files; if Network"),
        (
            {"ifcfg_eth0": "", "ifcfg_eth1": "", "ifcfg_lo": "DEVICE=lo\n"},
            f"{SCRIPTS}: there are no ifcfg files",
        ),
        ({"ifcfg_eth1": ""}, f"{SCRIPTS}: there is no ifcfg file for eth1"),
        ({"ifcfg_eth1": ETH1 + "ONBOOT=No\n"}, f"{SCRIPTS}/ifcfg-eth1: eth1 is not brought up"),
        ({"rule_eth1": "from all lookup 7\n"}, f"{SCRIPTS}/rule-eth1: NetworkManager does not"),
        ({"rule6_eth1": "from all lookup 7\n"}, f"{SCRIPTS}/rule6-eth1: NetworkManager does"),
        ({"ifcfg_eth0": ETH0 + "NAME='a\nX=b'\n"}, f"{SCRIPTS}/ifcfg-eth0:6: NAME= does not end"),
        ({"ifcfg_eth0": 'A="\\"\n'}, f"{SCRIPTS}/ifcfg-eth0:1: A= does not end"),
        ({"ifcfg_eth0": "A=b\\\n"}, f"{SCRIPTS}/ifcfg-eth0:1: A= does not end"),
        (
            {"ifcfg_eth0": "\nDEVICE=$X\n"},
            f"{SCRIPTS}/ifcfg-eth0:2: DEVICE= has a value that only a shell can tell; write it out",
        ),
        (
            {"ifcfg_eth0": 'DEVICE="`x`"\n'},
            f"{SCRIPTS}/ifcfg-eth0:1: DEVICE= has a value that only a shell can tell",
        ),
        (
            {"ifcfg_eth0": "DEVICE=a b\n"},
            f"{SCRIPTS}/ifcfg-eth0:1: DEVICE= has a value that only a shell can tell",
        ),
        ({"ifcfg_eth0": "\nA=\0\n"}, f"{SCRIPTS}/ifcfg-eth0:2: a NUL byte"),
        ({"ifcfg_eth0": ETH0 + "GATEWAY0=gw\n"}, f"{SCRIPTS}/ifcfg-eth0:6: GATEWAY0=gw is not"),
        (
            {"ifcfg_eth2": "DEVICE=eth2\nBOOTPROTO=dhcp\nIPV4_ROUTE_METRIC=1\n"},
            f"{SCRIPTS}/ifcfg-eth2: eth2 would still have a default route of metric 1",
        ),
    ],
)
def test_refuses(files: dict[str, str], reason: str) -> None:
    """What cannot be done safely is one line with the place."""
    with pytest.raises(CannotPersist) as caught:
        render(tree(**files), NO_DEFAULT)
    assert str(caught.value).startswith(reason)
    assert "\n" not in str(caught.value)


def test_refuses_public_routes_without_a_gateway() -> None:
    """Nobody knows the gateway that DHCP will give."""
    target = replace(NO_DEFAULT, public_routes=(IPv4Network("198.51.100.0/24"),))
    with pytest.raises(CannotPersist, match="'public_routes' need the public link's gateway"):
        render(tree(ifcfg_eth0="DEVICE=eth0\nBOOTPROTO=dhcp\n"), target)


def test_numbers_of_any_length_do_no_harm() -> None:
    """Python refuses to convert more than 4300 digits."""
    digits = "9" * 5000
    before = tree(
        ifcfg_eth0=f"{ETH0}DNS{digits}=192.0.2.53\nGATEWAY{digits}=203.0.113.1\n"
        f"IPV4_ROUTE_METRIC={digits}\n",
        route_eth0=f"default via 203.0.113.1 metric {digits}\n",
        route_eth1=f"ADDRESS0=0.0.0.0\nNETMASK0=0.0.0.0\nMETRIC0={digits}\nADDRESS{digits}=x\n",
    )
    for target in (NO_DEFAULT, DOWN):
        assert "route-eth1" in rendered(before, target)


@pytest.mark.parametrize("value", ["$(hostname)", "`x`", '"$X"', "a b", "a|b"])
def test_what_only_a_shell_can_tell_does_not_matter_elsewhere(value: str) -> None:
    """A key that nothing depends on may have any value."""
    before = tree(ifcfg_eth0=f"{ETH0}DHCP_HOSTNAME={value}\n")
    assert f"\nDHCP_HOSTNAME={value}\n" in rendered(before)["ifcfg-eth0"]


@pytest.mark.parametrize("kept", ["eth1", '"eth1"'])
def test_a_global_device_that_is_servicenet_stays(kept: str) -> None:
    """Only another link's takes the default route away."""
    assert "network" not in rendered(tree(network=f"GATEWAYDEV={kept}\n"))


def test_the_last_of_several_counts() -> None:
    """All of them go, and one comes."""
    dhcp = "DEVICE=eth0\nBOOTPROTO=dhcp\n"
    text = rendered(tree(ifcfg_eth0=f"{dhcp}DEFROUTE=no\nDEFROUTE=yes\n"))["ifcfg-eth0"]
    assert f"{OFF}DEFROUTE=no\n{OFF}DEFROUTE=yes\n" in text
    assert "ifcfg-eth0" not in rendered(tree(ifcfg_eth0=f"{dhcp}DEFROUTE=yes\nDEFROUTE=no\n"))


def test_a_static_profile_needs_no_defroute() -> None:
    """nova-agent would keep it when it writes the gateway again, and there would be no route."""
    assert "DEFROUTE" not in rendered(tree())["ifcfg-eth0"]


def test_a_profile_that_is_written_again_is_edited_again() -> None:
    """nova-agent drops our marks and our route; `revert` then leaves its file as it is."""
    after = applied(tree(), render(tree(), NO_DEFAULT))
    again = {**after, f"{SCRIPTS}/ifcfg-eth0": File(ETH0.encode())}
    assert applied(again, render(again, NO_DEFAULT)) == after
    assert applied(again, taken_back(again)) == tree()


@pytest.mark.parametrize("lines", [
    "10.176.0.0/12 via 10.180.0.1\n0.0.0.0/0 via 10.180.31.254 metric 1 dev eth1\n",
    "ADDRESS0=0.0.0.0\nNETMASK0=0.0.0.0\nGATEWAY0=10.180.31.254\nMETRIC0=1\n",
])  # fmt: skip
def test_our_route_is_known_without_our_marks(lines: str) -> None:
    """`nmcli connection modify` keeps our values, but no comments; nothing is written again."""
    before = tree(ifcfg_eth0=ETH0.replace("GATEWAY", "#"), route_eth1=lines)
    assert rendered(before) == {}


def test_numbered_routes_need_only_what_the_scripts_read() -> None:
    """They read ADDRESSn, NETMASKn and GATEWAYn; each gateway is reachable when it is needed."""
    gateway = IPv4Address("10.200.0.1")
    target = replace(NO_DEFAULT, gateway=gateway, onlink=True)
    lines = "ADDRESS0=10.176.0.0\nNETMASK0=255.240.0.0\nGATEWAY0=10.180.0.1\n"
    text = rendered(tree(route_eth1=lines), target)["route-eth1"]
    values = dict(line.split("=") for line in text.splitlines() if not line.startswith("#"))
    reachable = [IPv4Network("10.180.0.0/19")]
    for number in range(3):
        via = values.get(f"GATEWAY{number}")
        assert via is None or any(IPv4Address(via) in network for network in reachable)
        reachable.append(IPv4Network((values[f"ADDRESS{number}"], values[f"NETMASK{number}"])))
    assert reachable[-1].prefixlen == 0


@pytest.mark.parametrize(
    "profile",
    [
        "HWADDR=BC:76:4E:20:6C:5B\nIPADDR=10.180.1.2\n",
        "NAME=eth1\nIPADDR=10.180.1.2\n",
        "DEVICE=eth1\nHWADDR=00:00:00:00:00:01\nIPADDR=10.180.1.2\n",
    ],
)
def test_profiles_are_found_by_device_mac_and_name(profile: str) -> None:
    """In this order."""
    before = tree(ifcfg_eth1="", ifcfg_private=profile)
    assert set(rendered(before)) == {"ifcfg-eth0", "route-private"}


def test_without_a_known_mac_the_file_s_name_counts() -> None:
    """An HWADDR alone says nothing then."""
    before = tree(ifcfg_eth1="HWADDR=BC:76:4E:20:6C:5B\nIPADDR=10.180.1.2\n")
    assert "route-eth1" in rendered(before, replace(NO_DEFAULT, servicenet=HostLink("eth1")))


def test_moved_name_servers_need_the_resolver_file_to_be_written() -> None:
    """A static profile's PEERDNS=no would keep EL7's scripts from it."""
    before = tree(ifcfg_eth0=f"{ETH0}DNS1=192.0.2.53\nDNS2=2001:db8::53\n",
                  ifcfg_eth1=f"{ETH1}PEERDNS=no\nDNS1=192.0.2.54\nDNS2=192.0.2.55\n")  # fmt: skip
    text = rendered(before, DOWN)["ifcfg-eth1"]
    assert f"{OFF}PEERDNS=no\n" in text
    assert "\nDNS3=192.0.2.53\n" in text
    assert "2001:db8::53" not in text


def test_a_route_of_another_table_stays_in_both_forms() -> None:
    """It competes with nothing."""
    lines = "ADDRESS0=0.0.0.0\nNETMASK0=0.0.0.0\nGATEWAY0=203.0.113.1\nOPTIONS0='table 7'\n"
    assert "route-eth0" not in rendered(tree(route_eth0=lines))
    assert "route-eth0" not in rendered(tree(route_eth0="default via 203.0.113.1 table 7\n"))


def test_patterns_are_of_what_is_read() -> None:
    """The shell reads these files, and no others."""
    kinds = ("ifcfg", "route", "route6", "rule", "rule6")
    assert (
        NETWORK,
        "/etc/sysconfig/static-routes",
        *(f"{SCRIPTS}/{kind}-*" for kind in kinds),
        f"{SCRIPTS}/*.route",
    ) == PATTERNS


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ifcfg-eth0", True),
        ("ifcfg-eth0.rpmsave", True),
        ("ifcfg-eth0.bak", False),
        ("ifcfg-eth0.ORIG", False),
        ("ifcfg-eth0~", False),
        ("route-eth0;5a3c0f1e", False),
        (".eth0.route", False),
    ],
)
def test_names_that_count(name: str, expected: bool) -> None:
    """NetworkManager's plugin ignores backups."""
    assert is_read(f"{SCRIPTS}/{name}") is expected


# Made-up trees

WORDS = st.text("abc-/.#äö", max_size=8).map(lambda text: f"x{text}x")
NOISE = st.one_of(
    st.just(""),
    WORDS.map(lambda text: f"# {text}"),
    WORDS.map(lambda text: f"NAME='{text}'"),
    WORDS.map(lambda text: f'DOMAIN="{text}"  # {text}'),
    st.sampled_from(["TYPE=Ethernet", "USERCTL=no;", "echo hello", "HOTPLUG=$X"]),
)


@st.composite
def quoted(draw: st.DrawFn, key: str, value: str) -> str:
    """An assignment in one of the ways to write it."""
    form = draw(st.sampled_from(["{}={}", '{}="{}"', "{}='{}'", " {}={}  # why", "{}={} ;"]))
    return form.format(key, value)


@st.composite
def profiles(draw: st.DrawFn, link: str, address: str, gateway: str) -> list[str]:
    """Lines of an `ifcfg-` file."""
    lines = [draw(quoted("DEVICE", link))]
    if draw(st.booleans()):
        lines.append(draw(quoted("BOOTPROTO", draw(st.sampled_from(["none", "static", "NONE"])))))
    number = draw(st.sampled_from(["", "0"]))
    lines += [draw(quoted(f"IPADDR{number}", address)), f"PREFIX{number}=24"]
    for key, values in {
        f"GATEWAY{number}": [gateway],
        "DEFROUTE": ["yes", "no", "YES"],
        "ONBOOT": ["yes", "true"],
        "DNS1": ["192.0.2.53", "192.0.2.54"],
        "DNS2": ["192.0.2.55", "2001:db8::53"],
        "PEERDNS": ["yes", "no"],
        "IPV4_ROUTE_METRIC": ["50"],
    }.items():
        if draw(st.booleans()):
            lines.append(draw(quoted(key, draw(st.sampled_from(values)))))
    return [line for item in draw(st.permutations(lines)) for line in (draw(NOISE), item)]


@st.composite
def routes(draw: st.DrawFn, link: str, gateway: str) -> list[str]:
    """Lines of a `route-` file in either form."""
    targets = draw(st.lists(st.sampled_from(["10.176.0.0/12", "0.0.0.0/0", "10.208.0.0/12"])))
    lines = []
    for number, network in enumerate(map(IPv4Network, targets)):
        if link == "eth1":
            lines += [draw(quoted(f"ADDRESS{number}", str(network.network_address))),
                      f"NETMASK{number}={network.netmask}",
                      draw(quoted(f"GATEWAY{number}", gateway))]  # fmt: skip
        else:
            target = "default" if network.prefixlen == 0 else str(network)
            lines.append(f"{target} via {gateway} dev {link}")
    return ["# routes", *lines]


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """Two links, with or without route files and global settings, with either ending of lines."""
    end = draw(st.sampled_from(["\n", "\n", "\r\n"]))
    last = draw(st.sampled_from([end, ""]))
    files = {
        "ifcfg_eth0": draw(profiles("eth0", "203.0.113.10", "203.0.113.1")),
        "ifcfg_eth1": draw(profiles("eth1", "10.180.1.2", "10.180.0.1")),
    }
    links = ["eth0", "eth1"]
    if draw(st.booleans()):
        links.reverse()
    for name, link in zip(("route_eth0", "route_eth1"), links):
        if draw(st.booleans()):
            files[name] = draw(routes(link, "192.0.2.1"))
    if draw(st.booleans()):
        lines = ["NETWORKING=yes", "GATEWAY=203.0.113.1", "GATEWAYDEV=eth0"]
        files["network"] = draw(st.lists(st.sampled_from(lines), unique=True))
    return tree(**{name: end.join(lines) + last for name, lines in files.items()})


WISHES = st.builds(
    replace,
    st.sampled_from([NO_DEFAULT, DOWN]),
    public_ipv6=st.sampled_from(PublicIPv6),
    onlink=st.booleans(),
    public=st.sampled_from([(PUBLIC,), (PUBLIC, HostLink("eth9"))]),
)
MAY_GO = (b"GATEWAY", b"DEFROUTE", b"ONBOOT", b"PEERDNS", b"default", b"ADDRESS", b"NETMASK")


@pytest.mark.long
@examples
@given(trees(), WISHES)
def test_properties(before: Tree, target: Target) -> None:
    """Rendered twice is once; other lines survive; one default wins, and it is ours."""
    for line in check(before, target, PATTERNS, render, read_defaults):
        assert any(word in line for word in MAY_GO)
