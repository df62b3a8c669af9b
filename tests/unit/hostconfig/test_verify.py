"""The managers' own tools read a copy of the new files, before one is written.

The real tools run in the boot tests; here they are programs that answer what a test needs.
"""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

import pytest

from rcnetd.basic.dataclass import replace
from rcnetd.core.settings import Backend
from rcnetd.hostconfig import verify as checking
from rcnetd.hostconfig.renderers.model import CannotPersist, File, HostLink, Target, Tree
from rcnetd.hostconfig.verify import check

GATEWAY = IPv4Address("10.180.31.254")
TARGET = Target(HostLink("eth1", None, (IPv4Interface("10.180.1.2/19"),)), GATEWAY)
TREE: Tree = {"/etc/netplan/a.yaml": File(b"the new files\n")}
OURS = "[Match]\nName=eth1\n[Route]\nDestination=0.0.0.0/0\nGateway=10.180.31.254\nMetric=1\n"
THEIRS = "[Match]\nName=eth0\n[Route]\nDestination=0.0.0.0/0\nGateway=203.0.113.1\n"
LATER = THEIRS + "Metric=100\n"
DHCP = "[Match]\nName=eth0\n[Network]\nDHCP=yes\n"
BY_HAND = OURS.replace("Metric=1\n", "")


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


@pytest.mark.parametrize(
    "units",
    [
        (OURS,),
        (OURS, LATER),
        (OURS, DHCP),
        (OURS, OURS),
        (BY_HAND,),
        (BY_HAND + "Metric=50\n", DHCP),
        (OURS, THEIRS.replace("eth0", "eth1")),  # networkd uses the first file
    ],
)
def test_one_winner_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, units: tuple[str, ...]
) -> None:
    """By our gateway on our link, of any metric, and none that would win against it."""
    netplan(tmp_path, monkeypatch, *units)
    assert check(Backend.NETPLAN, TREE, TARGET) == []


@pytest.mark.parametrize(
    ("units", "reason"),
    [
        ((), "would set up no default route"),
        ((LATER,), "would prefer another default route .*: eth0, metric 100"),
        ((OURS, THEIRS), "would prefer another default route .*: eth0, metric 0"),
        ((OURS, LATER.replace("100", "1")), "would prefer another default route .*: eth0"),
        ((OURS.replace("254", "253"),), "would prefer another default route"),
        ((OURS.replace("eth1", "eth0"),), "would prefer another default route .*: eth0"),
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
        check(Backend.NETPLAN, TREE, TARGET)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ('printf "long story\\nunknown\\033 key\\n" >&2; exit 1', "unknown key"),
        ("exit 3", "exit code 3"),
        (
            "echo \"unknown key 'activation-mode'\" >&2; exit 1",
            f"unknown key 'activation-mode'{checking.TOO_OLD}",
        ),
        (
            'f=$2/etc/netplan/a.yaml; { echo "WARNING: $f is too open"; echo "$f:7:9: Error in'
            ' network definition: unknown key"; echo "    x: true"; echo "    ^"; } >&2; exit 1',
            "/etc/netplan/a.yaml:7:9: Error in network definition: unknown key",
        ),
    ],
)
def test_a_tool_that_rejects_them_has_the_last_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, reason: str
) -> None:
    """The line with the place in the real file, or else the last one, printable."""
    monkeypatch.setattr(checking, "NETPLAN", (tool(tmp_path / "generate", script),))
    with pytest.raises(CannotPersist) as caught:
        check(Backend.NETPLAN, TREE, TARGET)
    expected = f"generate rejects the new files, nothing is written: {reason}"
    assert str(caught.value) == expected


def test_netplan_reads_as_at_boot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Since 1.2 `configure` renders, and skips definitions with errors, which are warnings here."""
    skipped = "/etc/netplan/60.yaml:5:7: Error in network definition: unknown key 'gatway4'"
    unit = tmp_path / "unit"
    unit.write_text(OURS)
    lines = [
        "[ $NETPLAN_PARSER_IGNORE_ERRORS = 1 ] || exit 9",
        f'echo "** (configure:7): WARNING **: 08:38: Skipping definition. eth0: $2{skipped}" >&2',
        'echo "  gatway4: 203.0.113.1" >&2',
        'echo "  ^" >&2',
        f"mkdir -p $2/run/systemd/network; cp {unit} $2/run/systemd/network/10-x.network",
    ]
    configure = tool(tmp_path / "configure", "\n".join(lines))
    generate = tool(tmp_path / "generate", "exit 9")
    monkeypatch.setattr(checking, "NETPLAN", (configure, generate))
    warnings = check(Backend.NETPLAN, TREE, TARGET)
    assert [f"netplan skips what it cannot read: {skipped}"] == warnings


def test_a_tool_that_is_not_there_or_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written unchecked."""
    monkeypatch.setattr(checking, "NETPLAN", (str(tmp_path / "none"),))
    with pytest.raises(CannotPersist, match="none' is not installed; nothing is written"):
        check(Backend.NETPLAN, TREE, TARGET)
    monkeypatch.setattr(checking, "NETPLAN", (tool(tmp_path / "slow", "exec sleep 60"),))
    monkeypatch.setattr(checking, "TIMEOUT", 0.1)
    with pytest.raises(CannotPersist, match=r"slow' did not end within 0\.1 s; nothing is written"):
        check(Backend.NETPLAN, TREE, TARGET)


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
    assert check(Backend.IFUPDOWN, tree, TARGET) == []
    by_hand = tool(
        tmp_path / "by-hand", 'echo "address: 10.180.1.2"; echo "gateway: 10.180.31.254"'
    )
    with monkeypatch.context() as patch:
        patch.setattr(checking, "IFQUERY", by_hand)
        assert check(Backend.IFUPDOWN, tree, TARGET) == []
    tree["/etc/network/interfaces.d/eth1"] = File(b"# nothing\n")
    with pytest.raises(CannotPersist, match="ifquery does not find the default route of eth1"):
        check(Backend.IFUPDOWN, tree, TARGET)


