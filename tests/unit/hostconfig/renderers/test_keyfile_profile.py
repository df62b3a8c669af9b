"""Reading one keyfile, compared with NetworkManager's own reader."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcnetd.hostconfig.renderers.keyfile_profile import Profile
from rcnetd.hostconfig.renderers.marked_edits import Document
from rcnetd.hostconfig.renderers.model import HostLink
from tests.conftest import missing
from tests.support.properties import examples

UUID = "7b588ed0-0acc-4314-b710-71c86c01e18c"
HEAD = f"[connection]\nid=x\nuuid={UUID}\ntype=ethernet\n"
MANUAL = "[ipv4]\nmethod=manual\naddress1=192.0.2.2/24\n"
LINK = HostLink("eth1", "bc:76:4e:20:6c:5b")


def profile(text: str) -> Profile:
    """A profile of this content."""
    return Profile(Document("/etc/NetworkManager/system-connections/x", text.encode()))


def gateway(found: Profile) -> str | None:
    """The gateway that counts."""
    gateways = [str(address) for _, address in found.gateways("ipv4")]
    return gateways[0] if gateways else None


def routes(found: Profile, section: str = "ipv4") -> list[tuple[str | None, int | None]]:
    """The default routes: gateway and metric."""
    return [
        (str(fields.gateway) if fields.gateway else None, fields.metric)
        for _, fields in found.default_routes(section)
    ]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("route1=0.0.0.0/0,192.0.2.1\n", [("192.0.2.1", None)]),
        ("route=0.0.0.0/0,192.0.2.1,5\n", [("192.0.2.1", 5)]),
        ("routes1=0.0.0.0;0;192.0.2.1;0;\n", [("192.0.2.1", 0)]),
        ("route1=192.0.2.0/0,192.0.2.1\n", [("192.0.2.1", None)]),
        ("route1=0.0.0.0/0\n", [(None, None)]),
        ("route1=0.0.0.0/0,,5\n", [(None, 5)]),
        ("route1=0.0.0.0/0\nroute1_options=type=blackhole\n", [(None, None)]),
        ("route1=0.0.0.0/0,192.0.2.1\nroute1_options=table=254\n", [("192.0.2.1", None)]),
        ("route1=0.0.0.0/0,192.0.2.1\nroute1_options=table=0\n", [("192.0.2.1", None)]),
        ("route1=0.0.0.0/0,192.0.2.1\nroute1_options=onlink=true,table=7\n", []),
        ("route1=0.0.0.0/0,192.0.2.1\nroute1_options=table = 7\n", [("192.0.2.1", None)]),
        ("route1=0.0.0.0/0,192.0.2.1\nroute1_options=odd=1,table=7\n", [("192.0.2.1", None)]),
        ("route1=0.0.0.0/0,192.0.2.1\nroute-table=7\n", []),
        ("route1=0.0.0.0/0,1\nroute1_options=table=254\nroute-table=7\n", []),
        ("route1=0.0.0.0/0,192.0.2.1\nroute1_options=table=254\nroute-table=7\n",
         [("192.0.2.1", None)]),
        ("route1=0.0.0.0,192.0.2.1\n", []),  # a prefix of 24
        ("route1=0.0.0.0/33,192.0.2.1\n", []),
        ("route1=0/0,192.0.2.1\n", []),
        ("route1=default,192.0.2.1\n", []),
        ("route1=0.0.0.0/0, 192.0.2.1\n", []),
        ("route1=0.0.0.0/0,192.0.2.1 \n", []),
        ("route1=0.0.0.0/0,router\n", []),
        ("route1=0.0.0.0/0,192.0.2.1,5,6\n", []),
        ("route01=0.0.0.0/0,192.0.2.1\n", []),
        ("route1=10.0.0.0/8,192.0.2.1\n", []),
        ("route1=0.0.0.0/0,192.0.2.1\nroute1=10.0.0.0/8,192.0.2.1\n", []),
        ("route2=0.0.0.0/0,192.0.2.2\nroutes1=0.0.0.0/0,192.0.2.1\nroute1=0.0.0.0/0,192.0.2.3\n",
         [("192.0.2.3", None), ("192.0.2.1", None), ("192.0.2.2", None)]),
    ],
)  # fmt: skip
def test_default_routes(lines: str, expected: list[tuple[str | None, int | None]]) -> None:
    """A destination with prefix length 0 in table main is one, in whatever form."""
    assert expected == routes(profile(HEAD + MANUAL + lines))


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("route1=::/0,fe80::1\n", [("fe80::1", None)]),
        ("route1=2001:db8::/0,fe80::1,7\n", [("fe80::1", 7)]),
        ("route1=::/0,5\n", [(None, 5)]),  # as an old NetworkManager wrote it
        ("route1=::/129,fe80::1\n", []),
        ("route1=0.0.0.0/0,192.0.2.1\n", []),
    ],
)
def test_ipv6_default_routes(lines: str, expected: list[tuple[str | None, int | None]]) -> None:
    """They have the same forms."""
    assert expected == routes(profile(f"{HEAD}[ipv6]\nmethod=auto\n{lines}"), "ipv6")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("address1=192.0.2.2/24,192.0.2.1\n", "192.0.2.1"),
        ("addresses1=192.0.2.2;24;192.0.2.1;\n", "192.0.2.1"),
        ("address=192.0.2.2/192.0.2.1\n", "192.0.2.1"),
        ("address1=192.0.2.2/24,192.0.2.1\ngateway=192.0.2.9\n", "192.0.2.9"),
        ("address2=192.0.2.2/24,192.0.2.1\naddress1=192.0.2.3/24,192.0.2.9\n", "192.0.2.9"),
        ("address1=192.0.2.2/24,0.0.0.0\n", None),
        ("address1=192.0.2.2/24\n", None),
        ("address1=192.0.2.2/24\naddress2=192.0.2.2/24, 192.0.2.1\n", None),
        ("address1=192.0.2.2/24\ngateway=\n", None),
    ],
)
def test_gateways(lines: str, expected: str | None) -> None:
    """`gateway=` counts before the gateway of an address, and that of the first address."""
    assert gateway(profile(f"{HEAD}[ipv4]\nmethod=manual\n{lines}")) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[connection]\n[ipv4]\nmethod=auto\n", "[connection] has no type"),
        ("[connection]\n[vlan]\n[ethernet]\n", "[connection] has no type"),
        (HEAD + "[ipv4]\n", "[ipv4] has no valid method"),
        (HEAD + "[ipv4]\nmethod=Auto\n", "[ipv4] has no valid method"),
        (HEAD + "[ipv6]\nnever-default=true\n", "[ipv6] has no valid method"),
        (HEAD + "[ipv4]\nmethod=manual\n", "[ipv4] has no valid address"),
        (HEAD + "[ipv4]\nmethod=manual\naddresses=192.0.2.2/24;192.0.2.3/24\n",
         "[ipv4] has no valid address"),
        (HEAD + "[ipv4]\nmethod=manual\naddress1=192.0.2.2/24 \n", "[ipv4] has no valid address"),
        (HEAD + MANUAL.replace("manual", "disabled"),
         "[ipv4] has an address, which 'method=disabled' forbids"),
        (HEAD + "[ipv4]\nmethod=auto\ngateway=192.0.2.1\n",
         "[ipv4] has an invalid gateway, or a gateway without an address"),
        (HEAD + MANUAL + "gateway=router\n",
         "[ipv4] has an invalid gateway, or a gateway without an address"),
        (HEAD, None),
        (HEAD + "[ipv4]\nmethod=disabled\nroute1=0.0.0.0/0,192.0.2.1\n", None),
        (HEAD + "master=bond0\nslave-type=bond\n[ipv4]\n", None),
        ("[connection]\n[ethernet]\n", None),
        ("[connection]\n[802-3-ethernet]\n", None),
    ],
)  # fmt: skip
def test_invalid_profiles(text: str, reason: str | None) -> None:
    """NetworkManager does not load them."""
    assert profile(text).objection == reason


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("", True),
        ("autoconnect=false\n", False),
        ("autoconnect=0\n", False),
        ("autoconnect=no\n", True),  # not a word that NetworkManager knows
        ("permissions=user:ann\n", False),
        ("master=bond0\n", False),
    ],
)
def test_connects(lines: str, expected: bool) -> None:
    """A profile is activated at boot unless it says otherwise."""
    assert profile(HEAD + lines).connects is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (HEAD + "[ethernet]\nmac-address=BC-76-4E-20-6C-5B\n", True),
        (HEAD + "[802-3-ethernet]\nmac-address=188;118;78;32;108;91;\n", True),
        (HEAD + "[ethernet]\nmac-address=188;118;78;32;108;90;\n", False),
        (HEAD + "[ethernet]\nmac-address-blacklist=BC:76:4E:20:6C:5B;\n", False),
        (HEAD + "[ethernet]\nmac-address-denylist=00:00:00:00:00:01;BC:76:4E:20:6C:5B\n", False),
        (HEAD + "[match]\ninterface-name=eth*;!eth2\n", True),
        (HEAD + "[match]\ninterface-name=eth*;!eth1\n", False),
        (HEAD + "[match]\ninterface-name=!eth2\n", True),
        (HEAD + "[match]\ninterface-name=&eth*;ens3;eth1\n", True),
        (HEAD + "[match]\ninterface-name=&en*;eth1\n", False),
        (HEAD + "[match]\ninterface-name=|!eth1;eth2\n", False),
        (HEAD.replace("ethernet", "vlan"), False),
        (HEAD.replace("ethernet", "vlan") + "interface-name=eth1\n", True),
        (HEAD.replace("ethernet", "wifi"), False),
        ("[connection]\ntype=802-3-ethernet\n[802-3-ethernet]\ninterface-name=eth1\n", True),
        ("[connection]\ntype=802-3-ethernet\n[802-3-ethernet]\ninterface-name=eth2\n", False),
    ],
)
def test_fits(text: str, expected: bool) -> None:
    """A link has to have the name, the MAC address and the kind that the profile asks for."""
    assert profile(text).fits(LINK, is_virtual=False) is expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("interface-name=eth1\n", ["eth1"]),
        ("[match]\ninterface-name=eth0;!eth9;|eth2;\n", ["eth0", "eth2"]),
        ("[match]\ninterface-name=!eth9\n", ["x"]),
        ("[ethernet]\nmac-address=BC:76:4E:20:6C:5B\n", ["bc:76:4e:20:6c:5b"]),
        ("[ethernet]\nmac-address=preserve\n", ["x"]),
        ("", ["x"]),
    ],
)
def test_links(lines: str, expected: list[str]) -> None:
    """A profile names its links in one of many ways; else its file stands for them."""
    assert profile(HEAD + lines).links == expected


@pytest.mark.parametrize(("value", "expected"), [("0", 0), ("0x5", 5), ("-1", 100), ("x", 100)])
def test_metric(value: str, expected: int) -> None:
    """Without a valid one it is the device's."""
    assert profile(f"{HEAD}{MANUAL}route-metric={value}\n").metric == expected


