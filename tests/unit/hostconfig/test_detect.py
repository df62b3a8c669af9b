"""What the network managers answer, as they print it."""

from __future__ import annotations

import pytest

from rcnetd.hostconfig.detect import ask, run
from rcnetd.hostconfig.policy import LinkManagers

NETWORKD = """\
* 3: eth1
                     Link File: n/a
                  Network File: {}
                         State: routable (configured)
"""


@pytest.mark.parametrize(
    ("said", "managed"),
    [
        ({}, LinkManagers()),
        ({"networkctl": NETWORKD.format("n/a")}, LinkManagers()),
        (
            {"networkctl": NETWORKD.format("/run/systemd/network/10-netplan-eth1.network")},
            LinkManagers(networkd="/run/systemd/network/10-netplan-eth1.network"),
        ),
        (
            {"nmcli": "eth0:/etc/x\neth1:/etc/NetworkManager/a\\:b c.nmconnection\nlo:\n"},
            LinkManagers(network_manager="/etc/NetworkManager/a:b c.nmconnection"),
        ),
        ({"ifquery": "eth1=eth1\n"}, LinkManagers(ifupdown=True)),
        ({"ifquery": "eth10=eth1\n"}, LinkManagers()),
    ],
)
def test_asks_each(said: dict[str, str], managed: LinkManagers) -> None:
    """Each in its own words."""
    assert managed == ask("eth1", lambda *command: said.get(command[0], ""))


@pytest.mark.parametrize(
    ("stanza", "managed"),
    [
        ("auto eth1\niface eth1 inet static\n\taddress 10.180.1.2/19\n", True),
        ("iface eth1\n", True),
        ("iface eth1.5 inet static\n", False),
        ("", False),
    ],
)
def test_asks_ifupdown2_in_its_own_way(stanza: str, managed: bool) -> None:
    """Its ifquery has no `--state`."""

    def run(*command: str) -> str:
        return stanza if command == ("ifquery", "--print-savedstate", "eth1") else ""

    assert LinkManagers(ifupdown=managed) == ask("eth1", run)


def test_runs_what_is_there() -> None:
    """What is not, or fails, has nothing to say."""
    assert "x\n" == run("echo", "x")
    assert "" == run("false")
    assert "" == run("no-such-program-here")
