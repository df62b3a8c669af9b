"""What the network managers do with a default route that they did not set, as rcnetd sets it.

rcnetd-interoperability(7) says it in words: its table NETWORK MANAGERS is this one.
"""

from __future__ import annotations

from typing import Any

import pytest

from rcnetd.core.settings import PublicInterface
from rcnetd.hostconfig.renderers.model import File, Tree
from tests.boot.trees import NEXT, RELEASES
from tests.consumers.conftest import Lab
from tests.consumers.programs import CONSUMERS, MANAGED, NETWORKD, SETTLE
from tests.support.trees import GATEWAY, target_of

OURS = f"ip route replace default via {GATEWAY} dev eth1 metric 1 proto 82\n"
# `networkctl` and the rest talk to networkd by D-Bus below systemd 258.
BUS = "mkdir -p /run/dbus\ndbus-daemon --system --fork --nopidfile\n"
AGAIN = """\
kill $!
wait $! || true
/lib/systemd/systemd-networkd &
/lib/systemd/systemd-networkd-wait-online --timeout 10
"""
UNIT = "[Match]\nName={0}\n[Network]\nAddress={1}\nLinkLocalAddressing=no\n{2}"
KEYFILE = """\
[connection]
id={0}
uuid=00000000-0000-0000-0000-00000000000{1}
type=ethernet
interface-name={0}
[ipv4]
method=manual
address1={2}
{3}
[ipv6]
method=disabled
"""
FILES: dict[str, dict[str, str]] = {
    "networkd": {
        "/etc/systemd/network/10-eth0.network": UNIT.format(
            "eth0", "203.0.113.10/24", "[Route]\nGateway=203.0.113.1\nMetric=100\n"
        ),
        "/etc/systemd/network/10-eth1.network": UNIT.format(
            "eth1", "10.180.1.2/19", "[Route]\nDestination=10.176.0.0/12\nGateway=10.180.0.1\n"
        ),
    },
    "network-manager": {
        "/etc/NetworkManager/system-connections/eth0.nmconnection": KEYFILE.format(
            "eth0", 1, "203.0.113.10/24", "route1=0.0.0.0/0,203.0.113.1,100"
        ),
        "/etc/NetworkManager/system-connections/eth1.nmconnection": KEYFILE.format(
            "eth1", 2, "10.180.1.2/19", "route1=10.176.0.0/12,10.180.0.1"
        ),
        "/etc/NetworkManager/conf.d/lab.conf": MANAGED.decode(),
    },
    "ifupdown": {
        "/etc/network/interfaces": (
            "auto eth0 eth1\niface eth0 inet static\n    address 203.0.113.10/24\n"
            "    gateway 203.0.113.1\n    metric 100\n"
            "iface eth1 inet static\n    address 10.180.1.2/19\n"
        )
    },
}
# Manager, command, and the releases on which our route is still there after it; None: on all.
ACTIONS: tuple[tuple[str, str, tuple[str, ...] | None], ...] = (
    ("networkd", "networkctl reload", None),
    ("networkd", "touch /etc/systemd/network/10-eth1.network; networkctl reload", ()),
    ("networkd", "networkctl reconfigure eth1", ()),
    ("networkd", "networkctl reconfigure eth0", None),
    ("networkd", AGAIN, ("bookworm",)),
    ("network-manager", "nmcli connection reload", None),
    ("network-manager", "nmcli device reapply eth1", ("bookworm", "trixie", NEXT)),
    ("network-manager", "nmcli connection up eth1", ()),
    ("network-manager", "nmcli connection up eth0", None),
    ("network-manager", "nmcli networking off; nmcli networking on", ()),
    ("ifupdown", "ifdown eth1; ifup eth1", ()),
    ("ifupdown", "ifdown eth0; ifup eth0", None),
)


def boots() -> list[Any]:
    """Every action on every release."""
    return [
        pytest.param(
            manager, release, command, there is None or release in there,
            id=f"{manager}-{release}-{'restart' if command is AGAIN else command}",
        )
        for manager, command, there in ACTIONS
        for release in RELEASES
    ]  # fmt: skip


@pytest.mark.parametrize(("manager", "release", "command", "expected"), boots())
def test_what_becomes_of_our_route(
    lab: Lab, manager: str, release: str, command: str, expected: bool
) -> None:
    """It is kept, or it goes and rcnetd has to put it back."""
    (consumer,) = (one for one in CONSUMERS if one.name == manager)
    files: Tree = {path: File(text.encode(), 0o600 if "connections" in path else 0o644)
                   for path, text in FILES[manager].items()}  # fmt: skip
    script = BUS + NETWORKD if manager == "networkd" else consumer.script
    target = target_of(consumer.renderer, "hand-written", PublicInterface.NO_DEFAULT)
    found = lab.run(manager, release, files, f"set -e\n{script}{OURS}{command}\n{SETTLE}", target)
    assert expected is any(route.gateway == GATEWAY for route in found.defaults(4))
