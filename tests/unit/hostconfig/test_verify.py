"""The managers' own tools read a copy of the new files, before one is written.

The real tools run in the boot tests; here they are programs that say what a test needs.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

import pytest

from rcnetd.core.settings import Backend
from rcnetd.hostconfig import verify as checking
from rcnetd.hostconfig.renderers.model import CannotPersist, File, HostLink, Target, Tree
from rcnetd.hostconfig.verify import check

GATEWAY = IPv4Address("10.180.31.254")
WISH = Target(HostLink("eth1", None, (IPv4Interface("10.180.1.2/19"),)), GATEWAY)
TREE: Tree = {"/etc/netplan/a.yaml": File(b"the new files\n")}
OURS = "[Match]\nName=eth1\n[Route]\nDestination=0.0.0.0/0\nGateway=10.180.31.254\nMetric=1\n"
THEIRS = "[Match]\nName=eth0\n[Route]\nDestination=0.0.0.0/0\nGateway=203.0.113.1\n"
LATER = THEIRS + "Metric=100\n"
DHCP = "[Match]\nName=eth0\n[Network]\nDHCP=yes\n"


def tool(path: Path, script: str) -> str:
    """A program."""
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def netplan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *units: str) -> None:
    """A netplan that makes these units of whatever it reads."""
    lines = ['grep -q "the new files" $2/etc/netplan/a.yaml || exit 9']
    lines.append("mkdir -p $2/run/systemd/network")
    for number, unit in enumerate(units):
        (tmp_path / str(number)).write_text(unit)
        lines.append(f"cp {tmp_path / str(number)} $2/run/systemd/network/10-{number}.network")
    monkeypatch.setattr(checking, "NETPLAN", (tool(tmp_path / "generate", "\n".join(lines)),))


@pytest.mark.parametrize("units", [(OURS,), (OURS, LATER), (OURS, DHCP), (OURS, OURS)])
def test_one_winner_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, units: tuple[str, ...]
) -> None:
    """Our default, and none that would win against it."""
    netplan(tmp_path, monkeypatch, *units)
    check(Backend.NETPLAN, TREE, WISH)


@pytest.mark.parametrize(
    ("units", "reason"),
    [
        ((), "would have 0 default routes"),
        ((LATER,), "another default route win"),
        ((OURS, THEIRS), "another default route win .*: eth0, metric 0"),
        ((OURS.replace("254", "253"),), "another default route win"),
    ],
)
def test_another_winner_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, units: tuple[str, ...], reason: str
) -> None:
    """netplan ends with 0 for all of these."""
    netplan(tmp_path, monkeypatch, *units)
    with pytest.raises(
        CannotPersist, match=f"with the new files netplan .*{reason}.*nothing is written"
    ):
        check(Backend.NETPLAN, TREE, WISH)


def test_a_tool_that_rejects_them_has_the_last_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last line, printable."""
    path = tool(tmp_path / "generate", 'printf "long story\\nunknown\\033 key\\n" >&2; exit 1')
    monkeypatch.setattr(checking, "NETPLAN", (path,))
    with pytest.raises(
        CannotPersist, match=r"^generate rejects the new files, .*; it says: unknown key$"
    ):
        check(Backend.NETPLAN, TREE, WISH)


def test_a_tool_that_is_not_there_or_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written unchecked."""
    monkeypatch.setattr(checking, "NETPLAN", (str(tmp_path / "none"),))
    with pytest.raises(CannotPersist, match="none' is not installed; nothing is written"):
        check(Backend.NETPLAN, TREE, WISH)
    monkeypatch.setattr(checking, "NETPLAN", (tool(tmp_path / "slow", "exec sleep 60"),))
    monkeypatch.setattr(checking, "TIMEOUT", 0.1)
    with pytest.raises(CannotPersist, match=r"slow did not end within 0\.1 s; nothing is written"):
        check(Backend.NETPLAN, TREE, WISH)


def test_ifquery_reads_the_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what `interfaces` sources by an absolute path."""
    tree = {
        "/etc/network/interfaces": File(b"source /etc/network/interfaces.d/*\n"),
        "/etc/network/interfaces.d/eth1": File(
            b"auto eth1\niface eth1 inet manual\nup ip route replace default\n"
        ),
    }
    script = 'cat $(sed -n "s/^source //p" $2) | sed "s/$/ via 10.180.31.254 dev $3/"'
    monkeypatch.setattr(checking, "IFQUERY", tool(tmp_path / "ifquery", script))
    check(Backend.IFUPDOWN, tree, WISH)
    tree["/etc/network/interfaces.d/eth1"] = File(b"# nothing\n")
    with pytest.raises(CannotPersist, match="ifquery does not find the default route of eth1"):
        check(Backend.IFUPDOWN, tree, WISH)


def test_ifquery_is_asked_by_the_logical_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`ifquery eth1` does not know a link that comes up as `eth1=servicenet`."""
    tree = {
        "/etc/network/interfaces": File(b"auto eth1=servicenet\niface servicenet inet static\n")
    }
    script = "[ $3 = eth1=servicenet ] && echo ip route replace default via 10.180.31.254 dev eth1"
    monkeypatch.setattr(checking, "IFQUERY", tool(tmp_path / "ifquery", script))
    check(Backend.IFUPDOWN, tree, WISH)


def test_ifcfg_needs_a_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """EL10's NetworkManager has none: what is written there nobody reads."""
    monkeypatch.setattr(checking, "ROOT", tmp_path)
    with pytest.raises(CannotPersist, match="nothing here reads ifcfg files"):
        check(Backend.IFCFG, TREE, WISH)
    plugin = tmp_path / "usr/lib64/NetworkManager/1.46.0-8.el9/libnm-settings-plugin-ifcfg-rh.so"
    plugin.parent.mkdir(parents=True)
    plugin.touch()
    check(Backend.IFCFG, TREE, WISH)


@pytest.mark.parametrize("kind", [Backend.NETWORKD, Backend.NETWORK_MANAGER])
def test_what_no_tool_reads_is_not_checked(kind: Backend) -> None:
    """networkd and NetworkManager have none that reads a copy."""
    check(kind, TREE, WISH)
