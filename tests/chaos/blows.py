"""What can happen to a server's network, in lines of `ip`; what is gone already fails, unheard."""

from __future__ import annotations

import subprocess

from rcnetd.lab.topology import (
    GATEWAY,
    PUBLIC_ROUTER,
    SERVICENET,
    SERVICENET_ROUTER,
    Topology,
)

SECOND = "10.180.30.1"  # a second RackConnect gateway
BRIDGE = "br-snet"

# What others do to links, addresses and routes.
BLOWS: dict[str, tuple[str, ...]] = {
    "link flap": ("link set eth1 down", "link set eth1 up"),
    "link down": ("link set eth1 down",),
    "public flap": ("link set eth0 down", "link set eth0 up"),
    "address flush": ("address flush dev eth1",),
    "address gone and back": ("address flush dev eth1", f"address add {SERVICENET} dev eth1"),
    "route deleted": (f"route del default via {GATEWAY}", f"route del default via {SECOND}"),
    "all defaults flushed": ("route flush exact 0.0.0.0/0",),
    "main table flushed": ("route flush table main",),
    "connected route deleted": (f"route del {SERVICENET.network}",),
    "default at metric 0": (f"route add default via {PUBLIC_ROUTER} dev eth0",),
    "default at our metric": (f"route prepend default via {PUBLIC_ROUTER} dev eth0 metric 1",),
    "default behind ours": (f"route append default via {PUBLIC_ROUTER} dev eth0 metric 1",),
    "blackhole default": ("route add blackhole default",),
    "route replaced": (f"route replace default via {SERVICENET_ROUTER} dev eth1 metric 1",),
    "losing default": (f"route add default via {PUBLIC_ROUTER} dev eth0 metric 500",),
    "neighbours forgotten": ("neigh flush dev eth1",),
    "virtual address": ("address add 10.180.1.200/32 dev eth1",),
    "links made": tuple(f"link add made{n} type veth peer name other{n}" for n in range(10)),
    "links removed": tuple(f"link del made{n}" for n in range(10)),
    "macvlan made": ("link add mv0 link eth1 type macvlan mode bridge", "link set mv0 up"),
    "macvlan removed": ("link del mv0",),
    "docker's bridge": (
        "link add docker0 type bridge",
        "address add 172.17.0.1/16 dev docker0",
        "link set docker0 up",
        "link add box0 type veth peer name box1",
        "link set box0 master docker0 up",
    ),
    "docker's bridge is gone": ("link del docker0", "link del box0"),
}

# What somebody has decided on purpose: reported, never fought.
POLICIES: dict[str, tuple[str, ...]] = {
    "VPN of two halves": (
        "link add vpn0 type veth peer name vpn1",
        "address add 10.98.0.2/24 dev vpn0",
        "link set vpn1 up",
        "link set vpn0 up",
        "route add 0.0.0.0/1 via 10.98.0.1 dev vpn0",
        "route add 128.0.0.0/1 via 10.98.0.1 dev vpn0",
    ),
    "wg-quick": (
        "link add wg0 type veth peer name wg1",
        "address add 10.99.0.2/24 dev wg0",
        "link set wg1 up",
        "link set wg0 up",
        "route add default dev wg0 table 51820",
        "rule add pref 100 not fwmark 51820 table 51820",
        "rule add pref 90 table main suppress_prefixlength 0",
    ),
    "rule for our own address": (
        f"route add default via {SERVICENET_ROUTER} dev eth1 onlink table 100",
        f"rule add pref 80 from {SERVICENET.ip} lookup 100",
    ),
    "blackhole rule": ("rule add pref 70 to 198.41.0.0/16 blackhole",),
    "prohibiting rule": ("rule add pref 71 to 198.41.0.0/16 prohibit",),
    "default of a TOS": (
        f"route add default via {SERVICENET_ROUTER} dev eth1 metric 100 tos 0x10",
    ),
}
# They end, whoever began which of them.
POLICIES_END = (
    "link del vpn0",
    "link del wg0",
    "rule del pref 100",
    "rule del pref 90",
    "rule del pref 80",
    "rule del pref 71",
    "rule del pref 70",
    "route del default tos 0x10",
)

# ServiceNet's port becomes one of a bridge, which takes its address: where nobody else manages it.
BRIDGES: dict[str, tuple[str, ...]] = {
    "ServiceNet behind a bridge": (
        "link del mv0",  # a link is either below a macvlan or a port
        f"link add {BRIDGE} type bridge",
        f"link set {BRIDGE} up",
        "address flush dev eth1",
        f"link set eth1 master {BRIDGE}",
        f"address add {SERVICENET} brd + dev {BRIDGE}",
        f"route add 10.176.0.0/12 via {SERVICENET_ROUTER} dev {BRIDGE}",
        f"route add 10.208.0.0/12 via {SERVICENET_ROUTER} dev {BRIDGE}",
    ),
    "the bridge is gone": (f"link del {BRIDGE}",),
    "a container joins the bridge": (
        "link add v0 type veth peer name v1",
        "link set v0 address 02:00:00:00:00:01",
        f"link set v0 master {BRIDGE}",
        "link set v0 up",
    ),
    "the container leaves": ("link del v0",),
}
# As container runtimes do, some thirty times a second.
CHURN = """\
while :; do
    ip link add churn0 type veth peer name churn1
    ip link del churn0
    sleep 0.03
done
"""


def carry_out(topology: Topology, *commands: str) -> None:
    """Lines of `ip` in the server; what fails (it is gone, or there, already) stops none."""
    with topology.server:
        subprocess.run(
            ["ip", "-force", "-batch", "-"], input="\n".join(commands), check=False,
            stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, text=True,
        )  # fmt: skip