# As NetworkManager has it


def normalised(text: str) -> str | None:
    """The profile as NetworkManager reads and writes it; None if it rejects it."""
    command = ["nmcli", "--offline", "connection", "modify", "connection.id", "x"]
    done = subprocess.run(command, input=text.encode(), capture_output=True, check=False)
    return done.stdout.decode() if done.returncode == 0 else None


FIELDS = ["0.0.0.0/0", "0.0.0.0;0", "0.0.0.0", "192.0.2.0/0", "10.0.0.0/8", "0/0", "::/0"]
REST = [
    "",
    ",192.0.2.1",
    ";192.0.2.1;5;",
    ",192.0.2.1,0",
    ",,7",
    ", 192.0.2.1",
    ",x",
    " ",
    ",1,2,3",
]
OPTIONS = ["", "table=7", "table=254", "onlink=true,table=254", "table = 7", "type=blackhole"]


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Profiles with routes, gateways and addresses in many forms, valid and not."""
    lines = [f"method={draw(st.sampled_from(['manual', 'auto', 'disabled', 'shared']))}"]
    address = draw(st.sampled_from(["192.0.2.2/24", "192.0.2.2;24", "192.0.2.2/24 ", "192.0.2.2"]))
    end = draw(st.sampled_from(["", ",192.0.2.1", ";192.0.2.1;", ";0.0.0.0", ",x"]))
    lines += draw(st.sampled_from([[f"address1={address}{end}"], []]))
    lines += draw(st.sampled_from([["gateway=192.0.2.9"], [], [], ["gateway=x"]]))
    lines += draw(st.sampled_from([["never-default=true"], ["never-default=yes"], []]))
    for number in draw(st.lists(st.sampled_from(["", "0", "1", "2", "01"]), unique=True)):
        key = draw(st.sampled_from(["route", "routes"])) + number
        lines.append(f"{key}={draw(st.sampled_from(FIELDS))}{draw(st.sampled_from(REST))}")
        option = draw(st.sampled_from(OPTIONS if lines[-1].endswith(",,7") else OPTIONS[:-1]))
        lines += [f"{key}_options={option}"] if option else []
    return f"{HEAD}[ipv4]\n" + "\n".join(draw(st.permutations(lines))) + "\n"


@pytest.mark.long
@examples
@given(texts())
def test_reads_as_network_manager_does(text: str) -> None:
    """Its own reader, asked by `nmcli --offline`, finds the same routes in what we read."""
    if not shutil.which("nmcli"):
        missing("consumers", "nmcli is not installed")
    ours, theirs = profile(text), normalised(text)
    assert (ours.objection is None) == (theirs is not None)
    if theirs is not None:
        again = profile(theirs)
        assert sorted(routes(ours), key=str) == sorted(routes(again), key=str)
        if not ours.is_true("ipv4", "never-default"):
            assert gateway(ours) == gateway(again)
