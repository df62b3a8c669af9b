"""The ifupdown renderer, on trees of files kept in the repository and on made-up ones."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcnetd.basic.dataclass import replace
from rcnetd.core.model import METRIC
from rcnetd.core.settings import PublicInterface, PublicIPv6
from rcnetd.hostconfig.renderers.ifupdown import PATTERNS, query_name, read_defaults, render
from rcnetd.hostconfig.renderers.marked_edits import BEGIN, OFF, applied
from rcnetd.hostconfig.renderers.model import (
    CannotPersist,
    DefaultRoute,
    File,
    HostLink,
    Target,
    Tree,
)
from tests.support.properties import check, examples
from tests.support.trees import GATEWAY, PUBLIC, SERVICENET, cases, check_golden

MAIN = "/etc/network/interfaces"
DIRECTORY = f"{MAIN}.d"
NO_DEFAULT = Target(SERVICENET, GATEWAY, (PUBLIC,))
DOWN = replace(NO_DEFAULT, policy=PublicInterface.DOWN)
OURS = DefaultRoute("eth1", GATEWAY, METRIC)
SIMPLE = """\
auto eth0 eth1
iface eth0 inet static
    address 203.0.113.10/24
    gateway 203.0.113.1
iface eth1 inet static
    address 10.180.1.2/19
"""


def tree(main: str, **files: str) -> Tree:
    """A tree of `interfaces` and files beside it in `interfaces.d`."""
    beside = {f"{DIRECTORY}/{name}": File(text.encode()) for name, text in files.items()}
    return {MAIN: File(main.encode()), **beside}


def rendered(before: Tree, target: Target = NO_DEFAULT) -> str:
    """All files after rendering, as one text."""
    after = applied(before, render(before, target))
    return "".join(after[path].data.decode() for path in sorted(after))


@pytest.mark.parametrize("policy", PublicInterface)
@pytest.mark.parametrize("case", cases("ifupdown"))
def test_a_tree_becomes_the_expected_one(case: str, policy: PublicInterface) -> None:
    """Byte by byte; and rendered again nothing changes, whatever the policy was before."""
    check_golden("ifupdown", case, policy, render)


@pytest.mark.parametrize(
    ("main", "files", "reason"),
    [
        ("iface eth1 inet static\n  address 10.180.1.2/19\n", {}, f"{MAIN}: eth1 is not"),
        ("auto eth1\n", {}, f"{MAIN}: eth1 is not configured and brought up at boot"),
        ("address 10.0.0.1\n", {}, f"{MAIN}:1: 'address' is in no stanza"),
        ("auto eth1\n\naddress 10.0.0.1\n", {}, f"{MAIN}:3: 'address' is in no stanza"),
        ("iface eth1 inet static x\n", {}, f"{MAIN}:1: no ifupdown understands this 'iface' line"),
        ("iface eth1 decnet static\n", {}, f"{MAIN}:1: no ifupdown understands"),
        ("iface eth1 inet static inherits x\n", {}, f"{MAIN}:1: inherits 'x', which is not"),
        ("iface eth1 inet static\n address\n", {}, f"{MAIN}:2: 'address' has no value"),
        ("iface eth1 inet manual\n up foo\\", {}, f"{MAIN}:2: the file ends with a backslash"),
        ("# ok\nauto eth1\0\n", {}, f"{MAIN}:2: a NUL byte"),
        ("source $HOME/interfaces\n", {}, f"{MAIN}:1: only a shell can tell what '$HOME"),
        ("source /etc/net.cfg\n", {}, f"{MAIN}:1: sources '/etc/net.cfg', and rcnetd"),
        ("source interfaces.d/*\n", {"a": "\niface x y\n"}, f"{DIRECTORY}/a:2: no ifupdown"),
        (SIMPLE + "mapping eth*\n  script /bin/x\n", {}, f"{MAIN}:7: a script decides how eth1 is"),
        (SIMPLE + "mapping eth9\n  gateway 1\n", {}, f"{MAIN}:8: 'gateway' is in no stanza"),
        (SIMPLE + "auto eth1=x\niface x inet manual\n", {}, f"{MAIN}:8: eth1 comes up under"),
        (SIMPLE.replace("203.0.113.1\n", "gw\n"), {}, f"{MAIN}:4: 'gw' is not an address"),
        (SIMPLE.replace("static", "dhcp\n metric x", 1), {}, f"{MAIN}:3: 'x' is not a metric"),
        (
            SIMPLE + "  up sh -c 'ip route add default via 10.180.0.1'\n",
            {},
            f"{MAIN}:7: only a shell can tell what this line does with the default route",
        ),
        (
            SIMPLE + "auto eth2\niface eth2 inet static\n gateway 192.0.2.1\n",
            {},
            f"{MAIN}: eth2 would still have a default route of metric 0",
        ),
        (
            SIMPLE.replace("eth0 inet", "x inet") + "auto eth2\n"
            "iface eth0 inet static inherits x\niface eth2 inet static inherits x\n",
            {},
            f"{MAIN}:4: eth2 inherits this line too",
        ),
        (f"{BEGIN}\n", {}, f"{MAIN}:1: '{BEGIN}' without"),
    ],
)  # fmt: skip
def test_refuses(main: str, files: dict[str, str], reason: str) -> None:
    """What cannot be done safely is one line with the place."""
    with pytest.raises(CannotPersist) as caught:
        render(tree(main, **files), NO_DEFAULT)
    assert str(caught.value).startswith(reason)
    assert "\n" not in str(caught.value)


def test_refuses_where_there_is_nothing() -> None:
    """No `interfaces`: ifupdown configures nothing here."""
    with pytest.raises(CannotPersist, match="there is no /etc/network/interfaces"):
        render({}, NO_DEFAULT)


@pytest.mark.parametrize(
    "word", ["all", "/eth*", "mac/BC:76:*", "mac/bc:76:4e:20:6c:5a=eth0", "speed/1"]
)
def test_refuses_to_keep_a_pattern_down(word: str) -> None:
    """A pattern that is the public link's too cannot lose it."""
    before = tree(SIMPLE.replace("auto eth0", f"auto {word}"))
    with pytest.raises(CannotPersist, match=f"{MAIN}:1: '.*' matches eth0 too"):
        render(before, DOWN)


