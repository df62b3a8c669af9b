"""Files that another program has rewritten: our values go, what they replaced comes back."""

from __future__ import annotations

import pytest

from rcnetd.hostconfig.renderers.model import CannotPersist
from rcnetd.hostconfig.values import restore

KEYFILE = "/etc/NetworkManager/system-connections/eth0.nmconnection"
IFCFG = "/etc/sysconfig/network-scripts/ifcfg-eth0"
ROUTES = "/etc/sysconfig/network-scripts/route-eth1"
STANZAS = "/etc/network/interfaces"
NETPLAN = "/etc/netplan/50-cloud-init.yaml"

PUBLIC = "[ipv4]\naddress1=203.0.113.10/24\ngateway=203.0.113.1\nmethod=manual\n"
PUBLIC_OURS = (
    "[ipv4]\n# rcnetd: begin\nnever-default=true\n# rcnetd: end\naddress1=203.0.113.10/24\n"
    "#rcnetd# gateway=203.0.113.1\nmethod=manual\n"
)
BEHIND = "[ipv4]\naddress1=203.0.113.10/24,203.0.113.1\nroute1=192.0.2.0/24,203.0.113.9\n"
BEHIND_OURS = (
    "[ipv4]\nnever-default=true\naddress1=203.0.113.10/24\nroute1=192.0.2.0/24,203.0.113.9\n"
)
ROUTED = "[ipv4]\nroute1=0.0.0.0/0,203.0.113.1\nroute1_options=mtu=1400\n"
ROUTED_OURS = "[ipv4]\nnever-default=true\n"
SERVICENET = "[ipv4]\naddress1=10.180.1.2/19\nmethod=manual\n"
SERVICENET_OURS = (
    "[ipv4]\nroute1=0.0.0.0/0,10.180.31.254,1\naddress1=10.180.1.2/19\nmethod=manual\n"
)
IFCFG_OLD = 'DEVICE=eth0\nIPADDR=203.0.113.10\nGATEWAY="203.0.113.1"\n'
IFCFG_OURS = "DEVICE=eth0\nDEFROUTE=no\nIPADDR=203.0.113.10\n#rcnetd# GATEWAY=203.0.113.1\n"
DHCP = "[ipv4]\nmethod=auto\n"


@pytest.mark.parametrize(
    ("path", "before", "ours", "now", "restored"),
    [
        # nmcli has rewritten the profile, with a name server more
        (KEYFILE, PUBLIC, PUBLIC_OURS,
         "[ipv4]\naddress1=203.0.113.10/24\ndns=192.0.2.53;\nmethod=manual\nnever-default=true\n",
         "[ipv4]\naddress1=203.0.113.10/24\ndns=192.0.2.53;\nmethod=manual\n"
         "gateway=203.0.113.1\n"),
        # and has numbered the routes anew
        (KEYFILE, SERVICENET, SERVICENET_OURS,
         "[ipv4]\naddress1=10.180.1.2/19\nmethod=manual\nroute1=192.0.2.0/24,10.180.0.9\n"
         "route2=0.0.0.0/0,10.180.31.254,1\n",
         "[ipv4]\naddress1=10.180.1.2/19\nmethod=manual\nroute1=192.0.2.0/24,10.180.0.9\n"),
        # the gateway was behind the address
        (KEYFILE, BEHIND, BEHIND_OURS,
         "[ipv4]\naddress1=203.0.113.10/24\nnever-default=true\nroute1=192.0.2.0/24,203.0.113.9\n",
         "[ipv4]\nroute1=192.0.2.0/24,203.0.113.9\naddress1=203.0.113.10/24,203.0.113.1\n"),
        # the route's number is somebody else's by now
        (KEYFILE, ROUTED, ROUTED_OURS, "[ipv4]\nroute1=192.0.2.0/24,203.0.113.9\n"
         "never-default=true\n",
         "[ipv4]\nroute1=192.0.2.0/24,203.0.113.9\nroute2=0.0.0.0/0,203.0.113.1\n"
         "route2_options=mtu=1400\n"),
        # nova-agent keeps keys that it does not know, and writes its own
        (IFCFG, IFCFG_OLD, IFCFG_OURS,
         "DEVICE=eth0\nIPADDR=203.0.113.10\nGATEWAY=203.0.113.1\nDEFROUTE=no\n",
         "DEVICE=eth0\nIPADDR=203.0.113.10\nGATEWAY=203.0.113.1\n"),
        # an editor has removed the comments
        (IFCFG, IFCFG_OLD, IFCFG_OURS, "DEVICE=eth0\nDEFROUTE=no\nIPADDR=203.0.113.10",
         'DEVICE=eth0\nIPADDR=203.0.113.10\nGATEWAY="203.0.113.1"\n'),
        (KEYFILE, PUBLIC, "[ipv4]\naddress1=203.0.113.10/24\nmethod=manual\n",
         "[ipv4]\naddress1=203.0.113.10/24\nmethod=manual\n",
         "[ipv4]\naddress1=203.0.113.10/24\nmethod=manual\ngateway=203.0.113.1\n"),
        # a section that only had what was removed
        (KEYFILE, "[a]\nb=c\n[ipv4]\ngateway=203.0.113.1\n", "[a]\nb=c\n", "[a]\nb=c\n",
         "[a]\nb=c\n[ipv4]\ngateway=203.0.113.1\n"),
        # another gateway, another address, another method: the old gateway stays away
        (KEYFILE, PUBLIC, PUBLIC_OURS,
         "[ipv4]\naddress1=203.0.113.10/24\ngateway=203.0.113.2\nmethod=manual\n"
         "never-default=true\n",
         "[ipv4]\naddress1=203.0.113.10/24\ngateway=203.0.113.2\nmethod=manual\n"),
        (KEYFILE, PUBLIC, PUBLIC_OURS,
         "[ipv4]\naddress1=203.0.113.77/24\nmethod=manual\nnever-default=true\n",
         "[ipv4]\naddress1=203.0.113.77/24\nmethod=manual\n"),
        (KEYFILE, PUBLIC, PUBLIC_OURS, "[ipv4]\nmethod=auto\nnever-default=true\n", DHCP),
        # nothing of ours
        (KEYFILE, PUBLIC, PUBLIC_OURS, DHCP, DHCP),
        (KEYFILE, PUBLIC, PUBLIC_OURS, "", ""),
        # one route a line, ifupdown's stanzas
        (ROUTES, "10.208.0.0/12 via 10.180.0.1\n",
         "10.208.0.0/12 via 10.180.0.1\ndefault via 10.180.31.254 metric 1\n",
         "default  via 10.180.31.254 metric 1\n10.208.0.0/12 via 10.180.0.1\n",
         "10.208.0.0/12 via 10.180.0.1\n"),
        (STANZAS, "auto eth0\niface eth0 inet static\n address 203.0.113.10/24\n"
         " gateway 203.0.113.1\n",
         "auto eth0\niface eth0 inet static\n address 203.0.113.10/24\n",
         "auto eth0\niface eth0 inet static\n  address 203.0.113.10/24\n up true\n",
         "auto eth0\niface eth0 inet static\n  address 203.0.113.10/24\n up true\n"
         " gateway 203.0.113.1\n"),
    ],
)  # fmt: skip
def test_lines_are_restored(path: str, before: str, ours: str, now: str, restored: str) -> None:
    """Whatever has become of our marks."""
    assert restored.encode() == restore(path, now.encode(), before.encode(), ours.encode())