def test_ifquery_is_asked_by_the_logical_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`ifquery eth1` does not know a link that comes up as `eth1=servicenet`."""
    tree = {
        "/etc/network/interfaces": File(b"auto eth1=servicenet\niface servicenet inet static\n")
    }
    script = "[ $3 = eth1=servicenet ] && echo ip route replace default via 10.180.31.254 dev eth1"
    monkeypatch.setattr(checking, "IFQUERY", tool(tmp_path / "ifquery", script))
    check(Backend.IFUPDOWN, tree, TARGET)


def test_ifcfg_needs_a_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """EL10's NetworkManager has none: what is written there nobody reads."""
    monkeypatch.setattr(checking, "ROOT", tmp_path)
    with pytest.raises(CannotPersist, match="nothing here reads ifcfg files"):
        check(Backend.IFCFG, TREE, TARGET)
    plugin = tmp_path / "usr/lib64/NetworkManager/1.46.0-8.el9/libnm-settings-plugin-ifcfg-rh.so"
    plugin.parent.mkdir(parents=True)
    plugin.touch()
    assert check(Backend.IFCFG, TREE, TARGET) == []


@pytest.mark.parametrize("kind", [Backend.NETWORKD, Backend.NETWORK_MANAGER])
def test_what_no_tool_reads_is_not_checked(monkeypatch: pytest.MonkeyPatch, kind: Backend) -> None:
    """networkd and NetworkManager have none that reads a copy; none is run."""
    monkeypatch.setattr(checking, "run", None)
    assert check(kind, TREE, TARGET) == []


PROFILE = "/etc/NetworkManager/system-connections/eth1"
KEYFILE = (
    b"# rcnetd: begin\n[connection]\nid=eth1\ntype=ethernet\n# rcnetd: end\n[ipv4]\nmethod=manual\n"
    b"address1=10.180.1.2/19\nroute1=0.0.0.0/0,10.180.31.254,1\n"
)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("cat", None),
        ("exec cat -", None),
        ("echo \"Error: Option '--offline' is unknown\" >&2; exit 2", None),
        ("sed /route1/d", "NetworkManager reads other default routes in the new"),
        ("echo 'Error: ipv4.method: bad' >&2; exit 1", "NetworkManager rejects the new"),
    ],
)
def test_networkmanager_reads_what_we_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, reason: str | None
) -> None:
    """Its library has the last word, as far as nmcli is new enough to ask it."""
    monkeypatch.setattr(checking, "NMCLI", (tool(tmp_path / "nmcli", script),))
    tree = {PROFILE: File(KEYFILE, 0o600), f"{PROFILE}.bak": File(b"[rcnetd", 0o600)}
    if reason is None:
        assert check(Backend.NETWORK_MANAGER, tree, TARGET) == []
        return
    with pytest.raises(CannotPersist, match=f"{reason} '{PROFILE}'"):
        check(Backend.NETWORK_MANAGER, tree, TARGET)


def test_without_nmcli_keyfiles_are_read_by_us_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a package of its own on some distributions."""
    monkeypatch.setattr(checking, "NMCLI", (str(tmp_path / "none"),))
    assert check(Backend.NETWORK_MANAGER, {PROFILE: File(KEYFILE, 0o600)}, TARGET) == []


@pytest.mark.parametrize(("used", "is_refused"), [("05-common", True), ("20-eth1", False)])
def test_networkd_applies_a_file_that_later_ones_ignore(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, used: str, *, is_refused: bool
) -> None:
    """systemd 247 has a file without [Match] for every link: the one that it uses decides."""
    directory = "/etc/systemd/network"
    files: Tree = {
        f"{directory}/05-common.network": File(b"[Network]\nDNS=192.0.2.53\n"),
        f"{directory}/20-eth1.network": File(OURS.encode()),
    }
    state = tmp_path / "systemd/netif/links" / str(socket.if_nametoindex("lo"))
    state.parent.mkdir(parents=True)
    state.write_text(f"ADMIN_STATE=configured\nNETWORK_FILE={directory}/{used}.network\n")
    monkeypatch.setattr(checking, "RUNTIME", tmp_path)
    target = replace(TARGET, servicenet=HostLink("lo"), public=(HostLink("gone"),))
    if not is_refused:
        assert [] == check(Backend.NETWORKD, files, target)
        return
    with pytest.raises(CannotPersist, match=r"05-common.network: has no valid \[Match\], and this"):
        check(Backend.NETWORKD, files, target)