def test_a_pattern_of_others_stays() -> None:
    """A pattern that is not the public link's is left as it is."""
    before = tree(SIMPLE + "auto /wlan* mac/00:*=x\n")
    assert "\nauto /wlan* mac/00:*=x\n" in rendered(before, DOWN)


def test_refuses_public_routes_without_a_gateway() -> None:
    """Nobody knows the gateway of DHCP beforehand."""
    before = tree(SIMPLE.replace("    gateway 203.0.113.1\n", ""))
    target = replace(NO_DEFAULT, public_routes=(IPv4Network("198.51.100.0/24"),))
    with pytest.raises(CannotPersist, match="'public_routes' need the public link's gateway"):
        render(before, target)


def test_refuses_to_edit_what_is_made_at_boot() -> None:
    """A fragment in /run would be as before at the next boot."""
    run = "/run/network/interfaces.d/eth0"
    before = {
        **tree(f"source-directory /run/network/interfaces.d\n{SIMPLE}"),
        run: File(b"iface eth0 inet static\n address 203.0.113.11/24\n gateway 203.0.113.1\n"),
    }
    with pytest.raises(CannotPersist, match=f"{run}:3: this file is created at each boot"):
        render(before, NO_DEFAULT)


@pytest.mark.parametrize(
    ("sources", "name"),
    [
        ("source /etc/network/interfaces.d/*", "zz-rcnetd"),
        ("source /etc/network/interfaces.d/*.cfg", "zz-rcnetd.cfg"),
        (
            "source /etc/network/interfaces.d/z?\nsource /etc/network/interfaces.d/*",
            "zz-rcnetd",
        ),
    ],
)
def test_our_own_file_has_a_name_that_is_read(sources: str, name: str) -> None:
    """Nothing of the others' is touched then, but the competing default."""
    changes = render(tree(f"{SIMPLE}{sources}\n"), NO_DEFAULT)
    assert {MAIN, f"{DIRECTORY}/{name}"} == set(changes)