@pytest.mark.parametrize(
    ("path", "ours", "now", "restored"),
    [
        ("/etc/systemd/network/a.network.d/zz-rcnetd.conf", "[Route]\nGateway=10.180.31.254\n",
         "[Route]\nGateway = 10.180.31.254\n", None),
        ("/etc/systemd/network/a.network.d/zz-rcnetd.conf", "[Route]\nGateway=10.180.31.254\n",
         "[Route]\nGateway=10.180.31.254\n[Network]\nDNS=192.0.2.53\n",
         "[Network]\nDNS=192.0.2.53\n"),
        ("/etc/network/interfaces.d/zz-rcnetd", "iface eth1 inet static\n up ip route x\n",
         "iface eth1 inet static\n up ip route x\n", None),
        ("/etc/network/interfaces.d/zz-rcnetd", "iface eth1 inet static\n up ip route x\n",
         "iface eth1 inet static\n up ip route x\n up y\n", "iface eth1 inet static\n up y\n"),
    ],
)  # fmt: skip
def test_a_file_of_our_own_goes(path: str, ours: str, now: str, restored: str | None) -> None:
    """Without its header it is known by its values; what is not ours in it stays."""
    expected = None if restored is None else restored.encode()
    assert expected == restore(path, now.encode(), None, ours.encode())


YAML = """\
network:
  version: 2
  ethernets:
    eth0:
      addresses: [203.0.113.10/24]
      routes: [{to: 0.0.0.0/0, via: 203.0.113.1}]
"""
YAML_OURS = YAML.replace("      routes", "#rcnetd#      routes")
ROUTE = "{to: 0.0.0.0/0, via: 10.180.31.254, metric: 1}"
OWN = f"network:\n  version: 2\n  ethernets:\n    eth1:\n      routes: [{ROUTE}]\n"


def test_netplan_set_drops_comments() -> None:
    """The public route comes back beside what was set; a new address keeps it away."""
    now = YAML_OURS.replace(
        "#rcnetd#      routes: [{to: 0.0.0.0/0, via: 203.0.113.1}]", "      mtu: 1400"
    )
    restored = restore(NETPLAN, now.encode(), YAML.encode(), YAML_OURS.encode())
    assert restored is not None
    assert b"via: 203.0.113.1" in restored
    assert b"mtu: 1400" in restored
    other = now.replace("203.0.113.10", "203.0.113.77").encode()
    assert other == restore(NETPLAN, other, YAML.encode(), YAML_OURS.encode())


def test_netplan_set_moves_a_definition_into_our_file() -> None:
    """Only our route leaves it: the address is not lost."""
    now = OWN.replace("routes: [", "addresses: [10.180.1.2/19]\n      routes: [")
    restored = restore(NETPLAN, now.encode(), None, OWN.encode())
    assert restored is not None
    assert b"10.180.1.2/19" in restored
    assert b"version: 2" in restored
    assert b"10.180.31.254" not in restored
    assert restore(NETPLAN, OWN.encode(), None, OWN.encode()) is None


def test_yaml_that_is_none_or_too_much_is_refused() -> None:
    """The first is left alone; neither may cost a traceback or all of the memory."""
    assert b"a: [" == restore(NETPLAN, b"a: [", YAML.encode(), YAML_OURS.encode())
    neighbour = ((b"a: [", b"a: ["),)
    now = YAML_OURS.replace("#rcnetd#", "#").encode()
    restored = restore(NETPLAN, now, YAML.encode(), YAML_OURS.encode(), neighbour)
    assert restored is not None
    assert b"203.0.113.1" in restored
    bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} {{"
        + ", ".join(f"k{i}: *{chr(97 + n)}" for i in range(10))
        + "}\n"
        for n in range(6)
    )
    with pytest.raises(CannotPersist, match="has more than"):
        restore(NETPLAN, bomb.encode(), YAML.encode(), YAML_OURS.encode())
