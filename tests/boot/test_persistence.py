"""The route in the host's own configuration: rcnetd removed, the next boots, and the way back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from rcnetd.core.model import METRIC
from rcnetd.lab.topology import GATEWAY, PUBLIC_ROUTER
from tests.boot.conftest import INSTALL, MakeGuest
from tests.boot.guest import DNS, Guest
from tests.boot.test_boot import (
    DAEMON,
    DEPLOYED,
    TARGET,
    check_ready,
    check_servicenet,
    check_untouched,
)
from tests.boot.trees import RELEASES

CONFIGURATIONS = {
    "netplan": "etc/netplan",
    "networkd": "etc/systemd/network",
    "network-manager": "etc/NetworkManager/system-connections",
    "ifupdown": "etc/network",
}
POLICIES = {"bullseye": ("no-default",), "bookworm": ("down",)}  # the others: both
CASES = [
    (release, manager, policy)
    for release in RELEASES
    for manager in CONFIGURATIONS
    for policy in POLICIES.get(release, ("no-default", "down"))
]


def files(guest: Guest) -> dict[str, tuple[int, bytes]]:
    """The manager's configuration: modes and contents."""
    top = guest.root / CONFIGURATIONS[guest.manager]
    return {
        str(path.relative_to(top)): (path.stat().st_mode, path.read_bytes())
        for path in sorted(top.rglob("*"))
        if path.is_file()
    }


def until_persisted(guest: Guest) -> None:
    """The persister has done its work, well."""
    guest.until(lambda: guest.run("cat", "/run/rcnetd-persist/persist.json", check=False))
    found = json.loads(guest.run("cat", "/run/rcnetd-persist/persist.json"))
    assert (found["ok"], found["renderer"]) == (True, guest.manager), found["reason"]


def name_servers(guest: Guest) -> str:
    """What the manager has for ServiceNet's link."""
    commands = {
        "network-manager": ("nmcli", "-g", "IP4.DNS", "device", "show", "eth1"),
        "ifupdown": ("ifquery", "eth1"),
    }
    networkd = ("networkctl", "--no-pager", "status", "eth1")
    return guest.run(*commands.get(guest.manager, networkd))


def public_is_on(guest: Guest) -> bool:
    """Whether the public interface is set up and has an address. NetworkManager sets up what it
    manages, also without a profile to activate."""
    flags = guest.run("ip", "link", "show", "dev", "eth0").split(">")[0].split("<")[1]
    has_address = guest.run("ip", "-4", "-o", "address", "show", "dev", "eth0") != ""
    assert has_address is ("UP" in flags.split(",")) or guest.manager == "network-manager"
    return has_address


def rewrite(guest: Guest, contents: dict[str, tuple[int, bytes]]) -> None:
    """Another agent writes each file as it was before rcnetd."""
    for name, (_, data) in contents.items():
        (guest.root / "var/tmp/agent").write_bytes(data)
        guest.run("cp", "/var/tmp/agent", f"/{CONFIGURATIONS[guest.manager]}/{name}")


@pytest.mark.parametrize(("release", "manager", "policy"), CASES)
def test_the_route_outlives_rcnetd(
    make_guest: MakeGuest, deb: Path, release: str, manager: str, policy: str
) -> None:
    """Removed, the host comes up with the gateway's route by itself; reverted, as it was."""
    guest = make_guest(release, manager)
    guest.set(f"public_interface: {policy}\n")
    guest.emulate(DEPLOYED)
    before = files(guest)
    with guest.boot():
        check_ready(guest)
        until_persisted(guest)
        persisted = files(guest)
        assert "nothing to write" in guest.run("rcnetctl", "persist")
        assert persisted == files(guest)
        rewrite(guest, before)
        guest.until(lambda: persisted == files(guest))
        guest.run("dpkg", "--remove", "rcnetd")
    assert before != persisted

    with guest.boot():
        guest.until_active(TARGET, "online.service")
        guest.until(guest.goes_by_gateway)
        assert [(GATEWAY, METRIC)] == [(one.gateway, one.metric) for one in guest.defaults()]
        check_servicenet(guest)
        assert (policy == "no-default") is public_is_on(guest)
        assert (policy == "down") is (DNS in name_servers(guest))
        assert persisted == files(guest)
        shutil.copy(deb, guest.root / "var/tmp")
        guest.run(*INSTALL[deb.suffix], f"/var/tmp/{deb.name}")
        said = guest.run("rcnetctl", "revert")
        assert f"put back /{CONFIGURATIONS[manager]}" in said
        assert before == files(guest)
        assert "" == guest.run("ls", "-A", "/var/lib/rcnetd-persist/undo").strip()
        guest.run("systemctl", "mask", DAEMON)

    with guest.boot():
        guest.until(lambda: guest.defaults() and guest.is_active(TARGET))
        check_untouched(guest)
        assert [PUBLIC_ROUTER] == [one.gateway for one in guest.defaults()]
        assert before == files(guest)