@pytest.mark.parametrize(
    ("before", "behind"),
    [
        ("", ""),
        ("source /etc/network/interfaces.d/*\n", ""),
        ("", "source interfaces.d/*"),
        ("", "source-directory /etc/network/interfaces.d"),
        ("", "source /etc/network/interfaces.d/*.conf"),
        ("", "source /etc/network/interfaces.d/a* /etc/network/interfaces.d/z*"),
    ],
)
def test_without_a_place_of_our_own_the_stanza_is_edited(before: str, behind: str) -> None:
    """No file that all three programs find, or one that is read too early."""
    assert {MAIN} == set(render(tree(before + SIMPLE + behind), NO_DEFAULT))


def test_our_old_file_goes_with_the_line_that_read_it() -> None:
    """One that is no longer read is no longer there."""
    with_source = tree(f"{SIMPLE}source {DIRECTORY}/*\n")
    after = dict(applied(with_source, render(with_source, NO_DEFAULT)))
    after[MAIN] = File(after[MAIN].data.replace(b"source", b"#source"))

    assert render(after, NO_DEFAULT)[f"{DIRECTORY}/zz-rcnetd"].data is None


def test_dhcp_loses_with_the_metric_that_it_has() -> None:
    """A metric above ours is good enough."""
    main = SIMPLE.replace("eth0 inet static", "eth0 inet dhcp\n    metric 50")
    text = rendered(tree(main))
    assert "    up ip route del default dev eth0 || true\n" in text
    assert OFF + "    metric" not in text


def test_without_an_inet6_stanza_the_ipv6_default_goes_by_the_other() -> None:
    """The kernel takes a router's word also for a link that has no `inet6` stanza."""
    target = replace(NO_DEFAULT, public_ipv6=PublicIPv6.NO_DEFAULT)
    assert "net.ipv6.conf.eth0.accept_ra_defrtr=0" in rendered(tree(SIMPLE), target)


def test_ipv6_commands_stay_or_go() -> None:
    """By `public_ipv6` alone."""
    command = "up ip -6 route add default via fe80::1 dev eth0"
    before = tree(SIMPLE.replace("iface eth1", f"    {command}\niface eth1"))
    assert f"\n    {command}\n" in rendered(before)
    target = replace(NO_DEFAULT, public_ipv6=PublicIPv6.NO_DEFAULT)
    assert f"\n{OFF}    {command}\n" in rendered(before, target)


def test_a_line_keeps_its_other_commands() -> None:
    """Only the command that adds the default route goes."""
    command = "up cd /; ip route add default via 10.180.0.1"
    text = rendered(tree(f"{SIMPLE}    {command}\n"))
    assert f"\n{OFF}    {command}\n    {BEGIN}\n    up cd /; true\n" in text


@pytest.mark.parametrize(
    ("line", "remains"),
    [
        ("up ip route add default via 203.0.113.1", False),
        ("up ip route add default dev eth0 metric 9", False),
        ("up ip route add default via 10.180.0.1 dev eth1 metric 9", False),
        ("up ip route add default via 192.0.2.1 dev eth2 metric 9", True),
        ("up ip route add default dev $IFACE metric 9", True),
        ("up ip -6 route add default dev eth0", True),
        ("up ip route del default", False),
        ("down route del default || true", False),
        ("down ip route del default via 10.180.31.254", False),
        ("up ip route del default dev eth0", False),
        ("up ip route flush table main", False),
        ("up ip route del default dev $IFACE || true", True),
        ("up ip route del default via 192.0.2.1 || true", True),
        ("up ip route del default table 7", True),
    ],
)
def test_commands_of_other_links(line: str, remains: bool) -> None:
    """Those that concern ServiceNet's or the public link, or could delete our route, go."""
    text = rendered(tree(f"{SIMPLE}auto eth2\niface eth2 inet manual\n    {line}\n"))
    assert remains == (f"\n    {line}\n" in text)
    assert remains != (f"\n{OFF}    {line}\n" in text)


def test_a_link_that_does_not_come_up_keeps_its_commands() -> None:
    """Only a person can bring it up."""
    text = rendered(tree(f"{SIMPLE}iface eth2 inet manual\n    up ip route del default\n"))
    assert "\n    up ip route del default\n" in text


def test_our_route_follows_dhcp_in_its_stanza() -> None:
    """Only ifupdown 0.8 keeps the commands of several stanzas in order."""
    before = tree(f"auto eth1\niface eth1 inet dhcp\nsource {DIRECTORY}/*\n")
    assert {MAIN} == set(render(before, replace(NO_DEFAULT, public=())))
    deleted, set_again = "up ip route del default dev eth1 ||", "up ip route replace default"
    text = rendered(before, replace(NO_DEFAULT, public=()))
    assert text.index(deleted) < text.index(set_again)


def test_a_metric_of_both_families_stays() -> None:
    """ifupdown2 and ifupdown-ng keep them in one stanza."""
    before = tree(SIMPLE.replace(" inet static", "").replace(
        "    gateway", "    metric 5\n    gateway 2001:db8::1\n    gateway", 1))  # fmt: skip
    text = rendered(before)
    assert "\n    metric 5\n    gateway 2001:db8::1\n#rcnetd#     gateway 203.0.113.1\n" in text


@pytest.mark.parametrize("name", ["a`id`", "a b", "a;b", "$(id)", "", "é"])
def test_refuses_names_that_are_not_plain(name: str) -> None:
    """A shell runs our lines, and the kernel allows almost any name."""
    strange = HostLink(name)
    for target in (replace(NO_DEFAULT, servicenet=strange), replace(DOWN, public=(strange,))):
        with pytest.raises(CannotPersist, match=r"the name of link .* has characters"):
            render(tree(SIMPLE), target)


def test_refuses_a_logical_name_that_is_not_plain() -> None:
    """It would be written into our own file."""
    before = tree(SIMPLE.replace("eth1\n", "eth1=a`id`\n", 1).replace("iface eth1", "iface a`id`"))
    with pytest.raises(CannotPersist, match=f"{MAIN}:5: the name 'a`id`' has characters other"):
        render(before, NO_DEFAULT)


def test_files_that_are_not_read_do_not_matter() -> None:
    """An editor's swap file beside the others."""
    swap = {f"{DIRECTORY}/.interfaces.swp": File(b"b0VIM\0\0iface eth0")}
    before = {**tree(f"{SIMPLE}source {DIRECTORY}/*\n"), **swap}
    assert {MAIN, f"{DIRECTORY}/zz-rcnetd"} == set(render(before, NO_DEFAULT))


def test_the_edits_of_a_file_that_is_not_read_any_more_go() -> None:
    """Whoever reads it next finds it as it was."""
    files = {"eth0": "iface eth0 inet static\n    gateway 203.0.113.1\n"}
    before = tree("auto eth0 eth1\niface eth1 inet static\nsource interfaces.d/*\n", **files)
    after = dict(applied(before, render(before, NO_DEFAULT)))
    after[MAIN] = File(after[MAIN].data.replace(b"source", b"# source"))
    assert files["eth0"].encode() == render(after, NO_DEFAULT)[f"{DIRECTORY}/eth0"].data


@pytest.mark.parametrize(
    ("word", "name"), [("eth1", "eth1"), ("eth1=home", "eth1=home"), ("/eth*=x", "eth1=x")]
)
def test_ifquery_wants_the_logical_name(word: str, name: str) -> None:
    """`eth1=home` where the stanza is called so."""
    assert name == query_name(tree(f"auto {word}\n"), SERVICENET)


def test_reads_defaults_as_they_are() -> None:
    """Before rendering: by method, by command; not of what does not come up, or another table."""
    main = (
        SIMPLE
        + """\
    metric 20
    gateway 10.180.0.1
    up ip route add default via 10.180.0.2 dev $IFACE metric 30
    up ip route add default via 10.180.0.3 dev eth7 table 9
    up ip -6 route add default via fe80::1
    down ip route add default via 10.180.0.4
iface eth9 inet static
    gateway 192.0.2.1
auto eth2
iface eth2 inet dhcp
"""
    )
    found = [(item.link, str(item.gateway), item.metric) for item in read_defaults(tree(main))]
    assert [
        ("eth0", "203.0.113.1", 0),
        ("eth1", "10.180.0.1", 20),
        ("eth1", "10.180.0.2", 30),
        ("eth2", "None", 0),
    ] == found


def test_patterns_are_of_what_is_read() -> None:
    """The shell gives these files, and no others are asked for."""
    assert (MAIN, f"{DIRECTORY}/*", "/run/network/interfaces.d/*") == PATTERNS


# Made-up trees

WORDS = st.text("abc=-/.#\\'\"äö \t", min_size=1, max_size=12).map(lambda text: f"x{text}x")
COMMENTS = st.one_of(st.just(""), WORDS.map(lambda text: f"# {text}"))
COMMANDS = [
    "ip route add default via {gateway} dev {link}",
    "/sbin/ip -4 r a default via {gateway} || true",
    "route add default gw {gateway} {link}",
    "ip route replace 0.0.0.0/0 via {gateway} metric 3 2>/dev/null",
    "ip route add default via {gateway} table 9",
    "ip route add 10.176.0.0/12 via {gateway}",
    "ip route add via {gateway} metric 0 dev {link} to default",
    "route add -net 0 netmask 0.0.0.0 gw {gateway} || true; date",
    "ip route add default via fe80::1 dev {link}; ip route del default via {gateway}",
    "ip route del default",
    "ip route flush root 0/0 || :",
    "ip route add unreachable default",
    "echo a default route",
]


@st.composite
def stanzas(draw: st.DrawFn, link: str, address: str, gateway: str) -> list[str]:
    """Lines that configure a link in one of many ways."""
    method = draw(st.sampled_from([" inet static", " inet dhcp", " inet manual", ""]))
    options = [f"address {address}"]
    if method in (" inet dhcp", " inet manual"):
        options = [f"pre-up true {address}"]
    if method != " inet manual":
        options += draw(st.lists(st.sampled_from([f"gateway {gateway}", "metric 7"]), max_size=2))
    options += draw(st.lists(st.sampled_from(["mtu 1500", "dns-nameservers 192.0.2.53"])))
    commands = st.sampled_from(COMMANDS).map(lambda text: text.format(link=link, gateway=gateway))
    phases = st.sampled_from(["up", "post-up", "pre-up", "down"])
    options += draw(st.lists(st.tuples(phases, commands).map(" ".join), max_size=3))
    indent = draw(st.sampled_from(["    ", "\t", ""]))
    joint = draw(st.sampled_from([" ", "  ", " \\\n  "]))
    start = draw(st.sampled_from([f"auto {link}", f"allow-hotplug {link}"]))
    lines = [start, f"iface {link}{method}"]
    for option in draw(st.permutations(options)):
        lines += [draw(COMMENTS), indent + option.replace(" ", joint, 1)]
    return lines


@st.composite
def another_link(draw: st.DrawFn) -> list[str]:
    """Lines that configure a link of no concern, whose commands may be of concern."""
    command = draw(st.sampled_from(COMMANDS))
    link, gateway = draw(st.sampled_from([("eth0", "203.0.113.1"), ("eth1", "10.180.0.1")]))
    line = f"up {command.format(link=link, gateway=gateway)}"
    return [draw(st.sampled_from(["auto eth2", ""])), "iface eth2 inet manual", line]


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """One file or several, in one order or another, with either ending of lines."""
    parts = [
        draw(stanzas("eth0", "203.0.113.10/24", "203.0.113.1")),
        draw(stanzas("eth1", "10.180.1.2/19", "10.180.0.1")),
        ["auto lo", "iface lo inet loopback"],
        draw(another_link()),
        [draw(COMMENTS)],
    ]
    end: str = draw(st.sampled_from(["\n", "\n", "\r\n"]))
    source = draw(
        st.sampled_from(
            [f"source {DIRECTORY}/*", "source interfaces.d/*", f"source-directory {DIRECTORY}"]
        )
    )
    main: list[str] = []
    files: dict[str, str] = {}
    for number, part in enumerate(draw(st.permutations([*parts, [source]]))):
        if draw(st.booleans()) or part == [source]:
            main += part
        else:
            files[f"part{number}"] = "\n".join(part).replace("\\\n", "\\\0").replace("\n", end)
    text = "\n".join(main).replace("\\\n", "\\\0").replace("\n", end)
    last = draw(st.sampled_from([end, ""]))
    return tree(
        text.replace("\0", "\n") + last,
        **{name: text.replace("\0", "\n") + last for name, text in files.items()},
    )


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
        assert not any(word in line for word in (b"address", b"mtu", b"dns", b"# x", b"10.176"))
